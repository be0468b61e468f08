"""Trials on two devices, through Ray Train inside Tune, in a sweep that waits for the second."""

import os

import pytest

from raydistill.core.serialization import from_json
from raydistill.models.distributed import World
from raydistill.specs.results import Trained
from raydistill.specs.scale import load_scale
from raydistill.training.jobs import TrialJob
from support import sweeping
from support.forked_workers import of_nodes
from support.ray_processes import add_node_beside, cluster_of, family, left_of
from support.tiny import run_trial

PAIR = (
    "--age", "320B", "--devices-per-trial", "2", "--set", "micro_batches=2",
    "--checkpoint-every", "0",
)  # fmt: skip
WITH_TEACHER = ("--seed", "1", "--arm", "kd")


@pytest.fixture(scope="module")
def cluster(forked_workers):
    """One node with one CPU. What runs on it inherits the smoke scale's environment."""
    others = family(os.getpid())
    cluster = cluster_of(num_cpus=1, **forked_workers)
    yield cluster
    session = [process for process in family(os.getpid()) if process not in others]
    cluster.shutdown()
    assert left_of(session) == []


def test_row_34_without_an_autoscaler_the_wait_ends_in_one_line(cluster, tmp_path):
    done = sweeping.here(
        "where_to_drop", tmp_path, *PAIR, RAY_ADDRESS=cluster.address, RAYDISTILL_WAIT_S="1"
    )
    assert done.returncode == 4
    assert done.stderr.count("\n") == 1
    assert "one trial needs 2 CPU; the cluster has 1 CPU on 1 node(s)" in done.stderr
    assert not list(tmp_path.glob("trials/*"))


@pytest.fixture(scope="module")
def waited(cluster, forked_workers, prepared, tmp_path_factory):
    """The storage of a sweep that waited until a second node was added, and how it ended.

    Once, its second rank is killed.
    """
    storage = prepared(tmp_path_factory.mktemp("waited"))
    line = "waiting for a node: one trial needs 2 CPU, the cluster has 1 CPU"

    def add_node(wait_until):
        wait_until(lambda: line in sweeping.printed_so_far())
        add_node_beside(cluster, num_cpus=1, **forked_workers)

    with sweeping.beside(add_node):
        done = sweeping.here(
            "teacher_free_vs_kd", storage, *PAIR, *WITH_TEACHER, RAY_ADDRESS=cluster.address,
            RAYDISTILL_WAIT_S="120", RAYDISTILL_FAULTS="kill@step=9,rank=1", **of_nodes(),
        )  # fmt: skip
    return storage, done


def test_row_34_a_sweep_that_waits_goes_on_when_a_node_is_added(waited):
    storage, done = waited
    assert done.returncode == 0, done.stderr
    assert "[1/1]" in done.stdout
    sweeping.assert_tracked_once(storage, [("320B", "input")], "teacher_free_vs_kd")


def test_the_rank_that_was_killed_cost_a_try_and_no_more(waited):
    assert [path.name for path in (waited[0] / "faults").iterdir()] == ["kill@step=9,rank=1-1"]


def test_two_devices_train_to_the_bits_of_one_with_a_teacher(waited, prepared, tmp_path):
    """Two gloo ranks inside Tune, a removal in between; one process with two micro-batches."""
    storage = str(prepared(tmp_path))
    for path in waited[0].glob("trials/*/trained.json"):
        trained = from_json(Trained, path.read_text())
        job = TrialJob(
            spec=trained.spec,
            base_sha256=trained.spec.base.weights_sha256,
            evaluation=load_scale("smoke").evaluation,
            storage=storage,
            sweep=trained.trained_in,
        )
        run_trial(job, world=World.here())
    two, one = sweeping.results(waited[0]), sweeping.results(tmp_path)
    assert worlds(two) == [2]
    assert worlds(one) == [1]
    assert losses(one) == ["kd"]
    assert two == one


def worlds(results):
    """How many processes trained each; taken out of the results."""
    return [trained.pop("made_by")["world_size"] for trained, _scores in results.values()]


def losses(results):
    return sorted(trained["spec"]["train"]["loss"] for trained, _scores in results.values())
