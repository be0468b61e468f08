"""The distillation law as it is fitted here: a ladder of gaps over what the student reaches alone.

Both halves are fits (Busbridge et al., 2025, sections 4.1 and 4.2): first the student's own surface
L̃_S(N_S, D_S) to the runs without a teacher, then the gap to those with one, given that surface.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raydistill.core.errors import UsageError
from raydistill.laws.fit import Fit
from raydistill.laws.fitting import Objective, fit
from raydistill.laws.forms.distillation import LADDER
from raydistill.laws.points import Points
from raydistill.laws.stored import save_fit
from raydistill.storage.store import Store

SURFACE = "chinchilla"
NAME = "distillation"
SURFACE_FILE = "surface.json"
RUNGS = tuple(f"{NAME}+parameters={count}" for count in LADDER)


@dataclass(frozen=True, kw_only=True, slots=True)
class DistillationFits:
    """The rungs of the ladder that the runs allow, the best by BIC first, and the surface.

    Args:
        rungs: fits of the gap to the same runs, one or more.
        surface: what the student reaches alone; None if too few runs say how that goes on.
    """

    rungs: tuple[Fit, ...]
    surface: Fit | None


def fit_distillation(
    taught: Points,
    alone: Points,
    *,
    objective: Objective = "least-squares",
    forms: Sequence[str] = RUNGS,
) -> DistillationFits:
    """Both halves of the law.

    Args:
        taught: runs with a teacher; inputs `student_params`, `student_tokens`, `teacher_loss`, and
            `student_alone`, or that is what `alone` says of its size and tokens.
        alone: runs without a teacher; inputs `params`, `tokens`.
        objective: as in `fit`.
        forms: the rungs to try.

    Raises:
        UsageError: if there are too few runs with a teacher, or none has a run without one at its
            size and tokens.
    """
    surface = None
    if len(alone):
        try:
            surface = fit(SURFACE, alone, objective=objective)
        except UsageError:  # too few: what was measured stands for itself
            surface = None
    points = with_student_alone(taught, alone, surface)
    rungs, refusals = [], []
    for form in forms:
        try:
            rungs.append(fit(form, points, objective=objective))
        except UsageError as refusal:
            refusals.append(refusal)
    if not rungs:
        raise refusals[0]
    best = sorted(rungs, key=lambda rung: rung.bic)
    return DistillationFits(rungs=tuple(best), surface=surface)


def with_student_alone(taught: Points, alone: Points, surface: Fit | None) -> Points:
    """The runs with what their student reaches without a teacher; those without it are left out.

    That is the mean of the runs of `alone` at the same size and tokens, else what `surface` says.
    """
    if "student_alone" in taught.inputs:
        return taught
    size, tokens = taught.inputs["student_params"], taught.inputs["student_tokens"]
    reached = np.full(len(taught), math.nan)
    for i in range(len(taught)):
        same = np.isclose(alone.inputs["params"], size[i]) & np.isclose(
            alone.inputs["tokens"], tokens[i]
        )
        if same.any():
            reached[i] = alone.outputs[same].mean()
        elif surface is not None:
            reached[i] = surface.values({"params": size[i : i + 1], "tokens": tokens[i : i + 1]})[0]
    if np.isnan(reached).all():
        raise UsageError(
            "no run without a teacher at the size and tokens of one with a teacher: add some, or "
            "a column student_alone with the loss that each student reaches without one"
        )
    known = ~np.isnan(reached)
    kept = taught.kept(known, "no run without a teacher has its size and tokens")
    inputs = {**kept.inputs, "student_alone": reached[known]}
    return Points(
        inputs=inputs, outputs=kept.outputs, names=kept.names, seeds=kept.seeds,
        excluded=kept.excluded,
    )  # fmt: skip


def save_law(store: Store, law: DistillationFits) -> str:
    """Keep the best rung, and the surface in one folder with it. Returns its id."""
    fit_id = save_fit(store, law.rungs[0])
    if law.surface is not None:
        store.save(law.surface, "laws", fit_id, SURFACE_FILE)
    return fit_id


def stored_surface(store: Store, fit_id: str) -> Fit | None:
    """The surface that was kept with a rung; None if there is none."""
    return store.load(Fit, "laws", fit_id, SURFACE_FILE)


def gap_inputs(
    student_params: float, student_tokens: float, teacher_loss: float, student_alone: float
) -> dict[str, float]:
    """The inputs of every rung."""
    return {
        "student_params": student_params,
        "student_tokens": student_tokens,
        "teacher_loss": teacher_loss,
        "student_alone": student_alone,
    }
