"""Table 2's tasks in a sweep, from a folder of files."""

import json

from raydistill.core.serialization import from_json
from raydistill.evaluation.lm_harness.paper13 import PAPER13
from raydistill.evaluation.scoring import standard_error
from raydistill.specs.results import UnitScores
from support import sweeping, task_samples

FLAGS = ("--location", "none,input", "--age", "320B", "--tasks")


def planned(run_sweep, storage, data):
    """The plan, or the error, of `--tasks above-chance`."""
    flags = (*FLAGS, "above-chance", "--task-data", str(data), "--dry-run")
    done = run_sweep("where_to_drop", storage, *flags)
    return done.stderr if done.returncode else done.stdout


def above_chance(storage):
    """The tasks in which the base is above chance by two standard errors, by its kept scores."""
    (ages,) = storage.glob("pretraining/*/ages.json")
    sha256s = json.loads(ages.read_text())
    folder = storage / "scores" / sha256s[max(sha256s, key=int)]
    is_above = {}
    for file in folder.glob("*.json"):
        scores = from_json(UnitScores, file.read_text())
        least = scores.value - 2 * standard_error(scores)
        is_above[file.name.rpartition("-")[0]] = least > scores.chance
    assert is_above.keys() >= set(PAPER13)
    return [name for name in PAPER13 if is_above[name]]


def test_a_sweep_is_scored_on_the_13_tasks_and_one_more_trains_nothing(
    run_sweep, prepared, tmp_path
):
    storage, data = prepared(tmp_path / "storage"), task_samples.write(tmp_path / "data")
    early = planned(run_sweep, storage, data)
    assert "--tasks above-chance: the base of age 320B is not scored on all 13 yet" in early
    done = run_sweep("where_to_drop", storage, *FLAGS, "paper13", "--task-data", str(data))
    assert done.returncode == 0, done.stderr
    cells = sweeping.cells(storage)
    assert len(cells) == 2
    for cell in cells:
        assert {f"task.{name}" for name in PAPER13} <= cell.data.metrics.keys()
        assert "task.arc_challenge.acc_mutual_info" in cell.data.metrics
        assert "task.word-order" not in cell.data.metrics
    narrowed = " ".join(planned(run_sweep, storage, data).split())
    assert f" tasks {', '.join(above_chance(storage))} measured " in narrowed
    trained = {path: path.stat().st_mtime_ns for path in storage.glob("trials/*/weights/*")}
    scores = set(storage.glob("scores/*/*.json"))
    for path in data.iterdir():
        path.unlink()
    task_samples.write(data, {"copa": task_samples.SAMPLES["copa"]})
    more = run_sweep("where_to_drop", storage, *FLAGS, "copa,word-order", "--task-data", str(data))
    assert more.returncode == 0, more.stderr
    new = {path.name.rpartition("-")[0] for path in set(storage.glob("scores/*/*.json")) - scores}
    assert new == {"word-order"}, "the rest was kept"
    assert trained == {path: path.stat().st_mtime_ns for path in trained}
