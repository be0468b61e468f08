"""Probes in a sweep: each scale's oldest base is fine-tuned, once; MLflow has the accuracies."""

from support import sweeping

FLAGS = (
    "--location", "none", "--age", "80B,320B", "--budget", "0", "--task-data", "docs/task-data",
    "--probes",
)  # fmt: skip


def accuracies(storage):
    return {path.name.rpartition("-")[0] for path in storage.glob("scores/*/probe-*.json")}


def test_a_sweep_probes_its_oldest_base_from_both_starts_and_another_one_alone_later(
    run_sweep, prepared, tmp_path
):
    storage = prepared(tmp_path / "storage")
    done = run_sweep("where_to_drop", storage, *FLAGS, "glue-cola")
    assert done.returncode == 0, done.stderr
    starts = [f"{start}-{seed}" for start in ("pretrained", "fresh") for seed in (1, 2, 3)]
    first = {f"probe-glue-cola-{start}" for start in starts}
    assert accuracies(storage) == first
    assert len({path.parent for path in storage.glob("scores/*/probe-*")}) == 1
    bases = [run for run in sweeping.runs(storage)[1] if run.data.tags["role"] == "base"]
    by_age = {run.data.params["age"]: run.data.metrics for run in bases}
    for name in ("probe.glue-cola.pretrained", "probe.glue-cola.fresh"):
        assert 0 <= by_age["320B"][name] <= 1
        assert name not in by_age["80B"]
    kept = {path: path.stat().st_mtime_ns for path in storage.glob("scores/*/*")}
    more = run_sweep("where_to_drop", storage, *FLAGS, "glue-cola,glue-rte")
    assert more.returncode == 0, more.stderr
    assert accuracies(storage) == first | {f"probe-glue-rte-{start}" for start in starts}
    assert kept == {path: path.stat().st_mtime_ns for path in kept}
