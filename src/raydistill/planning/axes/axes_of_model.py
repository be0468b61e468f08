"""The axes of a sweep where models of one's own are what it sweeps."""

from collections.abc import Iterator, Mapping, Sequence

from raydistill.core.units import format_age
from raydistill.planning.axes.several_models import models_named
from raydistill.planning.cell import SIZE, START, TEACHER, Value
from raydistill.specs.locations import NONE
from raydistill.specs.scale import Scale, load_scale
from raydistill.specs.trial import CUT


def axes_of_model(axes: Mapping[str, Sequence[Value]], scale: Scale) -> dict[str, Sequence[Value]]:
    """The axes of a custom model: its own ages, as teachers too, its size, counts, and tokens.

    Of several models each is a size and a teacher, at all of its revisions where the sweep's own
    teachers have several ages, else at the last. A sweep's gaps for a test scale are the paper's;
    one token of a model is one token.
    """
    possible = [c for c in axes.get("count", ()) if int(c) <= scale.model.num_layers - 2]
    clock = load_scale(scale.like).train_clock if scale.like else 1
    gaps = [round(int(gap) / clock) for gap in axes.get("gap", ())]
    sizes = tuple(models_named(scale.models)) or (scale.name,)
    named = [str(teacher) for teacher in axes.get(TEACHER, ()) if teacher != NONE]
    teachers = [NONE] if NONE in axes.get(TEACHER, ()) else []
    teachers += _teachers(named, scale) if named else ()
    starts = [start for start in axes.get(START, ()) if start != CUT]  # of our family alone
    own = {"age": scale.ages, START: starts, SIZE: sizes, TEACHER: teachers}
    return {**axes, **own, "count": possible, "gap": gaps}


def _teachers(own: Sequence[str], scale: Scale) -> Iterator[str]:
    """The teachers in place of those that a sweep names itself."""
    if not scale.models:
        yield from map(format_age, scale.ages)
    have_ages = len({teacher.partition("@")[0] for teacher in own}) < len(own)
    for model in models_named(scale.models).values():
        ages = model.revisions if have_ages else model.revisions[-1:]
        yield from (f"{model.name}@{revision}" for revision in ages)
