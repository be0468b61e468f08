"""What `test_job_submit.py` submits: six single trials, one of which ASHA stops, and a nested one.

python shape_driver.py FOLDER
"""

import json
import sys
import time
from pathlib import Path

from ray.tune.schedulers import ASHAScheduler

from raydistill.runners.cluster.connection import connected, wait_for
from raydistill.runners.cluster.work import Candidate
from raydistill.runners.tune.in_order import InOrder
from raydistill.runners.tune.trials import Setup, run_jobs
from support.ray_works import Nap, count_ranks, nap

folder = Path(sys.argv[1])


def run(work, jobs, **setup):
    """The outcome, the reports and the seconds of napping `jobs`."""
    cells = [
        Candidate(key=f"{work.__name__}{n}", axes={"location": f"random-{n}"}, job=job)
        for n, job in enumerate(jobs)
    ]
    reports = []
    started = time.monotonic()
    outcome = run_jobs(
        cells,
        InOrder(cells),
        work=work,
        setup=Setup(folder=folder, **setup),
        on_progress=lambda key, metrics: reports.append({"key": key, **metrics}),
    )
    return {
        "finished": sorted(outcome.finished),
        "stopped": sorted(outcome.stopped),
        "failures": [failure.traceback for failure in outcome.failures.values()],
        "reports": reports,
        "wall_s": time.monotonic() - started,
    }


with connected(folder / "ray.log"):
    wait_for({"CPU": 1.0}, times=2, say=print)
    good, bad = Nap(), Nap(value=9.0)
    asha = ASHAScheduler(
        time_attr="tokens",
        metric="loss",
        mode="min",
        grace_period=800,
        max_t=10**9,
        reduction_factor=2,
    )
    single = run(nap, [good] * 5 + [bad], scheduler=asha)
    nested = run(count_ranks, [Nap(steps=10)], device_counts=range(2, 3))
(folder / "shape.json").write_text(json.dumps({"single": single, "nested": nested}, default=str))
