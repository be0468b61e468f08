"""A learning rate for each arm: three short trials, and the peak that ends lowest (METHOD 7).

An arm is the cells that share start, count, loss and teacher. Its probes train a share of the
budget, on a whole schedule of that length, on data that no cell draws, and are compared on the
selection half of the held-out documents. They are ordinary trials: every sweep finds them.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from raydistill.core.units import format_age
from raydistill.planning.cell import Cell
from raydistill.planning.prepared import PreparedSweep
from raydistill.planning.resolve import resolve
from raydistill.specs.locations import NONE
from raydistill.specs.results import Finished
from raydistill.specs.scale import Scale
from raydistill.specs.trial import FROM_BASE, SCRATCH_WITH_AGE, TrialSpec
from raydistill.training.throughput import device_s

SHARE = 0.25
"""Of the budget; more where the scale asks for more steps after a cut."""

FACTORS = (0.5, 1.0, 2.0)
"""Of the peak that the recipe names."""

LOCATION = "input"
"""Where the probes' layers leave, as in the paper's own comparison of arms (Table 3)."""

_FIRST_SEED = 1_000

ArmKey = tuple[str | int, ...]
"""What the cells of an arm share."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Arm:
    """Cells that share a learning rate, and the short trials that choose it, by rising peak."""

    name: str
    probes: tuple[Cell, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbedRate:
    """What the probes of an arm said: nats per token lost, by peak; infinite where one failed."""

    arm: Arm
    lost: tuple[float, ...]

    @property
    def best(self) -> int:
        """Which probe ended lowest; the middle one where none finished."""
        return min(range(len(FACTORS)), key=lambda i: (self.lost[i], abs(i - len(FACTORS) // 2)))

    @property
    def peak_lr(self) -> float:
        """The peak that the cells of the arm train at."""
        return peak_of(self.arm.probes[self.best])

    @property
    def at_edge(self) -> bool:
        """Whether a peak that was not tried may be better still."""
        return math.isfinite(min(self.lost)) and self.best in (0, len(FACTORS) - 1)

    @property
    def sentence(self) -> str:
        """The arm with its peaks and what each lost, the chosen one marked."""
        said = ", ".join(
            f"{peak_of(cell):g}{'*' if i == self.best else ''} "
            + (f"{lost:+.4f}" if math.isfinite(lost) else "failed")
            for i, (cell, lost) in enumerate(zip(self.arm.probes, self.lost, strict=True))
        )
        edge = f"; {AT_EDGE}" if self.at_edge else ""
        return f"Peak rate of {self.arm.name}: {said} nats/token{edge}."


AT_EDGE = "best of the three peaks is at the edge"


def arms_of(cells: Sequence[Cell]) -> dict[ArmKey, Arm]:
    """The arms of a sweep by what their cells share."""
    sharing: dict[ArmKey, list[Cell]] = {}
    for cell in cells:
        if needs_probe(cell):
            sharing.setdefault(arm_key(cell), []).append(cell)
    used = {cell.request.seed for cell in cells}
    seed = next(s for s in itertools.count(_FIRST_SEED) if s not in used)
    return {key: _arm(each, seed) for key, each in sharing.items()}


def needs_probe(cell: Cell) -> bool:
    """Whether a cell has a rate to choose.

    What is not trained has none, and what is trained as long as a base keeps pretraining's.
    """
    return cell.request.budget > 0 and cell.request.start != SCRATCH_WITH_AGE


def arm_key(cell: Cell) -> ArmKey:
    """What cells of one arm share."""
    request = cell.request
    start = (cell.scale.name, request.age, request.start)
    return *start, request.count, request.loss, request.teacher, request.excerpt


def peak_of(cell: Cell) -> float:
    """The peak rate that a cell trains at."""
    return cell.scale.recipe(cell.request).peak_lr


def _arm(cells: Sequence[Cell], seed: int) -> Arm:
    """One location stands for all, so that a sweep with one more of them asks the same probes."""
    first = cells[0]
    longest = max(cell.request.budget for cell in cells)
    location = LOCATION if first.request.count else NONE
    asked = replace(first.request, location=location, gap=0, seed=seed, peak_lr="scale")
    share = _share(longest, first.scale)
    peak_lr = first.scale.recipe(asked).peak_lr
    probes = tuple(
        replace(
            first,
            scale=_shortened(first.scale, share),
            values={**first.values, "location": location, "peak_lr": factor * peak_lr},
            request=replace(asked, budget=round(share * longest), peak_lr=factor * peak_lr),
        )
        for factor in FACTORS
    )
    count = "" if asked.location == NONE else f", {asked.count} layers out"
    started = "" if asked.start == FROM_BASE else f" from {asked.start}"
    base = f"{first.scale.name} {format_age(asked.age)}"
    return Arm(name=f"{asked.loss}{started}, {base}{count}", probes=probes)


def _share(budget: int, scale: Scale) -> float:
    """A quarter, or as much as has the steps that must follow a cut."""
    steps = scale.train_tokens(budget) // scale.heal.batch_tokens
    return max(SHARE, min(1.0, scale.min_steps_after_cut / steps))


def _shortened(scale: Scale, share: float) -> Scale:
    """The scale with its warm-up and warm phase cut as the budget is, and no tasks to measure."""
    heal = scale.heal

    def cut(tokens: int) -> int:
        steps = max(1, round(share * tokens / heal.batch_tokens)) if tokens else 0
        return steps * heal.batch_tokens

    return replace(
        scale,
        heal=replace(
            heal,
            warmup_tokens=cut(heal.warmup_tokens),
            warm_phase_tokens=cut(heal.warm_phase_tokens),
        ),
        evaluation=replace(scale.evaluation, tasks=()),
    )


def probe_cells(cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """The short trials of all arms."""
    return tuple(probe for arm in arms_of(cells).values() for probe in arm.probes)


def probed_rates(prepared: PreparedSweep) -> dict[ArmKey, ProbedRate]:
    """What the probes said, for every arm whose probes have all come to an end."""
    if not prepared.plan.options.lr_probe:
        return {}
    made = {}
    for key, arm in arms_of(prepared.plan.cells).items():
        lost = [_lost(probe, prepared) for probe in arm.probes]
        if not any(math.isnan(nats) for nats in lost):
            made[key] = ProbedRate(arm=arm, lost=tuple(lost))
    return made


def with_best_rates(prepared: PreparedSweep) -> PreparedSweep:
    """Its cells at the peak of their arm, if probes were asked; at `probe` until it is chosen."""
    if not prepared.plan.options.lr_probe:
        return prepared
    made = probed_rates(prepared)

    def settled(cell: Cell) -> Cell:
        if not needs_probe(cell):
            return cell
        choice = made.get(arm_key(cell))
        peak_lr: float | Literal["probe"] = choice.peak_lr if choice else "probe"
        return replace(cell, request=replace(cell.request, peak_lr=peak_lr))

    return prepared.with_cells([settled(cell) for cell in prepared.plan.cells])


def with_probes(prepared: PreparedSweep) -> PreparedSweep:
    """Its cells at their peaks as far as these are chosen, and the probes if asked."""
    if not prepared.plan.options.lr_probe:
        return prepared
    settled, probes = with_best_rates(prepared), probe_cells(prepared.plan.cells)
    return settled.with_cells((*settled.plan.cells, *probes))


def probing_s(prepared: PreparedSweep) -> float:
    """Device-seconds of the probes that were trained."""
    plan, store = prepared.plan, prepared.store
    probes = probe_cells(plan.cells) if plan.options.lr_probe else ()
    specs = [resolve(probe, prepared.artifacts) for probe in probes]
    ends = [store.trained(s.trial_id) for s in specs if isinstance(s, TrialSpec)]
    return sum(device_s(trained) for trained in ends if trained is not None)


def _lost(probe: Cell, prepared: PreparedSweep) -> float:
    """Nats lost on the selection half; infinite for a failure, not a number before the end."""
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
