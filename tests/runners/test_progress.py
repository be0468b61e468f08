"""Workers say how far they are while they work, to whoever listens in the driver."""

import ray
from ray.experimental.internal_kv import _internal_kv_list

from raydistill.core.progress import listening
from raydistill.runners.cluster.tasks import run_each_once, run_once
from raydistill.runners.cluster.work import Candidate
from raydistill.runners.tune.in_order import InOrder
from raydistill.runners.tune.trials import Setup, run_jobs
from support.ray_works import Nap, measure, nap_and_measure

CPU = {"CPU": 1.0}


def shares(reports):
    return [progress.done / progress.total for progress in reports]


def test_a_task_says_how_far_it_is_and_leaves_nothing_behind(joined_cluster):
    reports = []
    with listening(reports.append):
        assert run_once(measure, CPU, 5) == 5
    assert {(p.stage, p.total, p.unit) for p in reports} == {("measuring", 500, "tokens")}
    assert any(0 < share < 1 for share in shares(reports))
    assert shares(reports) == sorted(shares(reports))
    job = ray.get_runtime_context().get_job_id()
    assert _internal_kv_list(f"raydistill/progress/{job}/") == []


def test_tasks_side_by_side_are_one_stage(joined_cluster):
    reports = []
    with listening(reports.append):
        assert run_each_once(measure, CPU, [4, 4, 4]) == [4, 4, 4]
    assert {progress.total for progress in reports} == {1_200}
    assert any(0 < share < 1 for share in shares(reports))


def test_a_trial_says_how_far_its_measuring_is_beside_its_reports(joined_cluster, tmp_path):
    one = [Candidate(key="t0", axes={"location": "input"}, job=Nap(steps=2))]
    tokens, stages = [], []
    outcome = run_jobs(
        one,
        InOrder(one),
        work=nap_and_measure,
        setup=Setup(folder=tmp_path),
        on_progress=lambda _key, metrics: tokens.append(metrics["tokens"]),
        on_stages=lambda reports: stages.append(reports["t0"]),
    )
    assert list(outcome.finished) == ["t0"]
    assert tokens[-1] == 200
    assert {progress.stage for progress in stages} == {"measuring"}
    assert any(0 < share < 1 for share in shares(stages))
