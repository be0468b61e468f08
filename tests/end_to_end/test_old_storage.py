"""A storage that version 0.1.0 wrote before its files moved: read, and nothing is done again.

`fixtures/storage_0_1_0.tar.xz` is what two sweeps left at the smoke scale: presets, a score, KD,
cached KD and from scratch. To keep it small, most weights, teacher answers, figures, page and
MLflow's database are not in it; what they say is in the files beside them.
"""

import csv
import io
import json
import re

import pytest

from raydistill.specs.scale import load_scale
from support import old_storage, sweeping

ASKED = {
    "where_to_drop": (
        "--location", "max-gap,input,block-influence,none", "--age", "320B", "--count", "2",
    ),
    "teacher_free_vs_kd": (
        "--age", "320B", "--seed", "1", "--count", "2",
        "--arm", "teacher-free,kd,kd-cached,scratch,control",
    ),
}  # fmt: skip
TRIALS = {
    "05a068f02dcad5f8", "37bc67ec45450bb2", "4952e1e6f31637ba", "75b449e5080cfd82",
    "c9bdd1b8ef45623b", "e89614bcb4713ef1", "f30e7758362727e5",
}  # fmt: skip
KEPT = ("bases", "corpora", "items", "layer_scores", "pretraining", "scores", "trials")
REPORT = ("report.md", "report.csv", "report.tex", "table.json", "table.md", "tune.csv")


@pytest.fixture
def storage(tmp_path):
    old_storage.unpack(tmp_path / "storage")
    return tmp_path / "storage"


NUMBER = re.compile(r"-?\d+\.\d+(?:e[+-]?\d+)?")
"""Their last digits depend on the CPU: NumPy adds in an order that suits it."""


def numbers(text):
    return [float(number) for number in NUMBER.findall(text)]


SENTENCE = re.compile(r'- |\s+"(?:[^"\\]|\\.)*",?$')
LENGTHS = re.compile(r" (\(ours )?in windows of 64 tokens\)?")
NEW_FIELD = re.compile(
    r'\s+"((window_tokens|truncation|one_control|(expected|held)_bytes)": |loss": "perplexity")'
)
"""Which are told by now: windows, what is read of a task, losses, one control or not, memory."""
STAR = re.compile(r"\\?\*|\$\^\{\*\}\$|[Tt]rue|[Ff]alse")


def measured(text):
    """A report without its sentences, which claim less by now, and without what follows from them.

    So what was measured is compared: every grid, without the stars of the best set, and without
    the lengths that were not named.
    """
    lines = (
        line.rstrip(",")
        for line in text.splitlines()
        if not SENTENCE.match(line) and not NEW_FIELD.match(line)
    )
    return STAR.sub("", LENGTHS.sub("", "\n".join(lines)))


def columns(text, names):
    """A CSV's columns of these names alone."""
    rows = csv.DictReader(io.StringIO(text))
    return "\n".join(",".join([*names, *(row[name] for name in names)]) for row in rows)


def contents(storage, folders):
    files = (path for folder in folders for path in (storage / folder).rglob("*"))
    return {str(path.relative_to(storage)): path.read_bytes() for path in files if path.is_file()}


@pytest.mark.parametrize("sweep", ASKED)
def test_nothing_is_trained_scored_or_measured_again(run_sweep, storage, sweep):
    kept = contents(storage, KEPT)
    report = {name: (storage / "sweeps" / sweep / "smoke" / name).read_text() for name in REPORT}
    done = run_sweep(sweep, storage, *ASKED[sweep])
    assert done.returncode == 0, done.stderr
    assert contents(storage, KEPT) == kept
    for name, text in report.items():
        now = (storage / "sweeps" / sweep / "smoke" / name).read_text()
        if name == "report.csv":
            names = text.splitlines()[0].split(",")
            now, text = columns(now, names), columns(text, names)
        now, text = measured(now), measured(text)
        assert NUMBER.sub("#", now) == NUMBER.sub("#", text), name
        assert numbers(now) == pytest.approx(numbers(text), rel=1e-12, abs=1e-12), name


def test_a_plan_knows_every_trial_by_its_old_id(storage):
    ids = set()
    for sweep, flags in ASKED.items():
        planned = sweeping.here(sweep, storage, *flags, "--dry-run")
        assert planned.returncode == 0, planned.stderr
        rows = [line.split() for line in planned.stdout.splitlines() if line.startswith("■")]
        rows = [row for row in rows if "stays" not in row]
        assert f"distinct trials {len(rows)} · done {len(rows)}." in planned.stdout
        ids |= {row[-1] for row in rows}
    assert ids == TRIALS


def test_commands_read_it(storage):
    shown = sweeping.command(storage, "show", "05a068f0")
    assert shown.returncode == 0, shown.stderr
    assert "block-influence" in shown.stdout
    trained = json.loads((storage / "trials/05a068f02dcad5f8/trained.json").read_text())
    assert trained["model"]["num_layers"] == load_scale("smoke").model.num_layers
