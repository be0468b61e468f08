import os
import signal
import threading
import time
from pathlib import Path

import pytest
import ray
from ray.exceptions import RayTaskError
from ray.util import placement_group, placement_group_table, remove_placement_group

from raydistill.core.errors import DataError, SetupError, UsageError
from raydistill.runners.cluster.connection import (
    configured,
    connected,
    device_need,
    present,
    require_shared,
    wait_for,
)
from raydistill.runners.cluster.failures import Tries
from raydistill.runners.cluster.tasks import follow_once, run_once
from raydistill.runners.cluster.work import FINISHED, Candidate, paced
from raydistill.runners.tune.in_order import InOrder
from raydistill.runners.tune.orphans import remove_orphans
from raydistill.runners.tune.trials import Setup, run_jobs
from support.ray_works import Dies, Nap, die, doze

CPU = {"CPU": 1.0}


@pytest.fixture(scope="module")
def cluster(ray_cluster, tmp_path_factory):
    """One node with two CPUs, joined by RAY_ADDRESS; its workers find what lies here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ADDRESS", ray_cluster.address)
        with connected(tmp_path_factory.mktemp("log") / "ray.log"):
            yield ray_cluster


def test_an_address_where_nothing_answers_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:8265")
    with pytest.raises(SetupError, match="RAY_ADDRESS"), connected(tmp_path / "ray.log"):
        pass


def test_the_first_and_the_last_item_are_reported_and_the_last_is_marked():
    items = [{"tokens": n} for n in range(1, 101)]
    reported = list(paced(iter(items), agree=int))
    assert reported[0] == {"tokens": 1}
    assert reported[-1] == {"tokens": 100, FINISHED: 1}
    assert len(reported) < 10  # strides only double, as the items take no time at all


def test_ranks_report_the_same_items_however_fast_each_is():
    told = []
    leader = list(paced(({"n": n} for n in range(50)), agree=lambda s: told.append(s) or s))
    replay = iter(told)
    slow = (time.sleep(0.01) or {"n": n} for n in range(50))
    assert list(paced(slow, agree=lambda s: next(replay))) == leader


def cells(*jobs):
    return [
        Candidate(key=f"t{n}", axes={"location": f"random-{n}", "age": 80}, job=job)
        for n, job in enumerate(jobs)
    ]


def test_a_failing_trial_is_tried_three_times_and_stops_no_other(cluster, tmp_path, capfd):
    three = cells(Nap(steps=8), Nap(steps=8, fails_at=2), Nap(steps=8))
    heard = {}
    outcome = run_jobs(
        three,
        InOrder(three),
        work=doze,
        setup=Setup(folder=tmp_path),
        on_progress=lambda key, metrics: heard.setdefault(key, []).append(metrics["tokens"]),
    )
    assert sorted(outcome.finished) == ["t0", "t2"]
    assert all(heard[key] == sorted(heard[key]) for key in outcome.finished)
    failure = outcome.failures["t1"]
    assert failure.attempts == 3
    assert failure.message == "ValueError: step 2 went wrong"
    assert "ray_works.py" in failure.traceback
    assert capfd.readouterr() == ("", "")


def test_tries_are_counted_since_the_last_that_got_further():
    steps = iter([0, 0, 5, 4, 5, 7, 7, 7])
    tries = Tries(lambda key: (next(steps),))
    assert [tries.again("t0") for _ in range(5)] == [True, True, True, True, False]
    assert [tries.again("t0") for _ in range(3)] == [True, True, False]


def test_tunes_own_table_speaks_of_the_axes_and_its_folder_is_gone(cluster, tmp_path):
    one = cells(Nap(steps=1))
    run_jobs(
        one, InOrder(one), work=doze, setup=Setup(folder=tmp_path), on_progress=lambda k, m: None
    )
    header, row = (line.split(",") for line in (tmp_path / "tune.csv").read_text().split())
    named = dict(zip(header, row, strict=True))
    assert (named["config/location"], named["config/age"]) == ("random-0", "80")
    assert float(named["delta_nll_selection"]) == 1.0
    assert [path.name for path in tmp_path.iterdir()] == ["tune.csv"]


def share(tokens, ranks):
    return tokens // ranks


def refuse(number):
    raise DataError(f"{number} tokens are too few")


def test_work_done_once_returns_its_value_and_raises_its_own_errors(cluster):
    assert run_once(share, CPU, 7, ranks=2) == 3
    with pytest.raises(DataError, match=r"^17 tokens are too few$"):
        run_once(refuse, CPU, 17)
    with pytest.raises(RayTaskError, match="ZeroDivisionError"):
        run_once(share, CPU, 1, ranks=0)


def test_a_work_done_once_is_heard_while_it_goes(cluster):
    heard = []
    last = follow_once(doze, Nap(steps=4), CPU, heard.append)
    assert heard[0]["tokens"] == 100
    assert heard[-1] == last
    assert last["tokens"] == 400


def dying(tmp_path, *deaths):
    """A work, how far it has come, and how often it died."""
    for name, text in (("kept", "0"), ("kept-died", "")):
        (tmp_path / name).write_text(text)
    job = Dies(kept=str(tmp_path / "kept"), deaths=deaths)
    return job, lambda key: (int((tmp_path / "kept").read_text()),)


def test_a_work_that_dies_often_goes_on_as_long_as_it_gets_further(cluster, tmp_path):
    job, reached = dying(tmp_path, 3, 5, 7, 9)
    heard = []
    last = follow_once(die, job, CPU, lambda metrics: heard.append(metrics["step"]), reached)
    assert last == {"step": 10, FINISHED: 1}
    assert heard == sorted(heard)
    assert (tmp_path / "kept-died").read_text() == "xxxx"


def test_what_dies_at_the_same_place_is_told_in_one_line(cluster, tmp_path):
    job, reached = dying(tmp_path, 3, 5, 5, 5, 5)
    with pytest.raises(SetupError, match=r"^die failed, its process died: .* goes on$"):
        follow_once(die, job, CPU, lambda metrics: None, reached)
    assert (tmp_path / "kept-died").read_text() == "xxxx"
    with pytest.raises(SetupError, match=r"^kill failed, its process died: .* goes on$"):
        run_once(kill, CPU)


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def test_more_than_the_cluster_has_is_refused_after_the_wait(cluster, monkeypatch):
    monkeypatch.setenv("RAYDISTILL_WAIT_S", "0.5")
    lines = []
    with pytest.raises(SetupError, match=r"needs 4 GPU and 4 CPU; the cluster has 0 GPU, 2 CPU"):
        wait_for({"GPU": 1.0, "CPU": 1.0}, times=4, say=lines.append)
    assert len(lines) == 1


def test_what_a_dead_actor_held_is_given_back(cluster):
    @ray.remote(num_cpus=0)
    class Maker:
        def hold(self):
            group = placement_group([{"CPU": 1}])
            group.wait(10)
            return group

    def states():
        return [placement_group_table(group)["state"] for group in (own, of_maker)]

    own, maker = placement_group([{"CPU": 1}]), Maker.remote()
    of_maker = ray.get(maker.hold.remote())
    remove_orphans()
    assert states() == ["CREATED", "CREATED"]
    ray.kill(maker)
    deadline = time.monotonic() + 20
    while states()[1] != "REMOVED" and time.monotonic() < deadline:
        remove_orphans()
        time.sleep(0.2)
    assert states() == ["CREATED", "REMOVED"]
    remove_placement_group(own)


def test_a_patience_that_is_no_number_is_refused(cluster, monkeypatch):
    monkeypatch.setenv("RAYDISTILL_WAIT_S", "abc")
    with pytest.raises(UsageError, match="RAYDISTILL_WAIT_S=abc: seconds"):
        wait_for({"CPU": 8.0}, say=print)


def test_trials_at_once_follow_the_cluster_for_several_devices_only(cluster, tmp_path):
    assert device_need() == CPU
    assert (present(CPU), configured(CPU)) == (2, 2)
    at_once = [Setup(folder=tmp_path, device_counts=range(n, n + 1)).at_once for n in (1, 2, 8)]
    assert at_once == [0, 1, 1]
    assert Setup(folder=tmp_path, concurrent=3).at_once == 3


def test_it_goes_on_when_a_node_is_added_and_asks_it_for_the_storage(
    cluster, tmp_path, monkeypatch, request
):
    require_shared(tmp_path)  # with one node there is nothing to ask
    lines = []
    waiter = threading.Thread(target=lambda: wait_for(CPU, times=4, say=lines.append))
    waiter.start()
    node = cluster.add_node(num_cpus=2)
    request.addfinalizer(lambda: cluster.remove_node(node))
    waiter.join(timeout=30)
    assert not waiter.is_alive()
    assert present(CPU) == 4
    assert len(lines) == 1
    require_shared(tmp_path)
    monkeypatch.chdir(tmp_path)  # a path that every process understands in its own way
    with pytest.raises(SetupError, match="not shared"):
        require_shared(Path("/proc/self/cwd"))
    assert not list(tmp_path.iterdir())
