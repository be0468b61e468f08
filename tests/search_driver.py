"""A driver that searches by TPE over napping cells; `test_search.py` kills it and repeats it.

python search_driver.py FOLDER TRIALS
"""

import sys
from pathlib import Path

from ray_works import Nap, nap_once
from raydistill.runners.cluster import connected
from raydistill.runners.tpe import Tpe
from raydistill.runners.tune import Setup, run_jobs
from raydistill.runners.work import Candidate

folder, trials = Path(sys.argv[1]), int(sys.argv[2])
candidates = [
    Candidate(
        key=f"{location}-{age}",
        axes={"location": location, "age": age},
        job=Nap(steps=5, value=float(10 * place + age), folder=str(folder)),
    )
    for place, location in enumerate(("input", "middle", "output"))
    for age in (1, 4)
    if (location, age) != ("output", 1)  # an impossible cell
]
done = {path.stem for path in folder.glob("*.done")}
known = {c.key: c.job.value for c in candidates if str(c.job.value) in done}
with connected(folder / "ray.log"):
    run_jobs(
        candidates,
        Tpe(candidates, known, trials, seed=0),
        work=nap_once,
        setup=Setup(folder=folder, concurrent=1),
        on_progress=lambda key, metrics: None,
    )
