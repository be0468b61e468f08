"""The name of a loss, with settings if need be: `kd`, or `kd+temperature=2+hidden=0.1`.

A loss is a file of `distillation/losses/`. Settings replace the defaults of its function
(METHOD 5); they are part of the name, and so of every table and of the trial's id.
"""

import math
from collections.abc import Mapping

from raydistill.core.errors import UsageError, unknown
from raydistill.core.parts import LOSS, part_names
from raydistill.specs.trial import TEACHER_FREE

FEATURE_TERMS = ("hidden", "embedding", "attention")  # `distillation/feature_losses.py`
TERMS = ("lm", "kl", *FEATURE_TERMS)  # each with a weight from 0 to 1
TEMPERATURE = "temperature"


def has_teacher(loss: str) -> bool:
    """Whether a loss needs a teacher."""
    return loss != TEACHER_FREE


def canonical_loss(loss: str) -> str:
    """A loss in its canonical form: settings sorted, numbers as short as possible.

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
    name, *settings = loss.split("+")
    names = part_names(LOSS)
    if name not in names:
        raise UsageError(unknown("loss", name, names))
    if settings and not has_teacher(name):
        raise UsageError(f"loss {loss!r}: {name!r} has no teacher, and so no settings")
    return name, dict(_setting(item, loss) for item in settings)


def feature_weights(loss: str) -> Mapping[str, float]:
    """The feature terms of a loss, with their weights."""
    settings = loss_settings(loss)[1]
    return {name: settings[name] for name in FEATURE_TERMS if settings.get(name)}


def _setting(item: str, loss: str) -> tuple[str, float]:
    key, _, text = item.partition("=")
    known = (*TERMS, TEMPERATURE)
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
