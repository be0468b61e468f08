"""Table 2's tasks in a sweep, from a folder of files."""

import sweeping
import task_samples
from raydistill.evaluate.paper13 import PAPER13

FLAGS = ("--location", "none,input", "--age", "320B", "--tasks")


def test_a_sweep_is_scored_on_the_13_tasks_and_one_more_trains_nothing(
    run_sweep, prepared, tmp_path
):
    storage, data = prepared(tmp_path / "storage"), task_samples.write(tmp_path / "data")
    done = run_sweep("where_to_drop", storage, *FLAGS, "paper13", "--task-data", str(data))
    assert done.returncode == 0, done.stderr
    cells = sweeping.cells(storage)
    assert len(cells) == 2
    for cell in cells:
        assert {f"task.{name}" for name in PAPER13} <= cell.data.metrics.keys()
        assert "task.arc_challenge.acc_mutual_info" in cell.data.metrics
        assert "task.word-order" not in cell.data.metrics
    trained = {path: path.stat().st_mtime_ns for path in storage.glob("trials/*/weights/*")}
    kept = set(storage.glob("scores/*/*.json"))
    for path in data.iterdir():
        path.unlink()
    task_samples.write(data, {"copa": task_samples.SAMPLES["copa"]})
    more = run_sweep("where_to_drop", storage, *FLAGS, "copa,word-order", "--task-data", str(data))
    assert more.returncode == 0, more.stderr
    new = {path.name.rpartition("-")[0] for path in set(storage.glob("scores/*/*.json")) - kept}
    assert new == {"word-order"}, "the rest was kept"
    assert trained == {path: path.stat().st_mtime_ns for path in trained}
