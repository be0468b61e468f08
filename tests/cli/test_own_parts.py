"""`--parts DIR`: one's own losses, scores, tasks, scales and sweeps, from the command line."""

import os
import re
import subprocess
import sys

import pytest

from raydistill.planning.artifacts import find_artifacts, layer_requests
from raydistill.planning.cell import bases_of
from raydistill.runners import stages
from raydistill.specs.results import TrialFailure
from raydistill.storage.store import Store
from raydistill.training.jobs import BaseJob
from support import sweeping, trained_here
from support.extending import BLOCKS

SWEEP = """
from raydistill.api import B, Sweep

def trial(scale, location):
    return scale.trial(age=320 * B, location=location, count=1)

AXES = {"location": ("input", "evens")}
sweep = Sweep(name="nearest", question="Which is nearest?", axes=AXES, trial=trial)
"""
FILES = {
    "losses/flatten.py": "def loss(logits_BTV, targets_BT, ask, *, alpha=0.5): ...",
    "losses/unlikely.py": 'TEACHER = "none"\ndef loss(logits_BTV, targets_BT, ask, *, c=1): ...',
    "losses/shapely.py": 'TEACHER = "whole"\ndef loss(logits_BTV, targets_BT, ask): ...',
    "scores/evens.py": "def score(model, batches_BT): ...",
    "tasks/first_word.py": "CHOICES, METRIC = 2, 'acc'\ndef candidates(a, b, c): ...",
    "scales/mini.py": """
        from dataclasses import replace
        from raydistill.specs.scales import smoke
        scale = replace(smoke.scale, name="mini")
    """,
    "scales/other.py": "from raydistill.specs.scales.mini import scale",
    "sweeps/nearest.py": SWEEP,
}
PLAN = ("sweep", "where_to_drop", "--dry-run", "--age", "320B", "--location", "evens,input")


@pytest.fixture
def plan(own_parts, tmp_path):
    """Plans a sweep with one's own parts, in this process."""
    folder = own_parts(FILES)

    def plan(*flags, words=PLAN):
        return sweeping.command(tmp_path / "storage", *words, "--parts", folder, *flags)

    return plan


@pytest.mark.parametrize(
    "flags",
    [
        ("--loss", "flatten+alpha=2"),
        ("--loss", "unlikely+c=3"),
        ("--tasks", "first-word,word-order"),
        ("--scale", "mini"),
    ],
)
def test_parts_of_ones_own_are_values_of_flags_as_all_others(plan, flags):
    done = plan(*flags)
    assert (done.returncode, done.stderr) == (0, "")
    assert "  evens  " in done.stdout


def test_without_the_folder_there_are_none(own_parts, tmp_path):
    own_parts(FILES)
    done = sweeping.command(tmp_path / "storage", *PLAN)
    assert done.returncode == 2
    assert "'evens'" in done.stderr


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ("--loss", "flatten+beta=2"),
            "no setting 'beta'. There are: alpha, attention, embedding,",
        ),
        (("--loss", "flatten+alpha=a"), "alpha is 'a', it must be a number"),
        (("--loss", "unlikely+hidden=1"), "no setting 'hidden'. There are: c"),
        (("--loss", "unlikely+c=0.5"), "c is '0.5', it must be a whole number"),
        (("--loss", "unlikely", "--teacher", "80B"), "--teacher goes with a loss that has one"),
        (
            ("--loss", "shapely", "--teacher-placement", "cached:top-k=4"),
            "loss 'shapely' asks for all of the teacher's distribution, and a cached teacher keeps",
        ),
        (("--scale", "other"), "scale 'other': its file gives it the name 'mini'"),
        (("--loss", "flaten"), "Did you mean 'flatten'?"),
    ],
)
def test_settings_of_ones_own_are_checked_before_anything_runs(plan, flags, message):
    done = plan(*flags)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_sweep_of_ones_own_is_listed_and_runs_by_its_name(plan):
    assert re.search("^nearest +Which is nearest\\?$", plan(words=("sweep",)).stdout, re.MULTILINE)
    done = plan("--dry-run", words=("sweep", "nearest"))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("nearest: Which is nearest?\n")


def test_a_sweep_is_called_with_either_of_two_signs(plan, own_parts):
    own_parts({"sweeps/the_nearest.py": SWEEP.replace('"nearest"', '"the-nearest"')})
    done = [plan("--dry-run", words=("sweep", name)) for name in ("the_nearest", "the-nearest")]
    assert [run.returncode for run in done] == [0, 0]
    assert done[0].stdout.startswith("the-nearest: Which is nearest?\n")


def test_a_score_that_is_called_as_a_location_is_refused_by_every_command(plan, own_parts):
    folder = own_parts({"scores/input.py": "def score(model, batches_BT): ..."})
    done = plan()
    assert done.returncode == 2
    assert done.stderr == (
        f"error: {folder}/scores/input.py: 'input' means something else already, rename yours\n"
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("nowhere", "--parts: 'nowhere' is no folder"),
        (".", "--parts: '.' holds none of excerpts, forms, losses, families, probes, scales"),
    ],
)
def test_a_folder_that_holds_no_parts_is_refused(given, message, tmp_path, monkeypatch):
    monkeypatch.setattr(sweeping, "ROOT", tmp_path)
    done = sweeping.command(tmp_path / "storage", *PLAN, "--parts", given)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    variable = sweeping.command(tmp_path / "storage", "report", RAYDISTILL_PARTS=given)
    assert message.replace("--parts", "$RAYDISTILL_PARTS") in variable.stderr


def test_what_parts_made_is_reported_where_their_files_are_not(own_parts, prepared, tmp_path):
    """But for a task: its scores are named by its code."""
    folder, storage = own_parts(BLOCKS), prepared(tmp_path / "storage")
    flags = ("--age", "320B", "--location", "input,relative-change", "--loss", "lm,smoothed")
    train(storage, *flags, "--scale", "tiny", "--tasks", "next-sentence,word-order")
    texts = []
    for words in (("report",), ("report", "--format", "csv"), ("best",)):
        here, gone = (sweeping.command(storage, *words, *p) for p in (("--parts", folder), ()))
        assert [(done.returncode, done.stderr) for done in (here, gone)] == [(0, "")] * 2
        assert "not finished" not in here.stdout + gone.stdout
        texts.append((here.stdout, gone.stdout))
    for words in ("smoothed", "relative-change", "next-sentence", "word-order"):
        assert words in texts[0][0]
        assert words in texts[0][1]
    sentence = "Scores of next-sentence are left out: no file of that name is here, see --parts."
    assert [sentence in text for text in texts[0]] == [False, True]
    name = next(storage.glob("trials/*/trained.json")).parent.name
    shown = sweeping.command(storage, "show", name)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "left out" in shown.stdout
    synced = sweeping.command(storage, "track", "sync")
    assert synced.returncode == 2
    expected = "scores of tasks whose files are not here: next-sentence; name their folder with"
    assert expected in synced.stderr


def test_a_folder_that_is_written_wrong_is_told(own_parts, tmp_path):
    folder = own_parts({"loses/flat.py": "", "scores/evens.py": "", "figures/a.py": ""})
    done = sweeping.command(tmp_path / "storage", *PLAN, "--parts", folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: --parts: '{folder}' holds 'loses'. Did you mean 'losses'?\n"


def test_a_loss_that_is_nowhere_is_told_with_the_flag_for_ones_own(tmp_path, monkeypatch):
    monkeypatch.delenv("RAYDISTILL_PARTS", raising=False)
    done = sweeping.command(tmp_path / "storage", *PLAN[:3], "--loss", "forward-kl")
    assert done.stderr.startswith("error: no loss 'forward-kl'. There are: kd, lm, ")
    assert done.stderr.endswith("; one of your own needs --parts DIR\n")


def test_a_task_of_ones_own_is_not_named_as_one_of_lm_eval(own_parts, tmp_path):
    folder = own_parts({f"tasks/{name}.py": FILES["tasks/first_word.py"] for name in ("wnli", "w")})

    def plan(tasks):
        return sweeping.command(
            tmp_path / "s", *PLAN[:3], "--parts", folder, "--tasks", f"{tasks},word-order"
        )

    done = plan("wnli")
    assert done.returncode == 2
    assert done.stderr == "error: task 'wnli' (tasks/wnli.py): lm-eval has 'wnli', rename yours\n"
    assert plan("w").returncode == 0


AT_MINI = SWEEP.replace("trial=trial)", 'trial=trial, at={"mini": (AXES,)})').replace(
    "evens", "middle"
)
RUN = """
from raydistill.api import main
if __name__ == "__main__":
    main(sweep)
"""


def test_a_file_whose_cells_are_of_a_scale_of_ones_own_takes_it_from_parts(own_parts, tmp_path):
    """Started by Python, which builds the sweep before a flag is read."""
    folder, file = own_parts({"scales/mini.py": FILES["scales/mini.py"]}), tmp_path / "mine.py"
    file.write_text(AT_MINI + RUN)

    def plan(*flags):
        return subprocess.run(
            [sys.executable, str(file), "--scale", "mini", "--dry-run", *flags],
            cwd=tmp_path, text=True, capture_output=True, check=False,
            env=os.environ | {"RAYDISTILL_PARTS": "", "RAYDISTILL_STORAGE": str(tmp_path / "s")},
        )  # fmt: skip

    done = plan("--parts", str(folder))
    assert (done.returncode, done.stderr) == (0, "")
    assert "  middle" in done.stdout
    without = plan()
    assert without.returncode == 2
    assert re.fullmatch(
        r"error: .*no scale 'mini'.*; one of your own needs --parts DIR\n", without.stderr
    )
    file.write_text(AT_MINI.replace('"mini"', '"minni"') + RUN)
    wrong = plan("--parts", str(folder))
    assert wrong.returncode == 2
    assert wrong.stderr.startswith(
        "error: sweep 'nearest': at: no scale 'minni'. Did you mean 'mini'?"
    )


def test_a_failure_is_shown_though_its_code_was_edited_since(tmp_path):
    """It has another id by then."""
    trace = "Traceback:\n  odd.py"
    failure = TrialFailure(
        trial_id="c0ffee", where="training", message="odd", traceback=trace, attempts=1
    )
    Store(tmp_path).save(failure, "trials", "c0ffee", "failure.json")
    shown = sweeping.command(tmp_path, "show", "c0ff")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith("trial c0ffee failed in training after 1 try: odd\n")
    assert trace in shown.stdout
    assert sweeping.command(tmp_path, "show", "dead").returncode == 2


def train(storage, *words):
    """With its bases measured first."""
    plan = trained_here.plan(storage, *words)
    artifacts = find_artifacts(plan.scale, plan.cells, Store(storage))
    for base in bases_of(plan.cells):
        job = BaseJob(
            weights_sha256=artifacts.bases[base.key].weights_sha256,
            corpus_sha256=artifacts.corpus_of(base.scale).corpus_sha256,
            evaluation=base.scale.evaluation,
            layers=tuple(request for _, request in layer_requests(plan.cells)),
            storage=str(storage),
        )  # fmt: skip
        assert stages.measure_base(job) == ()
    trained_here.train(storage, *words)
