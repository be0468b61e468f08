"""From layers to a drop plan: the order of removal, and the tokens between (METHOD 4)."""

from collections.abc import Sequence

from raydistill.core.errors import UsageError, unknown
from raydistill.specs.trial import DropPlan, LayerDrop, Recipe

ORDERS = ("ascending", "descending", "as-listed")


def plan_drops(
    layers: Sequence[int],
    *,
    recipe: Recipe,
    gap_tokens: int = 0,
    order: str = "ascending",
    min_steps_after: int = 0,
) -> DropPlan:
    """The plan in which one layer leaves when the warm phase ends, and one after every gap.

    Args:
        layers: in the order in which the location's rule takes them.
        recipe: gives the end of the warm phase and of the budget.
        gap_tokens: tokens between two removals, whole steps; 0: all leave at once.
        order: of removal, one of `ORDERS`. At gap 0 a plan is a set.
        min_steps_after: steps that must follow the last removal.

    Raises:
        UsageError: if the order is unknown, the gap negative, or a layer would leave too late.

    >>> recipe = Recipe(peak_lr=1.0, budget_tokens=100, batch_tokens=10, micro_batches=1,
    ...                 warmup_tokens=20, warm_phase_tokens=20)
    >>> plan_drops([1, 3], recipe=recipe, gap_tokens=50).drops
    (LayerDrop(at_tokens=20, layer=1), LayerDrop(at_tokens=70, layer=3))
    """
    if gap_tokens < 0:
        raise UsageError(f"gap {gap_tokens} is negative: 0 removes all layers at once")
    if gap_tokens % recipe.batch_tokens:
        raise UsageError(f"gap {gap_tokens} is not whole steps of {recipe.batch_tokens} tokens")
    if order not in ORDERS:
        raise UsageError(unknown("order", order, ORDERS))
    if order != "as-listed":
        layers = sorted(layers, reverse=order == "descending")
    drops = sorted(
        LayerDrop(at_tokens=recipe.warm_phase_tokens + i * gap_tokens, layer=layer)
        for i, layer in enumerate(layers)
    )
    if drops and recipe.total_tokens:  # without training: the model as it stands after the cut
        _check_last(drops[-1].at_tokens, recipe, len(drops), gap_tokens, min_steps_after)
    return DropPlan(drops=tuple(drops))


def _check_last(last: int, recipe: Recipe, count: int, gap_tokens: int, min_steps: int) -> None:
    """Refuse a plan whose last layer leaves after the budget, or too late to heal."""
    schedule = f"{count} removals {gap_tokens} tokens apart, the last after {last}"
    if last >= recipe.total_tokens:
        raise UsageError(
            f"{schedule}: training ends at {recipe.total_tokens}, so the model would keep layers"
        )
    steps = (recipe.total_tokens - last) // recipe.batch_tokens
    if steps < min_steps:
        raise UsageError(
            f"{schedule}: {steps} steps follow the last removal, at least {min_steps} must "
            f"(a step is {recipe.batch_tokens} tokens, training ends at {recipe.total_tokens})"
        )
