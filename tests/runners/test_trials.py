import ray

from raydistill.runners.cluster.connection import configured, device_need, present
from raydistill.runners.cluster.memory import MemoryShortage
from raydistill.runners.cluster.work import Candidate
from raydistill.runners.tune.admission import Admission, Process
from raydistill.runners.tune.in_order import InOrder
from raydistill.runners.tune.trials import Setup, run_jobs
from support.ray_works import Nap, doze

CPU = {"CPU": 1.0}


def cells(*jobs):
    return [
        Candidate(key=f"t{n}", axes={"location": f"random-{n}", "age": 80}, job=job)
        for n, job in enumerate(jobs)
    ]


def test_a_failing_trial_has_three_attempts_and_stops_no_other(joined_cluster, tmp_path, capfd):
    three = cells(Nap(steps=8), Nap(steps=8, fails_at=2), Nap(steps=8))
    tokens = {}
    outcome = run_jobs(
        three,
        InOrder(three),
        work=doze,
        setup=Setup(folder=tmp_path),
        on_progress=lambda key, metrics: tokens.setdefault(key, []).append(metrics["tokens"]),
    )
    assert sorted(outcome.finished) == ["t0", "t2"]
    assert all(tokens[key] == sorted(tokens[key]) for key in outcome.finished)
    failure = outcome.failures["t1"]
    assert failure.attempts == 3
    assert failure.message == "ValueError: step 2 went wrong"
    assert "ray_works.py" in failure.traceback
    assert capfd.readouterr() == ("", "")


def test_tunes_own_table_has_the_axes_and_its_folder_is_gone(joined_cluster, tmp_path):
    one = cells(Nap(steps=1))
    run_jobs(
        one, InOrder(one), work=doze, setup=Setup(folder=tmp_path), on_progress=lambda k, m: None
    )
    header, row = (line.split(",") for line in (tmp_path / "tune.csv").read_text().split())
    named = dict(zip(header, row, strict=True))
    assert (named["config/location"], named["config/age"]) == ("random-0", "80")
    assert float(named["delta_nll_selection"]) == 1.0
    assert [path.name for path in tmp_path.iterdir()] == ["tune.csv"]


def test_trials_at_once_follow_the_cluster_for_several_devices_only(joined_cluster, tmp_path):
    assert device_need() == CPU
    assert (present(CPU), configured(CPU)) == (2, 2)
    at_once = [Setup(folder=tmp_path, device_counts=range(n, n + 1)).at_once for n in (1, 2, 8)]
    assert at_once == [0, 1, 1]
    assert Setup(folder=tmp_path, concurrent=3).at_once == 3


def test_where_one_fits_trials_run_one_after_the_other(joined_cluster, tmp_path):
    here = ray.util.get_node_ip_address()
    admission = Admission()
    for key in ("a", "b"):
        admission.begin(key, Process(node_ip=here))
        admission.report(key, 4)
    admission.lose("b", MemoryShortage(node_ip=here, used_bytes=9, limit_bytes=8), 1)
    for key in ("a", "b"):
        admission.end(key)
    two = cells(Nap(steps=8), Nap(steps=8))
    outcome = run_jobs(
        two,
        InOrder(two),
        work=doze,
        setup=Setup(folder=tmp_path, admission=admission),
        on_progress=lambda key, metrics: None,
    )
    first, second = sorted(metrics["begun"] for metrics in outcome.finished.values())
    assert second - first >= 0.8  # eight steps of a tenth of a second
