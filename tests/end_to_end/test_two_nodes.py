"""Two nodes that share no disk: storage on the S3 API, MLflow on PostgreSQL and that S3."""

import json

import pytest
from mlflow import MlflowClient
from ray.cluster_utils import Cluster

from raydistill.core.errors import SetupError
from raydistill.storage.store import Store
from raydistill.storage.urls import copy_of
from raydistill.tracking.destination import check_destination
from support import sweeping, trained_here
from support.mlflow_server import free_port, server
from support.object_store import KEYS, object_store
from support.postgres import PASSWORD, postgres

SWEEP = ("--age", "320B", "--location", "none,input,output", "--budget", "500B")
"""Long enough for a second node's worker to start before the first node has done all."""


@pytest.fixture(scope="module")
def database():
    with postgres() as uri:
        yield uri


@pytest.fixture(scope="module")
def url():
    with pytest.MonkeyPatch.context() as patch, object_store() as address:
        for name, value in KEYS.items():
            patch.setenv(name, value)
        yield address


@pytest.fixture
def mlflow(database, url, tmp_path, monkeypatch):
    endpoint = url.partition("endpoint_override=")[2].partition("&")[0]
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with server(tmp_path, free_port(), database=database, files="s3://sweeps/mlflow") as uri:
        yield uri


@pytest.fixture
def cluster(tmp_path):
    """A head without CPUs and two nodes with one, each with copies of its own."""
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
    )
    for name in ("one", "two"):
        copies = {"RAYDISTILL_LOCAL_COPIES": str(tmp_path / name)}
        cluster.add_node(num_cpus=1, env_vars=copies)
    yield cluster
    cluster.shutdown()


def test_a_database_is_asked_before_anything_starts(database, tmp_path):
    store = Store(tmp_path)
    assert check_destination(database, store).endswith(
        "@127.0.0.1:" + database.rpartition(":")[2] + " answers"
    )
    for wrong in (database.replace("planted", "another"), database.replace("/postgres", "/other")):
        with pytest.raises(SetupError, match="does not answer") as refused:
            check_destination(wrong, store)
        assert "-password" not in str(refused.value)
    with pytest.raises(SetupError, match="pip install mysqlclient"):
        check_destination(database.replace("postgresql+psycopg2", "mysql"), store)


@pytest.mark.soak
def test_a_sweep_over_two_nodes(cluster, mlflow, url, prepared, tmp_path, monkeypatch):
    calm = prepared(tmp_path / "calm")
    trained_here.train(calm, *SWEEP)
    monkeypatch.setenv("RAYDISTILL_LOCAL_COPIES", str(tmp_path / "driver/.cache/raydistill"))
    prepared(copy_of(url))
    monkeypatch.delenv("RAYDISTILL_LOCAL_COPIES")
    done = sweeping.run(
        url, *SWEEP, "--tracking-uri", mlflow, HOME=str(tmp_path / "driver"),
        RAY_ADDRESS=cluster.address,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    [driver] = (tmp_path / "driver/.cache/raydistill").iterdir()
    assert sweeping.results(driver) == sweeping.results(calm)
    assert trained_on(tmp_path / "one") + trained_on(tmp_path / "two") == 3
    client = MlflowClient(mlflow)
    experiment = client.get_experiment_by_name("raydistill/where_to_drop")
    runs = client.search_runs([experiment.experiment_id])
    cells = [run for run in runs if run.data.tags["role"] in ("cell", "control")]
    assert sorted(run.data.params["location"] for run in cells) == ["input", "none", "output"]
    assert {run.info.status for run in runs} == {"FINISHED"}
    [sweep] = [run for run in runs if run.data.tags["role"] == "sweep"]
    files = {file.path for file in client.list_artifacts(sweep.info.run_id)}
    assert "table.md" in files
    assert PASSWORD not in json.dumps([run.to_dictionary() for run in runs])


def trained_on(node):
    """How many trials a node has trained; it has done its share."""
    [copy] = node.iterdir()
    count = len(list(copy.glob("trials/*/trained.json")))
    assert count > 0
    return count
