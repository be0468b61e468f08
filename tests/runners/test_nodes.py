"""Nodes that are lost and added: the sweep goes on to the same bits.

The head has no CPU, as on a cluster where it only directs.
"""

import os
import threading
import time

import pytest
from ray._raylet import GcsClient
from ray.autoscaler.v2.sdk import get_cluster_resource_state

from raydistill.core.fault_injection import Fault
from raydistill.runners.cluster.connection import connected
from raydistill.runners.cluster.work import Candidate
from raydistill.runners.tune.in_order import InOrder
from raydistill.runners.tune.trials import Setup, run_jobs
from support import sweeping, trained_here
from support.forked_workers import of_nodes
from support.ray_processes import add_node_beside, cluster_of, family, left_of
from support.ray_works import Nap, doze

ONE = ("--age", "320B", "--location", "input", "--checkpoint-every", "0")
ELASTIC = (*ONE, "--devices-per-trial", "1-2", "--set", "micro_batches=2", "--budget", "1200B")
PASSED = Fault(action="note", point="step", number=8)


@pytest.fixture
def node(forked_workers):
    """What every node but the head has."""
    return {"num_cpus": 1, **forked_workers}


@pytest.fixture
def cluster(forked_workers, monkeypatch):
    """A head without CPUs; a node that is lost is noticed within seconds."""
    monkeypatch.setenv("RAY_health_check_period_ms", "500")
    processes_before = family(os.getpid())
    cluster = cluster_of(num_cpus=0, **forked_workers)
    yield cluster
    session = [process for process in family(os.getpid()) if process not in processes_before]
    cluster.shutdown()
    assert left_of(session) == []


def start(storage, cluster, *flags, faults="note@step=8"):
    process = sweeping.start(
        storage, *flags, RAY_ADDRESS=cluster.address, RAYDISTILL_FAULTS=faults,
        RAYDISTILL_RESIZE_S="2", RAYDISTILL_WAIT_S="120",
    )  # fmt: skip
    ending = threading.Timer(500, process.kill)
    ending.daemon = True
    ending.start()
    return process


def wait_for_fault(storage, process, fault=PASSED):
    while not (storage / f"faults/{fault.name}-1").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def calm(storage, *flags):
    trained_here.train(storage, *flags)
    return sweeping.results(storage)


def test_a_node_lost_in_mid_trial_and_another_added(cluster, node, prepared, tmp_path):
    storage = prepared(tmp_path / "lost")
    lost = cluster.add_node(**node)

    def another_in_its_place(wait_until):
        wait_until((storage / f"faults/{PASSED.name}-1").exists)
        cluster.remove_node(lost, allow_graceful=False)
        newest = max(int(p.name[5:]) for p in storage.glob("trials/*/checkpoints/step-*"))
        assert 0 < newest < 17
        add_node_beside(cluster, **node)

    with sweeping.beside(another_in_its_place):
        done = sweeping.here(
            "where_to_drop", storage, *ONE, RAY_ADDRESS=cluster.address,
            RAYDISTILL_FAULTS="note@step=8", RAYDISTILL_WAIT_S="120", **of_nodes(),
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert sweeping.results(storage) == calm(prepared(tmp_path / "calm"), *ONE)
    sweeping.assert_tracked_once(storage, [("320B", "input")])


@pytest.mark.soak
@pytest.mark.parametrize("lost_node", ["of the trial's own process", "of a rank alone"])
def test_an_elastic_trial_goes_from_two_devices_to_one_and_back(
    cluster, node, prepared, tmp_path, lost_node
):
    """Its global batch is the same all the time: two micro-batches on one rank, or one on each."""
    storage = prepared(tmp_path / "elastic")
    nodes = [cluster.add_node(**node) for _ in range(2)]
    marks = [Fault(action="note", point="step", number=n, rank=r) for n, r in ((8, 1), (60, 0))]
    plan = "; ".join(f"note@step={m.number},rank={m.rank}" for m in marks)
    process = start(storage, cluster, *ELASTIC, faults=f"{plan}; note@step=900,rank=1")
    wait_for_fault(storage, process, marks[0])
    own, other = sorted(nodes, key=lambda node: free_cpus(cluster)[node.node_id])
    cluster.remove_node(own if "own" in lost_node else other, allow_graceful=False)
    wait_for_fault(storage, process, marks[1])
    cluster.add_node(**node)
    out, err = process.communicate()
    assert process.returncode == 0, out + err
    assert (storage / "faults" / "note@step=900,rank=1-1").exists()  # on two again
    ours, other = sweeping.results(storage), calm(prepared(tmp_path / "calm"), *ELASTIC)
    for trained, _ in (*ours.values(), *other.values()):
        del trained["made_by"]  # on two devices, and on one
    assert ours == other


def free_cpus(cluster):
    """By node; a trial's own process holds a hundredth."""
    state = get_cluster_resource_state(GcsClient(cluster.address))
    return {n.node_id.hex(): n.available_resources.get("CPU", 0) for n in state.node_states}


def idle_s(cluster):
    """How long each node counts as idle to the autoscaler: no CPU in use there, no object kept."""
    state = get_cluster_resource_state(GcsClient(cluster.address))
    return {node.node_id.hex(): node.idle_duration_ms / 1000 for node in state.node_states}


def test_after_its_last_trial_a_node_may_leave(cluster, node, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(sweeping.ROOT / "tests"), prepend=os.pathsep)
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    nodes = {cluster.add_node(**node).node_id for _ in range(2)}
    two = [Candidate(key=f"t{n}", axes={}, job=Nap(steps=n)) for n in (2, 80)]
    idle_times = []

    def look(key, metrics):
        if key == "t80":
            idle_times.append(sorted(idle_s(cluster)[node] for node in nodes))

    with connected(tmp_path / "ray.log"):
        setup = Setup(folder=tmp_path)
        outcome = run_jobs(two, InOrder(two), work=doze, setup=setup, on_progress=look)
        assert sorted(outcome.finished) == ["t2", "t80"]
        assert max(idle for _, idle in idle_times) > 3  # while the other trained
        assert all(busy < 1 for busy, _ in idle_times)
        time.sleep(3)  # the driver reports, and may take long
        assert min(idle_s(cluster)[node] for node in nodes) > 1


@pytest.mark.soak
def test_the_head_is_lost_and_the_command_repeated_on_a_new_cluster(
    cluster, node, prepared, tmp_path
):
    """A driver elsewhere waits a minute for its head, and ends with Ray's own words."""
    storage = prepared(tmp_path / "lost")
    cluster.add_node(**node)
    process = start(storage, cluster, *ONE)
    wait_for_fault(storage, process)
    cluster.remove_node(cluster.head_node, allow_graceful=False)
    out, err = process.communicate()
    assert process.returncode == 1, out + err
    assert "GCS may have been killed" in err
    done = sweeping.run(storage, *ONE)
    assert done.returncode == 0, done.stderr
    assert sweeping.results(storage) == calm(prepared(tmp_path / "calm"), *ONE)
    sweeping.assert_tracked_once(storage, [("320B", "input")])
