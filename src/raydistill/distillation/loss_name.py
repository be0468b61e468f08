"""The name of a loss, with settings if need be: `kd`, or `kd+temperature=2+hidden=0.1`.

A loss is a file of `distillation/losses/`. Its settings replace those that the file gives to
`losses.kd.mixed` (METHOD 5); they stand in the name, and so in every table and in the trial's id.
"""

import math
from collections.abc import Mapping

from raydistill.core.errors import UsageError, unknown
from raydistill.core.parts import LOSS, part_names
from raydistill.specs.trial import TEACHER_FREE

FEATURE_TERMS = ("hidden", "embedding", "attention")
"""Terms that look inside student and teacher; `distillation/feature_losses.py` has them."""

WEIGHTS = ("lm", "kl", *FEATURE_TERMS)
"""Of the terms of a loss with a teacher, each from 0 to 1."""

TEMPERATURE = "temperature"


def has_teacher(loss: str) -> bool:
    """Whether a loss asks a teacher."""
    return loss != TEACHER_FREE


def canonical_loss(loss: str) -> str:
    """The one way to write a loss: settings sorted, numbers as short as they can be.

    Raises:
        UsageError: if there is no such loss or setting, or a value is out of range.

    >>> canonical_loss("kd+temperature=2.0+hidden=.1")
    'kd+hidden=0.1+temperature=2'
    """
    name, settings = loss_settings(loss)
    return "+".join([name, *(f"{key}={settings[key]:g}" for key in sorted(settings))])


def loss_settings(loss: str) -> tuple[str, Mapping[str, float]]:
    """The file of a loss, and the settings that its name carries.

    Raises:
        UsageError: if there is no such loss or setting, or a value is out of range.
    """
    name, *given = loss.split("+")
    names = part_names(LOSS)
    if name not in names:
        raise UsageError(unknown("loss", name, names))
    if given and not has_teacher(name):
        raise UsageError(f"loss {loss!r}: {name!r} has no teacher, and so no settings")
    return name, dict(_setting(item, loss) for item in given)


def feature_weights(loss: str) -> Mapping[str, float]:
    """The terms of `FEATURE_TERMS` that a loss has, with their weights."""
    settings = loss_settings(loss)[1]
    return {name: settings[name] for name in FEATURE_TERMS if settings.get(name)}


def _setting(item: str, loss: str) -> tuple[str, float]:
    key, _, text = item.partition("=")
    known = (*WEIGHTS, TEMPERATURE)
    if key not in known:
        raise UsageError(f"loss {loss!r}: {unknown('setting', key, known)}")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if key == TEMPERATURE and not (value > 0 and math.isfinite(value)):
        raise UsageError(f"loss {loss!r}: {key} is {text!r}, it must be a number above 0")
    if key != TEMPERATURE and not 0 <= value <= 1:
        raise UsageError(f"loss {loss!r}: weight {key} is {text!r}, it must be from 0 to 1")
    return key, value
