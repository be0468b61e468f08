"""A second, general held-out text beside the corpus' own."""

import math

from support import sweeping
from support.texts import essays, write_jsonl


def test_a_second_text_is_measured_for_base_and_trials_and_shown(run_sweep, prepared, tmp_path):
    storage = prepared(tmp_path / "storage")
    flags = ("--location", "none,input", "--age", "320B")
    text = write_jsonl(tmp_path / "g.jsonl", essays(8))
    done = run_sweep("where_to_drop", storage, *flags, "--heldout-general", text)
    assert done.returncode == 0, done.stderr
    assert "On the general text, general_delta_nll in nats/token: input " in done.stdout
    assert " there in windows of 64 tokens." in " ".join(done.stdout.split())
    assert "Cells 2 · distinct trials 2 · done 0." in done.stdout
    metrics = {run.data.params["location"]: run.data.metrics for run in sweeping.cells(storage)}
    for measured in metrics.values():
        level = math.exp(measured["general_nll"])
        assert math.isclose(measured["general_perplexity"], level, rel_tol=1e-3)
    assert metrics["input"]["general_delta_nll"] != metrics["input"]["delta_nll"]
    assert "general_delta_nll_vs_control" in metrics["input"]
    (table,) = storage.glob("sweeps/*/*/table.md")
    (page,) = storage.glob("sweeps/*/*/report.html")
    assert all("On the general text" in file.read_text() for file in (table, page))
    again = run_sweep("where_to_drop", storage, *flags, "--heldout-general", text)
    assert "done 2." in again.stdout
    assert "tokenising" not in again.stdout
