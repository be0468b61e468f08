"""A sweep that asks for more than its cluster has waits for a node, and goes on when one comes."""

import os
import threading

import pytest
from ray.cluster_utils import Cluster

import sweeping
from ray_processes import family, left_of

PAIR = (
    "--age", "320B", "--location", "input", "--devices-per-trial", "2", "--set", "micro_batches=2",
)  # fmt: skip


@pytest.fixture(scope="module")
def cluster():
    """One node with one CPU. What runs on it inherits the smoke scale's environment."""
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    yield cluster
    session = family(os.getpid())
    cluster.shutdown()
    assert left_of(session) == []


def test_row_34_without_an_autoscaler_the_wait_ends_in_one_line(cluster, tmp_path):
    done = sweeping.run(tmp_path, *PAIR, RAY_ADDRESS=cluster.address, RAYDISTILL_WAIT_S="1")
    assert done.returncode == 4
    assert done.stderr.count("\n") == 1
    assert "one trial needs 2 CPU; the cluster has 1 CPU on 1 node(s)" in done.stderr
    assert not list(tmp_path.glob("trials/*"))


def test_row_34_a_sweep_that_waits_goes_on_when_a_node_is_added(cluster, tmp_path):
    process = sweeping.start(tmp_path, *PAIR, RAY_ADDRESS=cluster.address, RAYDISTILL_WAIT_S="120")
    ending = threading.Timer(240, process.kill)
    ending.start()
    said = ""
    for line in process.stdout:
        said += line
        if "waiting for a node: one trial needs 2 CPU, the cluster has 1 CPU" in line:
            break
    assert process.poll() is None, said
    cluster.add_node(num_cpus=1)
    out, err = process.communicate()
    ending.cancel()
    assert process.returncode == 0, err
    assert "[1/1] input" in out
    sweeping.assert_tracked_once(tmp_path, [("320B", "input")])
