"""The name of a loss, with settings if need be: `kd`, or `kd+temperature=2+hidden=0.1`.

A loss is a file of `distillation/losses/`. Settings replace the defaults of its function
(METHOD 5), which are read from its source; they are part of the name, and so of every table and
of the trial's id.
"""

import functools
import re
from collections.abc import Mapping
from pathlib import Path

from raydistill.core.errors import UsageError, unknown
from raydistill.core.parts import LOSS, own_folder, part_file
from raydistill.distillation.loss_file import (
    FEATURE_TERMS,
    NONE,
    SHARE,
    TEMPERATURE,
    WEIGHTS,
    LossFile,
    read_loss_file,
)
from raydistill.specs.trial import TEACHER_FREE


def has_teacher(loss: str) -> bool:
    """Whether a loss asks a teacher.

    Raises:
        UsageError: if there is no such loss.
    """
    return loss_file(loss).teacher != NONE


def had_teacher(loss: str) -> bool:
    """The same of a loss of results: one of one's own whose file is gone is taken to have one."""
    try:
        return has_teacher(loss)
    except UsageError:
        return True


def has_view(loss: str) -> bool:
    """Whether a loss has targets of its own, which are not the next tokens.

    Raises:
        UsageError: if there is no such loss.
    """
    return loss_file(loss).has_view


def no_chat(loss: str) -> str:
    """Why a loss with targets of its own cannot learn conversations, in a line."""
    return (
        f"loss {loss!r} has targets of its own, and of conversations the assistant's turns are "
        "learned alone: name a loss of the next tokens, such as lm or kd"
    )


def share_read(loss: str) -> float:
    """The share of a window's tokens whose logits a loss asks for; 0: all.

    >>> share_read("masked-lm"), share_read("masked-lm+share=0.3"), share_read("lm")
    (0.15, 0.3, 0.0)
    """
    file = loss_file(loss)
    if SHARE not in file.of_view:
        return 0.0
    return loss_settings(loss)[1].get(SHARE, file.settings[SHARE].default)


def warm_loss(loss: str) -> str:
    """What the warm phase of a training with this loss is taught: the LM loss (METHOD 5).

    One with targets of its own trains on them from the start: a model that sees what follows would
    copy the next token.

    >>> warm_loss("kd+temperature=2"), warm_loss("masked-lm+share=0.3")
    ('lm', 'masked-lm+share=0.3')
    """
    return loss if has_view(loss) else TEACHER_FREE


def canonical_loss(loss: str) -> str:
    """A loss in its canonical form: settings sorted, numbers as short as possible.

    Raises:
        UsageError: if there is no such loss or setting, or a value is out of range.

    >>> canonical_loss("kd+temperature=2.0+hidden=.1")
    'kd+hidden=0.1+temperature=2'
    """
    name, settings = loss_settings(loss)
    return "+".join([name, *(f"{key}={_short(settings[key])}" for key in sorted(settings))])


def loss_words(loss: str) -> list[str]:
    """The file of a loss and each setting, as they are written.

    >>> loss_words("kd+hidden=0.1+temperature=1e+30")
    ['kd', 'hidden=0.1', 'temperature=1e+30']
    """
    return re.split(r"\+(?!\d)", loss)


def without_defaults(loss: str) -> str:
    """A loss in its canonical form, without settings that are its function's defaults.

    Raises:
        UsageError: if there is no such loss or setting, or a value is out of range.

    >>> without_defaults("kd+temperature=1+hidden=.1")
    'kd+hidden=0.1'
    """
    name, settings = loss_settings(loss)
    known = loss_file(loss).settings
    others = (f"{key}={value!r}" for key, value in settings.items() if value != known[key].default)
    return canonical_loss("+".join([name, *others]))


def loss_settings(loss: str) -> tuple[str, Mapping[str, float]]:
    """The file of a loss, and the settings that its name carries.

    Raises:
        UsageError: if there is no such loss or setting, or a value is out of range.
    """
    name, *items = loss_words(loss)
    pairs = [_setting(item, loss) for item in items]
    settings = dict(pairs)
    if len(settings) < len(pairs):
        raise UsageError(f"loss {loss!r} gives a setting twice")
    return name, settings


def temperature_of(loss: str) -> float:
    """The temperature in a loss's name, or its function's default; 1 if it has none."""
    if TEMPERATURE not in (known := loss_file(loss).settings):
        return 1.0
    return loss_settings(loss)[1].get(TEMPERATURE, known[TEMPERATURE].default)


def feature_weights(loss: str) -> Mapping[str, float]:
    """The feature terms of a loss, with their weights."""
    settings = loss_settings(loss)[1]
    return {name: settings[name] for name in FEATURE_TERMS if settings.get(name)}


def loss_file(loss: str) -> LossFile:
    """What the file of a loss says.

    Raises:
        UsageError: if there is no such loss, or its file says what is not allowed.
    """
    return _file(loss.partition("+")[0], own_folder())


@functools.cache  # planning asks thousands of times
def _file(name: str, own: Path | None) -> LossFile:
    return read_loss_file(part_file(LOSS, name))


def _setting(item: str, loss: str) -> tuple[str, float]:
    key, _, text = item.partition("=")
    file = loss_file(loss)
    if not file.settings:
        name = loss.partition("+")[0]
        raise UsageError(f"loss {loss!r}: {name!r} has no settings")
    if key not in file.settings:
        raise UsageError(f"loss {loss!r}: {unknown('setting', key, file.settings)}")
    value = file.settings[key].value(text)
    if value is None:
        word = f"weight {key}" if key in WEIGHTS else key
        allowed = file.settings[key].allowed
        lists = f"; a setting of a loss takes values, such as {key}=1,2" if ".." in text else ""
        raise UsageError(f"loss {loss!r}: {word} is {text!r}, it must be {allowed}{lists}")
    return key, value


def _short(value: float) -> str:
    """As few digits as give the number back."""
    text = f"{value:g}"
    return text if float(text) == value else repr(value)
