"""The axes of a sweep where a custom model is what it sweeps."""

from collections.abc import Mapping, Sequence

from raydistill.core.units import format_age
from raydistill.planning.cell import SIZE, TEACHER, Value
from raydistill.specs.locations import NONE
from raydistill.specs.scale import Scale, load_scale


def axes_of_model(axes: Mapping[str, Sequence[Value]], scale: Scale) -> dict[str, Sequence[Value]]:
    """The axes of a custom model: its own ages, as teachers too, its size, counts, and tokens.

    A sweep's gaps for a test scale are the paper's; one token of a model is one token.
    """
    possible = [c for c in axes.get("count", ()) if int(c) <= scale.model.num_layers - 2]
    clock = load_scale(scale.like).train_clock if scale.like else 1
    gaps = [round(int(gap) / clock) for gap in axes.get("gap", ())]
    teachers = [value for value in axes.get(TEACHER, ()) if value == NONE]
    if len(axes.get(TEACHER, ())) > len(teachers):
        teachers += map(format_age, scale.ages)
    own = {"age": scale.ages, SIZE: (scale.name,), TEACHER: teachers}
    return {**axes, **own, "count": possible, "gap": gaps}
