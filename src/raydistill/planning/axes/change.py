"""An ablation's axis: the one thing that a cell changes of the point that all share."""

import math
from collections.abc import Mapping
from typing import Any

from raydistill.core.errors import UsageError, unknown
from raydistill.core.units import parse_tokens
from raydistill.planning.cell import Value
from raydistill.specs.recipe import field_named, is_setting, read_setting, settable
from raydistill.specs.scale import Scale
from raydistill.specs.trial import TrialRequest

CHANGE = "change"  # the axis
POINT = "point"  # its value that changes nothing
CELL_FIELDS = ("location", "count", "gap", "loss")  # that may change, beside those of the recipe


def field_of(change: str) -> str:
    """The field that a change sets.

    >>> field_of("lr*2"), field_of("gap=500M")
    ('lr', 'gap')
    """
    return change.partition("=")[0].partition("*")[0]


def is_unchanged(values: Mapping[str, Value]) -> bool:
    """Whether a cell, of an ablation or not, is trained by the recipe that all share."""
    change = str(values.get(CHANGE, POINT))
    return change == POINT or field_of(change) in CELL_FIELDS


def as_run(values: Mapping[str, Value], request: TrialRequest) -> dict[str, Value]:
    """The axes that a cell's change may have replaced, with the values that they are run with."""
    names = [name for name in CELL_FIELDS if CHANGE in values and name in values]
    return {name: getattr(request, name) for name in names}


def changed(scale: Scale, change: str) -> dict[str, Any]:
    """The arguments of `scale.trial` that a change sets: `lr=3e-4`, `lr*2`, `loss=kd`, or `point`.

    A factor multiplies the recipe's own value; tokens stay whole steps.

    Raises:
        UsageError: if there is no such field, or the value is not of its type.

    >>> from raydistill.specs.scale import load_scale
    >>> changed(load_scale("laptop"), "lr*2"), changed(load_scale("laptop"), "gap=500M")
    ({'lr': 0.0012}, {'gap': 500000000})
    """
    if change == POINT:
        return {}
    name, equals, text = change.partition("=")
    if not equals:
        name, _, factor = change.partition("*")
        return {name: _times(scale, name, factor, change)}
    if name in ("count", "gap"):
        return {name: parse_tokens(text)}
    if not is_setting(name) and name not in CELL_FIELDS:
        raise UsageError(unknown("field to change", name, (*settable(), *CELL_FIELDS)))
    return {name: read_setting(name, text) if is_setting(name) else text}


def _times(scale: Scale, name: str, factor: str, change: str) -> float | int:
    own = getattr(scale.heal, field_named(name)) if is_setting(name) else ""
    try:
        times = float(factor)
    except ValueError:
        times = math.nan
    if isinstance(own, str) or not 0 <= times < math.inf:
        raise UsageError(
            f"change {change!r}: write field=value, or a number of the recipe times a factor, "
            "such as lr*2"
        )
    if isinstance(own, float):
        return float(f"{own * times:.12g}")
    batch = scale.heal.batch_tokens if name in ("warmup_tokens", "warm_phase_tokens") else 1
    return round(int(own) * times / batch) * batch
