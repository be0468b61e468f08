"""A sweep of which some trials fail; where all do: `test_job_submit.py`.

Its MLflow server has a password, and its environment holds secrets.
"""

import json
import re
import shutil

import pytest
from mlflow import MlflowClient

from support import sweeping
from support.mlflow_server import free_port, server
from support.planted import IN_ENVIRONMENT, PASSWORD, SECRETS


@pytest.fixture(scope="module")
def failed(prepared, migrated, tmp_path_factory, ray_address):
    """All that it left, how it ended, and where; the young base has lost a bit since measured."""
    folder, port = tmp_path_factory.mktemp("failed"), free_port()
    storage = prepared(folder / "storage")
    flip_a_bit_of_the_young_base(storage)
    (folder / "served").mkdir()
    shutil.copy(migrated, folder / "served/served.db")
    with server(folder / "served", port), pytest.MonkeyPatch.context() as patch:
        for name, value in IN_ENVIRONMENT.items():
            patch.setenv(name, value)
        done = sweeping.here(
            "where_to_drop", storage, "--location", "output", "--concurrent", "1",
            "--tracking-uri", f"http://ann:{PASSWORD}@127.0.0.1:{port}",
            RAY_ADDRESS=ray_address, RAYDISTILL_OWNER=f"ann:{SECRETS['HF_TOKEN']}",
        )  # fmt: skip
        sweeping.command(storage, "report")
    return folder, done, f"http://***@127.0.0.1:{port}"


def flip_a_bit_of_the_young_base(storage):
    (ages,) = storage.glob("pretraining/*/ages.json")
    sha256s = json.loads(ages.read_text())
    weights = storage / "bases" / sha256s[min(sha256s, key=int)] / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-100] ^= 1
    weights.write_bytes(content)


def test_some_trials_fail_and_the_rest_is_reported(failed):
    folder, done, _ = failed
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    table = (folder / "storage/sweeps/where_to_drop/smoke/table.md").read_text()
    assert re.search(r"failed in training after 3 tries: DataError: .* it was changed", table)
    client = MlflowClient(f"sqlite:///{folder}/served/served.db")
    experiment = client.get_experiment_by_name("raydistill/where_to_drop")
    found = client.search_runs([experiment.experiment_id])
    statuses = {
        (run.data.params["age"], run.data.params["location"]): run.info.status
        for run in found if run.data.tags["role"] in ("cell", "control")
    }  # fmt: skip
    assert statuses["80B", "output"] == "FAILED"
    assert statuses["320B", "output"] == "FINISHED"
    assert "RUNNING" not in statuses.values()


def test_no_secret_is_in_what_it_leaves_or_says(failed):
    """Parameters, tags, logs, errors, page and database."""
    folder, done, printed_address = failed
    assert printed_address in done.stdout
    files = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    content = b"".join(files) + done.stdout.encode() + done.stderr.encode()
    assert b"where_to_drop" in content
    for secret in (*SECRETS.values(), PASSWORD):
        assert secret.encode() not in content, secret
