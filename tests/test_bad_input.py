"""Bad input, row by row: one line, the exit code, no traceback, and nothing left behind."""

import runpy
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "sweeps" / "where_to_drop.py"

PLANNING = [
    # row, flags, what is said
    (1, "--location midle", "no location 'midle'. Did you mean 'middle'?"),
    (1, "--loss lmm", "no loss 'lmm'. Did you mean 'lm'?"),
    (1, "--location block-influense", "Did you mean 'block-influence'?"),
    (1, "--scale labtop", "no scale 'labtop'. Did you mean 'laptop'?"),
    (1, "--order decending", "no order 'decending'. Did you mean 'descending'?"),
    (1, "--search tpr", "no search 'tpr'. Did you mean 'tpe'?"),
    (1, "--model mine", "--model comes with a later version"),
    (2, "--location input --count 5", "this model has 6 layers; the first and last stay: 1 to 4"),
    (2, "--location input --count -1", "1 to 4"),
    (2, "--location input --count 0", "only location 'none' removes nothing"),
    (2, "--count 2.5", "'2.5' is not a whole number of layers"),
    (2, "--location block-influence --count 5", "1 to 4"),
    (3, "--location 0,2", "0 (the first and last stay)"),
    (3, "--location 2,5", "5 (the first and last stay)"),
    (3, "--location 2,2", "2 (listed twice)"),
    (3, "--location 2,9", "9 (out of range)"),
    (3, "--location=-2,3", "-2 (out of range)"),
    (3, "--location 4-2", "'4-2'"),
    (3, "--location 1,2,3 --count 2", "leave one of them out"),
    (5, "--gap=-1B", "negative"),
    (5, "--gap 20B", "so the model would keep layers"),
    (5, "--gap 10B", "at least 10 must"),
    (6, "--gap 1M", "no whole step of 512"),
    (6, "--budget 1M", "no whole step of 512"),
    (6, "--budget 0", "the budget of 0 tokens is under one batch of 512"),
    (6, "--budget=-20B", "under one batch of 512"),
    (6, "--set warmup_tokens=16384", "warm-up of 16384 tokens is longer than the budget of 8192"),
    (6, "--set warmup_tokens=100", "the nearest is 512"),
    (6, "--budget many", "'many' is not a token count"),
    (6, "--age 640B", "its run ends at 320B"),
    (7, "--location=", "empty value"),
    (7, "--location input,", "empty value"),
    (8, "--set batch_tokens=500", "the nearest is 512"),
    (8, "--devices-per-trial 3", "--set micro_batches=3"),
    (10, "--set lr=fast", "peak_lr is 'fast': it must be a number, above 0"),
    (10, "--set lr=-1e-4", "peak_lr is -0.0001: it must be a number, above 0"),
    (10, "--set lr=nan", "peak_lr is nan"),
    (10, "--set lr=inf", "peak_lr is inf"),
    (10, "--set peak_ler=1", "Did you mean 'peak_lr'?"),
    (10, "--set lr", "write field=value"),
    (33, "--locaton input", "unknown flag or argument '--locaton', did you mean --location?"),
    (33, "input", "unknown flag or argument 'input'"),
    (33, "--count", "argument --count: expected one argument"),
    (33, "--devices-per-trial 0", "--devices-per-trial '0': a whole number from 1 on"),
    (33, "--concurrent none", "--concurrent 'none': a whole number from 1 on"),
    (33, "--seed 0", "--seed '0': a whole number from 1 on"),
    (33, "--trials 3", "a grid takes every cell"),
    (33, "--search random", "--search random needs --trials, 1 to 5"),
    (46, "--scale paper_300m", "look at it with --dry-run, then add --yes"),
]


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """Runs the script as a user would; gives exit code and what was said on stderr."""

    def run(flags):
        storage = tmp_path / "storage"
        monkeypatch.delenv("RAYDISTILL_STORAGE", raising=False)
        monkeypatch.setenv("RAYDISTILL_SCALE", "smoke")
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--storage", str(storage), *flags])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        assert not storage.exists()
        return end.value.code, capsys.readouterr()

    return run


@pytest.mark.parametrize(
    ("flags", "said"),
    [pytest.param(flags, said, id=f"{row} {flags}") for row, flags, said in PLANNING],
)
def test_what_cannot_be_planned_is_told_in_one_line(refused, flags, said):
    code, (out, told) = refused(flags.split())
    assert code == 2
    assert out == ""
    assert told.count("\n") == 1
    assert said in told


def test_row_4_a_location_that_fills_is_run_and_labelled(refused):
    code, (out, _) = refused(["--dry-run", "--location", "alt-input", "--count", "4"])
    assert code == 0
    assert "alt-input, 2 of 4" in out


def test_row_7_equal_values_are_taken_once_with_a_warning(refused, caplog):
    code, (out, _) = refused(["--dry-run", "--location", "input,input"])
    assert code == 0
    assert "axis 'location' repeats input" in caplog.text
    assert "Cells 2 " in out


def test_row_46_a_plan_of_any_size_can_be_looked_at(refused):
    code, (out, _) = refused(["--dry-run", "--scale", "paper_300m"])
    assert code == 0
    assert "Cells 32 · distinct trials 32 · done 0." in out
