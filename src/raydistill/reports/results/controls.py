"""Which control a cell is compared with: one rule for tables, MLflow and model cards (METHOD 1)."""

from collections.abc import Iterable
from dataclasses import astuple, dataclass, replace

from raydistill.reports.results.cells import Measured, ReportCell
from raydistill.specs.trial import TEACHER_FREE, TRAINED_STARTS, Recipe


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class ControlKey:
    """How near a control is to a cell; its runs on other data seeds have the same key.

    The smallest key is that of the cell's control.
    """

    other_recipe: bool
    other_loss: bool  # than the LM loss alone
    unprobed: bool  # though the cell's peak rate was probed
    is_shorter: bool
    tokens_apart: int
    rest: tuple[object, ...]  # nothing prefers it, but tables and MLflow choose the same


def control_key(cell: ReportCell, control: ReportCell) -> ControlKey | None:
    """How near a control is to a cell of the same weights; None where it is not comparable.

    Both have the base, the text and the schedule in common, whatever the loss and the data seed.
    A peak rate that was probed is each arm's own, and lengths may differ by design. What is not
    trained, or from scratch, or elsewhere, has no schedule to share: any control will do.
    """
    if _start(cell) != _start(control) or cell.reference:
        return None
    probed = cell.probed and control.probed
    own, other = (_schedule(of, cell, probed=probed) for of in (cell, control))
    budget, budget_of_control = (of.train.recipe.budget_tokens for of in (cell, control))
    has_schedule = budget > 0 and cell.start in TRAINED_STARTS
    if own != other and (has_schedule or not cell.own_budget):
        return None
    return ControlKey(
        other_recipe=own != other,
        other_loss=control.train.loss != TEACHER_FREE,
        unprobed=cell.probed and not control.probed,
        is_shorter=budget_of_control < budget,
        tokens_apart=abs(budget_of_control - budget),
        rest=(control.train.loss, *astuple(control.train.recipe)),
    )


def control_runs(cell: ReportCell, cells: Iterable[ReportCell]) -> dict[int, Measured]:
    """The finished runs of a cell's control, by data seed; empty where there is none.

    Args:
        cell: whose control.
        cells: to choose from; all start from the same weights of their scale and age.
    """
    runs = [
        (key, other.train.seed, other.outcome)
        for other in cells
        if other.role == "control" and isinstance(other.outcome, Measured)
        if (key := control_key(cell, other))
    ]
    nearest = min((key for key, _, _ in runs), default=None)
    return {seed: run for key, seed, run in runs if key == nearest}


def control_of(cell: ReportCell, cells: Iterable[ReportCell]) -> Measured | None:
    """The run on the cell's data seed; on the first one, for a cell that no seed changes."""
    runs = control_runs(cell, cells)
    return runs.get(min(runs, default=0) if cell.for_every_seed else cell.train.seed)


def _start(cell: ReportCell) -> tuple[object, ...]:
    return cell.scale, cell.age, cell.train.corpus_sha256, cell.train.tokenizer_sha256


def _schedule(of: ReportCell, cell: ReportCell, *, probed: bool) -> Recipe:
    """A recipe without what may differ between a cell and its control."""
    recipe = of.train.recipe
    if probed:
        recipe = replace(recipe, peak_lr=0.0)
    if cell.own_budget:
        recipe = replace(recipe, budget_tokens=0, warmup_tokens=0, warm_phase_tokens=0)
    return recipe
