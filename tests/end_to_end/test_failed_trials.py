"""A sweep of which some trials fail; where all do: `test_job_submit.py`."""

import json
import re

from support import sweeping


def test_some_trials_fail_and_the_rest_is_reported(prepared, tmp_path, run_sweep):
    """The young base has lost a bit since it was measured."""
    storage = prepared(tmp_path)
    flip_a_bit_of_the_young_base(storage)
    done = run_sweep("where_to_drop", storage, "--location", "output")
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    table = (storage / "sweeps/where_to_drop/smoke/table.md").read_text()
    assert re.search(r"failed in training after 3 tries: DataError: .* it was changed", table)
    runs = {(r.data.params["age"], r.data.params["location"]): r for r in sweeping.cells(storage)}
    assert runs["80B", "output"].info.status == "FAILED"
    assert runs["320B", "output"].info.status == "FINISHED"
    assert "RUNNING" not in {run.info.status for run in runs.values()}


def flip_a_bit_of_the_young_base(storage):
    (ages,) = storage.glob("pretraining/*/ages.json")
    sha256s = json.loads(ages.read_text())
    weights = storage / "bases" / sha256s[min(sha256s, key=int)] / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-100] ^= 1
    weights.write_bytes(content)
