"""A peak learning rate for each arm: the best of three short trials (METHOD 7).

An arm is the cells that share start, count, loss, teacher and all else of a recipe. Its probes
train a share of the budget, on a complete schedule of that length, on data that no cell draws, and
are compared on the selection half of the held-out documents. They are ordinary trials: every sweep
finds them.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from raydistill.core.units import format_age
from raydistill.planning.cell import Cell, shortest
from raydistill.planning.prepared import PreparedSweep
from raydistill.planning.resolve import resolve
from raydistill.specs.locations import NONE
from raydistill.specs.results import Finished
from raydistill.specs.scale import Scale, whole_steps
from raydistill.specs.trial import FROM_BASE, SCRATCH_WITH_AGE, TrialSpec
from raydistill.training.throughput import device_s

PROBE_BUDGET_SHARE = 0.25  # more where the scale requires more steps after a cut
FACTORS = (0.5, 1.0, 2.0)  # of the recipe's peak rate
PROBE_LOCATION = "input"  # as in the paper's own comparison of arms (Table 3)
AT_EDGE = "best of the three peaks is at the edge"

_FIRST_SEED = 1_000
_PHASES = ("warmup_tokens", "warm_phase_tokens")

ArmKey = tuple[object, ...]  # what the cells of an arm share


@dataclass(frozen=True, kw_only=True, slots=True)
class Arm:
    """Cells that share a learning rate, and the short trials that choose it, by rising peak."""

    name: str
    probes: tuple[Cell, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbedRate:
    """The peak rate that the probes of an arm chose."""

    arm: Arm
    delta_nlls: tuple[float, ...]  # nats per token lost, by peak; infinite where a probe failed

    @property
    def best(self) -> int:
        """The index of the probe with the lowest loss; the middle one where none finished."""
        middle = len(FACTORS) // 2
        return min(range(len(FACTORS)), key=lambda i: (self.delta_nlls[i], abs(i - middle)))

    @property
    def peak_lr(self) -> float:
        """The peak that the cells of the arm train at."""
        return peak_of(self.arm.probes[self.best])

    @property
    def at_edge(self) -> bool:
        """Whether a peak that was not tried may be better still."""
        return math.isfinite(min(self.delta_nlls)) and self.best in (0, len(FACTORS) - 1)

    @property
    def sentence(self) -> str:
        """The arm with its peaks and the loss of each, the chosen one marked."""
        peaks = ", ".join(
            f"{peak_of(cell):g}{'*' if i == self.best else ''} "
            + (f"{nats:+.4f}" if math.isfinite(nats) else "failed")
            for i, (cell, nats) in enumerate(zip(self.arm.probes, self.delta_nlls, strict=True))
        )
        edge = f"; {AT_EDGE}" if self.at_edge else ""
        return f"Peak rate of {self.arm.name}: {peaks} nats/token{edge}."


def arms_of(cells: Sequence[Cell]) -> dict[ArmKey, Arm]:
    """The arms of a sweep by what their cells share."""
    cells_of_arm: dict[ArmKey, list[Cell]] = {}
    for cell in cells:
        if needs_probe(cell):
            cells_of_arm.setdefault(arm_key(cell), []).append(cell)
    used = {cell.request.seed for cell in cells}
    seed = next(s for s in itertools.count(_FIRST_SEED) if s not in used)
    return {key: _arm(of_arm, seed) for key, of_arm in cells_of_arm.items()}


def needs_probe(cell: Cell) -> bool:
    """Whether a cell has a rate to choose.

    A cell that trains nothing has none, and `scratch-with-age` keeps that of pretraining.
    """
    return cell.request.budget > 0 and cell.request.start != SCRATCH_WITH_AGE


def arm_key(cell: Cell) -> ArmKey:
    """The key of a cell's arm: scale, age, start, count, loss, teacher, excerpt and settings."""
    request = cell.request
    start = (cell.scale.name, request.age, request.start)
    loss = (request.loss, request.teacher, request.excerpt)
    return *start, request.count, *loss, request.settings


def peak_of(cell: Cell) -> float:
    """The peak rate that a cell trains at."""
    return cell.scale.recipe(cell.request).peak_lr


def _arm(cells: Sequence[Cell], seed: int) -> Arm:
    """One location stands for all, so that a sweep with more locations has the same probes."""
    first = cells[0]
    longest = max(cells, key=lambda cell: cell.request.budget)  # whose recipe may have its length
    scale, budget = longest.scale, longest.request.budget
    location = PROBE_LOCATION if first.request.count else NONE
    request = replace(first.request, location=location, gap=0, seed=seed, peak_lr="scale")
    batch = int(dict(request.settings).get("batch_tokens", scale.heal.batch_tokens))
    steps = whole_steps(budget, scale.train_clock, batch) // batch
    share = max(PROBE_BUDGET_SHARE, min(1.0, scale.min_steps_after_cut / steps))
    peak_lr = scale.recipe(request).peak_lr
    settings = tuple(
        (name, _shortened_tokens(int(value), share, batch) if name in _PHASES else value)
        for name, value in request.settings
    )
    request = replace(request, settings=settings, budget=round(share * budget))
    probes = tuple(
        replace(
            first,
            scale=_shortened(scale, share, batch),
            values={**first.values, "location": location, "peak_lr": factor * peak_lr},
            request=replace(request, peak_lr=factor * peak_lr),
        )
        for factor in FACTORS
    )
    count = "" if location == NONE else f", {request.count} layers out"
    start = "" if request.start == FROM_BASE else f" from {request.start}"
    base = f"{first.scale.name} {format_age(request.age)}"
    recipe = "".join(f", {name} {shortest(value)}" for name, value in first.request.settings)
    return Arm(name=f"{request.loss}{start}, {base}{count}{recipe}", probes=probes)


def _shortened(scale: Scale, share: float, batch: int) -> Scale:
    """The scale with its warm-up and warm phase shortened like the budget, and no tasks."""
    heal = replace(
        scale.heal,
        warmup_tokens=_shortened_tokens(scale.heal.warmup_tokens, share, batch),
        warm_phase_tokens=_shortened_tokens(scale.heal.warm_phase_tokens, share, batch),
    )
    return replace(scale, heal=heal, evaluation=replace(scale.evaluation, tasks=()))


def _shortened_tokens(tokens: int, share: float, batch: int) -> int:
    """At least a step, if there was one."""
    return max(1, round(share * tokens / batch)) * batch if tokens else 0


def probe_cells(cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """The short trials of all arms."""
    return tuple(probe for arm in arms_of(cells).values() for probe in arm.probes)


def probed_rates(prepared: PreparedSweep) -> dict[ArmKey, ProbedRate]:
    """The peak rate of every arm whose probes have all finished or failed."""
    if not prepared.plan.options.lr_probe:
        return {}
    rates = {}
    for key, arm in arms_of(prepared.plan.cells).items():
        delta_nlls = tuple(_delta_nll(probe, prepared) for probe in arm.probes)
        if not any(map(math.isnan, delta_nlls)):
            rates[key] = ProbedRate(arm=arm, delta_nlls=delta_nlls)
    return rates


def with_best_rates(prepared: PreparedSweep) -> PreparedSweep:
    """If it probes, the sweep at the peak rate of each arm; at `probe` until that is known."""
    if not prepared.plan.options.lr_probe:
        return prepared
    rates = probed_rates(prepared)

    def at_best_rate(cell: Cell) -> Cell:
        if not needs_probe(cell):
            return cell
        choice = rates.get(arm_key(cell))
        peak_lr: float | Literal["probe"] = choice.peak_lr if choice else "probe"
        return replace(cell, request=replace(cell.request, peak_lr=peak_lr))

    return prepared.with_cells([at_best_rate(cell) for cell in prepared.plan.cells])


def with_probes(prepared: PreparedSweep) -> PreparedSweep:
    """If it probes, the sweep with cells at their peak rates as far as known, and its probes."""
    if not prepared.plan.options.lr_probe:
        return prepared
    at_best = with_best_rates(prepared)
    return at_best.with_cells((*at_best.plan.cells, *probe_cells(prepared.plan.cells)))


def probing_s(prepared: PreparedSweep) -> float:
    """Device-seconds of the probes that were trained."""
    plan, store = prepared.plan, prepared.store
    probes = probe_cells(plan.cells) if plan.options.lr_probe else ()
    specs = [resolve(probe, prepared.artifacts) for probe in probes]
    ends = [store.trained(spec.trial_id) for spec in specs if isinstance(spec, TrialSpec)]
    return sum(device_s(trained) for trained in ends if trained is not None)


def _delta_nll(probe: Cell, prepared: PreparedSweep) -> float:
    """Nats lost on the selection half; infinite for a failure, NaN before the end."""
    artifacts, store = prepared.artifacts, prepared.store
    spec, base = resolve(probe, artifacts), artifacts.bases.get(probe.base.key)
    if not isinstance(spec, TrialSpec) or base is None:
        return math.nan
    if store.failure(spec.trial_id) is not None:
        return math.inf
    if store.trained(spec.trial_id) is None:
        return math.nan
    from raydistill.planning.outcomes import delta_nll, outcome  # noqa: PLC0415  (numpy)

    end = outcome(spec, base.weights_sha256, probe.scale.evaluation, store)
    return delta_nll(end, "selection") if isinstance(end, Finished) else math.nan
