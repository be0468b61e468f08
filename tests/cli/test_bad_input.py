"""Bad input, row by row: one line, the exit code, no traceback, and nothing left behind.

Row 34 needs a cluster of its own: `test_two_devices.py`.
"""

import dataclasses
import json
import re
import runpy
import shutil
import sys
from pathlib import Path

import pytest

from raydistill.core.errors import DataError, UsageError
from raydistill.core.serialization import from_json
from raydistill.data.corpus.preparation import prepare_corpus
from raydistill.data.sources import embedded
from raydistill.planning.sweep import Sweep
from raydistill.specs.corpus import CorpusInfo
from raydistill.specs.scale import Scale, load_scale
from raydistill.storage.store import Store
from support import sweeping
from support.bad_models import FOUND_AT_ONCE, FOUND_WHILE_LOADING, config
from support.hub_models import save_model
from support.texts import write_jsonl, write_parquet

SCRIPT = Path(__file__).parents[2] / "sweeps" / "where_to_drop.py"

PLANNING = [
    # row, flags, what is said
    (1, "--location midle", "no location 'midle'. Did you mean 'middle'?"),
    (1, "--loss lmm", "no loss 'lmm'. Did you mean 'lm'?"),
    (1, "--location block-influense", "Did you mean 'block-influence'?"),
    (1, "--scale labtop", "no scale 'labtop'. Did you mean 'laptop'?"),
    (1, "--order decending", "no order 'decending'. Did you mean 'descending'?"),
    (1, "--search tpr", "no search 'tpr'. Did you mean 'tpe'?"),
    (1, "--search funel", "no search 'funel'. Did you mean 'funnel'?"),
    (48, "--recipe paper", "--recipe goes with --model; a scale has its own"),
    (48, "--seq-len 32", "--seq-len goes with --model; a scale has its own"),
    (48, "--model mine --recipe paper", "--recipe goes with --model alone; --scale smoke has its"),
    (48, "--model mine --scale laptop", "--model has a scale of its own: leave --scale laptop out"),
    (2, "--location input --count 5", "this model has 6 layers; the first and last stay: 1 to 4"),
    (2, "--location input --count -1", "1 to 4"),
    (2, "--location input --count 0", "only location 'none' removes nothing"),
    (27, "--tasks pica", "no task 'pica'. Did you mean 'piqa'?"),
    (27, "--tasks piqa,,copa", "'piqa,,copa' has an empty name"),
    (27, "--tasks paper13 --num-fewshot two", "'two': a whole number from 0 on"),
    (27, "--num-fewshot 2", "--num-fewshot is for tasks with data of their own"),
    (2, "--count 2.5", "'2.5' is not a whole number of layers"),
    (2, "--location block-influence --count 5", "1 to 4"),
    (3, "--location 0,2", "0 (the first and last stay)"),
    (3, "--location 2,5", "5 (the first and last stay)"),
    (3, "--location 2,2", "2 (listed twice)"),
    (3, "--location 2,9", "9 (out of range)"),
    (3, "--location=-2,3", "-2 (out of range)"),
    (3, "--location -2,3", "-2 (out of range)"),
    (3, "--location 4-2", "'4-2'"),
    (3, "--location 1,2,3 --count 2", "leave one of them out"),
    (5, "--gap=-1B", "negative"),
    (5, "--gap -1B", "negative"),
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
    (7, "--location random-5-3", "random-5-3: write the lower number first"),
    (7, "--location input,", "empty value"),
    (8, "--set batch_tokens=500", "the nearest is 512"),
    (8, "--set batch_tokens=0", "batch_tokens is 0: it must be at least 1"),
    (9, "--teacher midle", "--teacher goes with a loss that has one, such as --loss kd"),
    (8, "--devices-per-trial 3", "--set micro_batches=3"),
    (
        9,
        "--loss kd --teacher midle",
        "no teacher 'midle': write own, an age such as 80B, or SCALE@AGE",
    ),
    (9, "--loss kd --teacher 640B", "its run ends at 320B"),
    (9, "--loss kd --teacher labtop@80B", "no scale 'labtop'. Did you mean 'laptop'?"),
    (9, "--loss kd --teacher laptop@80B", "teacher 'laptop@80B' has another tokenizer"),
    (1, "--reference labtop", "no scale 'labtop'. Did you mean 'laptop'?"),
    (6, "--reference smoke_small@640B", "its run ends at 320B"),
    (9, "--reference laptop@80B", "reference 'laptop@80B' has another tokenizer"),
    (33, "--reference smoke --search tpe --trials 2", "--reference goes with --search grid or"),
    (9, "--loss kd+temperature=0", "temperature is '0', it must be a number above 0"),
    (9, "--loss kd+kl=1.5", "weight kl is '1.5', it must be from 0 to 1"),
    (9, "--loss kd+temprature=2", "Did you mean 'temperature'?"),
    (9, "--loss lm+kl=1", "'lm' has no teacher, and so no settings"),
    (9, "--teacher-placement nearby", "no teacher placement 'nearby'"),
    (9, "--teacher-placement cached:top-kk=3", "no excerpt 'top-kk'. Did you mean 'top-k'?"),
    (9, "--teacher-placement cached:top-k=0", "write top-k=SIZE, from 1 to 65,535 ids"),
    (33, "--devices-per-trial 2-1", "--devices-per-trial 2-1: write the fewer first"),
    (8, "--devices-per-trial 2-3 --set micro_batches=3", "micro_batches is 3, which 6 devices"),
    (10, "--checkpoint-every often", "--checkpoint-every 'often': seconds, from 0"),
    (9, "--cache-gb none", "--cache-gb 'none': a number above 0"),
    (
        9,
        "--loss kd+hidden=1 --teacher-placement cached",
        "it must stand whole on the student's device",
    ),
    (10, "--set lr=fast", "peak_lr is 'fast': it must be a number, above 0"),
    (10, "--set lr=-1e-4", "peak_lr is -0.0001: it must be a number, above 0"),
    (10, "--set lr=nan", "peak_lr is nan"),
    (10, "--set lr=inf", "peak_lr is inf"),
    (10, "--set peak_ler=1", "Did you mean 'peak_lr'?"),
    (10, "--set lr", "write field=value"),
    (33, "--price-per-hour free", "--price-per-hour 'free'"),
    (33, "--price-per-hour=-1", "--price-per-hour '-1'"),
    (33, "--locaton input", "unknown flag or argument '--locaton', did you mean --location?"),
    (33, "input", "unknown flag or argument 'input'"),
    (33, "--count", "argument --count: expected one argument"),
    (33, "--devices-per-trial 0", "--devices-per-trial '0': a whole number from 1 on"),
    (33, "--concurrent none", "--concurrent 'none': a whole number from 1 on"),
    (33, "--seed 0", "--seed '0': a whole number from 1 on"),
    (10, "--lr_factor 1", "unknown flag or argument '--lr_factor'"),
    (11, "--search tpe --trials 2 --objective delta_nl", "Did you mean 'delta_nll'?"),
    (11, "--search tpe --trials 2 --objective perplexity", "downstream, flops, parameters"),
    (11, "--objective delta_nll", "--objective goes with --search tpe, not with 'grid'"),
    (33, "--trials 3", "a grid takes every cell"),
    (33, "--search random", "--search random needs --trials, 1 to 5"),
    (21, "--corpus a.txt=0.5,b.txt", "write each text with its share of the tokens"),
    (21, "--corpus a.txt=1,a.txt=1", "names a text twice"),
    (31, "--model ~nobody-of-this-name/x", "nobody here has that home"),
    (31, "--corpus ~nobody-of-this-name/x", "nobody here has that home"),
]

TEXT = [
    # row, flags, what is said
    (21, "--corpus no.txt", "no.txt: it must be a .txt, .jsonl or .parquet file or a folder"),
    (21, "--corpus ./nowhere", "nowhere: it must be a .txt, .jsonl or .parquet file or a folder"),
    (21, "--corpus ./empty", "no .txt, .jsonl or .parquet file in"),
    (21, "--corpus c4", "text and tokenizer of 'c4' are not local"),
    (21, "--scale paper_300m --yes", "text and tokenizer of 'c4' are not local"),
    (27, "--tasks paper13 --task-data nowhere", "nowhere is no folder"),
    (27, "--tasks piqa,copa --task-data .", "lacks piqa.jsonl, copa.jsonl; has key.jsonl"),
    (21, "--corpus no.jsonl", "no.jsonl: it must be a .txt, .jsonl or .parquet file or a folder"),
    (21, "--corpus no.parquet=1,smoke=1", "no.parquet: it must be a .txt, .jsonl or .parquet"),
    (21, "--heldout no.txt", "no.txt: it must be a .txt, .jsonl or .parquet file or a folder"),
    (22, "--corpus line.jsonl", "line.jsonl:1 is not JSON: Expecting value, column 1"),
    (22, "--corpus key.jsonl", "key.jsonl:1: no key 'text'. Did you mean 'txt'? There are: txt"),
    (22, "--corpus number.jsonl", "number.jsonl:1: 'text' is 7, it must be a string"),
    (22, "--corpus key.parquet", "key.parquet: no column 'text'. Did you mean 'txt'?"),
    (22, "--corpus key.parquet --text-field id", "column 'id' holds int64, it must be strings"),
    (12, "--corpus owner/name", "no data set 'owner/name': looked for a file or folder /"),
    (21, "--scale laptop --corpus no.txt", "no.txt: it must be a .txt, .jsonl or .parquet file"),
]

BAD_LINES = {"line.jsonl": "text", "key.jsonl": '{"txt": "a"}', "number.jsonl": '{"text": 7}'}

NAMES = ["", "-sweep", "../up", "a/b", "a b", "Sweep", "a" * 65, "ä"]


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


@pytest.mark.parametrize(
    ("flags", "said"),
    [pytest.param(flags, said, id=f"{row} {flags}") for row, flags, said in TEXT],
)
def test_text_that_is_not_here_is_told_before_anything_starts(
    refused, tmp_path, monkeypatch, flags, said
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    (tmp_path / "empty").mkdir()
    for name, line in BAD_LINES.items():
        (tmp_path / name).write_text(line)
    write_parquet(tmp_path / "key.parquet", ["a"], field="txt")
    code, (_, told) = refused(flags.split())
    assert code == 3
    assert told.count("\n") == 1
    assert said in told


NOWHERE = [
    # what is named, what is said
    ("./nowhere", "no model at {}/nowhere: name a folder with a config.json"),
    ("a.txt", "{}/a.txt is a file: name the folder with its config.json"),
    (".", "no config.json in {}; name revisions: --age good"),
    ("nobody/nothing", "no folder {}/nobody/nothing, and the hub gave no 'nobody/nothing'"),
]


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A checkpoint as it must be."""
    return save_model(tmp_path_factory.mktemp("model") / "good")


@pytest.fixture(params=["sweep", "rank", "prune"])
def named(request, refused, tmp_path):
    """Each way to name a model: exit code and what was said on stderr."""

    def run(model):
        if request.param == "sweep":
            code, (out, told) = refused(["--model", str(model)])
        else:
            flags = {"rank": [model], "prune": ["--model", model, "--layers", "1"]}[request.param]
            words = (request.param, *flags, "--to", tmp_path / "out")
            done = sweeping.command(tmp_path / "storage", *words)
            code, out, told = done.returncode, done.stdout, done.stderr
            assert not (tmp_path / "out").exists()
        assert out == ""
        assert told.count("\n") == 1
        return code, told

    return run


@pytest.mark.parametrize(("model", "said"), NOWHERE, ids=[f"12 {model}" for model, _ in NOWHERE])
def test_row_12_a_model_that_is_not_there_is_told_in_one_line(
    named, good, tmp_path, monkeypatch, model, said
):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(sweeping, "ROOT", tmp_path)  # where commands run
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").touch()
    (tmp_path / "good").symlink_to(good)
    code, told = named(model)
    assert code == 3
    assert said.format(tmp_path) in told


@pytest.mark.parametrize(
    ("spoil", "said"),
    [pytest.param(spoil, said, id=f"{row} {what}") for row, what, spoil, said in FOUND_AT_ONCE],
)
def test_a_checkpoint_that_is_not_whole_is_told_before_anything_starts(
    named, good, tmp_path, monkeypatch, spoil, said
):
    monkeypatch.chdir(tmp_path)
    model = shutil.copytree(good, tmp_path / "bad")
    spoil(model)
    code, told = named(model)
    assert code == 3
    assert said.format(model) in told
    assert not list(tmp_path.rglob("payload"))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [pytest.param(s, said, id=f"{row} {what}") for row, what, s, said in FOUND_WHILE_LOADING],
)
def test_a_checkpoint_of_other_tensors_is_told_when_it_is_loaded(good, tmp_path, spoil, said):
    model = shutil.copytree(good, tmp_path / "bad")
    spoil(model)
    done = sweeping.command(tmp_path / "storage", "rank", model, "--to", tmp_path / "out")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.count("\n") == 1
    assert said.format(model) in done.stderr
    assert not (tmp_path / "out").exists()


def test_row_41_flash_attn_that_is_not_installed_is_done_without(good, tmp_path, caplog):
    from raydistill.models.attention import has_flash_attn
    from raydistill.models.families.hub import _say_no_flash

    _say_no_flash.cache_clear()
    model = shutil.copytree(good, tmp_path / "flash")
    config(attn_implementation="flash_attention_2")(model)
    words = ("--model", model, "--layers", "1", "--to", tmp_path / "out")
    done = sweeping.command(tmp_path / "storage", "prune", *words)
    assert done.returncode == 0, done.stderr
    assert has_flash_attn() or caplog.text.count("pip install") == 1


def test_row_21_an_empty_text_is_counted(refused, tmp_path):
    (tmp_path / "a.txt").touch()
    code, (_, told) = refused(["--corpus", str(tmp_path / "a.txt")])
    assert code == 3
    assert told.count("\n") == 1
    assert "a.txt needs at least 65 training tokens, has 0" in told


def test_row_21_a_text_shorter_than_a_sequence_is_counted(run_sweep, tmp_path):
    (tmp_path / "a.txt").write_text("Seventeen tokens or so.")
    done = run_sweep("where_to_drop", tmp_path / "storage", "--corpus", str(tmp_path / "a.txt"))
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert "a.txt needs at least 65 training tokens, has 6" in done.stderr
    assert not list(tmp_path.rglob("*.bin"))
    assert not list(tmp_path.glob("storage/*/.*"))


def test_row_25_held_out_text_that_stands_in_training_is_said(tmp_path):
    chapters = list(embedded.chapters("kjv").values())
    text = write_jsonl(tmp_path / "a.jsonl", chapters[:60])
    heldout = write_jsonl(tmp_path / "h.jsonl", chapters[:24])
    folder = prepare_corpus(str(text), store=Store(tmp_path), heldout=str(heldout))
    (note,) = from_json(CorpusInfo, (folder / "corpus.json").read_text()).notes
    assert "24 of 24 held-out documents repeat 12 words in a row of training text" in note


def test_row_24_token_ids_that_the_model_does_not_know_are_refused(tmp_path):
    """A model's vocabulary may be larger than its tokenizer's, never smaller."""
    from raydistill.data.batches import open_tokens  # torch, which no other row here needs

    corpus = prepare_corpus("smoke", store=Store(tmp_path))
    model = load_scale("smoke").model
    assert open_tokens(corpus, dataclasses.replace(model, vocab_size=2050)).num_windows > 0
    with pytest.raises(DataError, match=r"2048 token ids, up to 2047; .* below 2000") as refusal:
        open_tokens(corpus, dataclasses.replace(model, vocab_size=2000))
    assert refusal.value.exit_code == 3


def sweep_over_age(**changes):
    def trial(scale: Scale, age: int):
        return scale.trial(age=age, location="input", count=scale.count)

    return Sweep(**{"name": "s", "question": "", "axes": {"age": (1,)}, "trial": trial} | changes)


def test_row_1_an_unknown_sweep_axis_or_model_family_is_named():
    from raydistill.models.decoder import build

    with pytest.raises(UsageError, match=r"no sweep axis 'agee'. Did you mean 'age'"):
        sweep_over_age(at={"smoke": ({"agee": (1,)},)})
    with pytest.raises(UsageError, match=r"no .* 'plam'. Did you mean 'palm'"):
        build(dataclasses.replace(load_scale("smoke").model, family="plam"), seed=0)


@pytest.mark.parametrize("name", NAMES, ids=[f"32 {name[:6]!r}" for name in NAMES])
def test_a_sweep_name_has_a_rule(name):
    with pytest.raises(UsageError) as refusal:
        sweep_over_age(name=name)
    rule = "a small letter, then up to 63 of a-z, 0-9, _ and -"
    assert str(refusal.value) == f"sweep name {name!r}: {rule}"
    assert refusal.value.exit_code == 2


def test_row_35_some_trials_fail_and_the_rest_is_reported(prepared, tmp_path, run_sweep):
    """The young base has lost a bit since it was measured. All fail: `test_job_submit.py`."""
    storage = prepared(tmp_path)
    flip_a_bit_of_the_young_base(storage)
    done = run_sweep("where_to_drop", storage, "--location", "output")
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    table = (storage / "sweeps/where_to_drop/smoke/table.md").read_text()
    assert re.search(r"failed in training after 3 tries: DataError: .* it was changed", table)
    asked = {(r.data.params["age"], r.data.params["location"]): r for r in sweeping.cells(storage)}
    assert asked["80B", "output"].info.status == "FAILED"
    assert asked["320B", "output"].info.status == "FINISHED"
    assert "RUNNING" not in {run.info.status for run in asked.values()}


def flip_a_bit_of_the_young_base(storage):
    (ages,) = storage.glob("pretraining/*/ages.json")
    sha256s = json.loads(ages.read_text())
    weights = storage / "bases" / sha256s[min(sha256s, key=int)] / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-100] ^= 1
    weights.write_bytes(content)


def test_row_4_a_location_that_fills_is_run_and_labelled(refused):
    code, (out, _) = refused(["--dry-run", "--location", "alt-input", "--count", "4"])
    assert code == 0
    assert "alt-input, 2 of 4" in out


def test_row_7_equal_values_are_taken_once_with_a_warning(refused, caplog):
    code, (out, _) = refused(["--dry-run", "--location", "input,input"])
    assert code == 0
    assert "axis 'location' repeats input" in caplog.text
    assert "Cells 2 " in out


@pytest.mark.parametrize("factor", ["fast", "nan", "-1"])
def test_row_10_a_factor_of_the_rate_is_a_number_above_0(tmp_path, factor):
    done = sweeping.here("search", tmp_path / "storage", "--lr_factor", factor)
    assert done.returncode == 2
    assert f"--lr_factor '{factor}': times the recipe's peak rate, a number above 0" in done.stderr


def test_row_46_a_plan_of_unknown_length_is_shown_and_refused(refused):
    code, (out, told) = refused(["--scale", "paper_300m"])
    assert code == 2
    assert "Cells 32 · distinct trials 32 · done 0." in out
    assert told.count("\n") == 1
    assert "look at it with --dry-run --probe, then add --yes" in told


def test_row_46_a_plan_of_any_size_can_be_looked_at(refused):
    code, (out, _) = refused(["--dry-run", "--scale", "paper_300m"])
    assert code == 0
    assert "Cells 32 · distinct trials 32 · done 0." in out
