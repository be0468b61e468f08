"""Students' losses by teacher size, drawn around planted minima, with their resamples."""

import numpy as np

from raydistill.laws.capacity_gap.best_teacher import TeacherCurve
from raydistill.laws.capacity_gap.verdict import capacity_gap

TEACHERS = np.array([43e3, 75e3, 130e3, 230e3, 400e3, 690e3, 1.2e6])
STUDENTS = (50e3, 80e3, 130e3, 210e3, 340e3)


def curve(student, best, random, *, noise=0.0005, bend=0.05, seeds=2, teachers=TEACHERS):
    """Two data seeds and 200 resamples of them and of documents."""
    mean_n = 3 + bend * np.log(teachers / best) ** 2
    runs_sn = mean_n + noise * random.standard_normal((seeds, len(teachers)))
    shares = random.multinomial(seeds, np.full(seeds, 1 / seeds), size=200) / seeds
    stretch = np.sqrt(seeds / random.chisquare(seeds - 1, size=(200, 1)))
    steps_Rn = (shares - 1 / seeds) * stretch @ (runs_sn - runs_sn.mean(axis=0))
    documents_Rn = noise / 5 * random.standard_normal(steps_Rn.shape)
    measured_n = runs_sn.mean(axis=0)
    return TeacherCurve(
        student=f"{student / 1e3:.0f}K",
        size=student,
        teachers=tuple(f"{size / 1e3:.0f}K" for size in teachers),
        sizes_N=teachers,
        losses_RN=np.vstack([measured_n, measured_n + steps_Rn + documents_Rn]),
    )


def gap(best, random, students=STUDENTS, **changes):
    """The law of these students; `best` gives the best teacher of a size."""
    return capacity_gap([curve(size, best(size), random, **changes) for size in students])
