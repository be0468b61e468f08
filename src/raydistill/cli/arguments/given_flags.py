"""The flags of a sweep's command line as they were given, for a command that is printed."""

import argparse
import os
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from raydistill.cli.arguments.model_flags import several_models
from raydistill.cli.arguments.parser import bound
from raydistill.cli.arguments.storage import SCALE_VARIABLE, STORAGE_VARIABLE, TRACKING_VARIABLE
from raydistill.core.parts import PARTS_VARIABLE
from raydistill.core.paths import resolve_path
from raydistill.core.text.commands import as_submitted
from raydistill.data.sources.source import absolute
from raydistill.models.huggingface.checkpoint import DEFAULT_REVISION
from raydistill.planning.axes.named_checkpoint import (
    NamedCheckpoint,
    checkpoint_named,
    teaching_checkpoint,
)
from raydistill.storage.urls import is_url

_ENVIRONMENT = {
    "--parts": PARTS_VARIABLE,
    "--scale": SCALE_VARIABLE,
    "--storage": STORAGE_VARIABLE,
    "--tracking-uri": TRACKING_VARIABLE,
}
_TEXTS = ("--corpus", "--heldout", "--heldout-general")
_FOLDERS = ("--model", "--parts", "--task-data")
_LOOKS = ("--dry-run", "--probe", "--debug")  # change nothing of what is trained


@dataclass(frozen=True, kw_only=True, slots=True)
class GivenFlags:
    """What starts a sweep, and its flags with those that the environment stood for.

    Every path is absolute: the command means the same in another working directory and shell. In a
    job with a `--working-dir`, those in it are relative to it.
    """

    launcher: tuple[str, ...]  # `python /…/x.py` or `raydistill sweep x`
    flags: tuple[tuple[str, ...], ...]  # the first of an option's names, and its value if any

    def words(self) -> list[str]:
        """The words of the command."""
        flags = [word for words in self.flags for word in words]
        return [*self.launcher, *flags]

    def text(self) -> str:
        """The command as a shell takes it, with its secrets."""
        return shlex.join(self.words())

    def argv(self) -> list[str]:
        """What the sweep's parser is to read."""
        return self.words()[len(self.launcher) :]

    def changed(self, name: str, *value: str) -> "GivenFlags":
        """With that flag at another value, or as a switch."""
        return replace(self, flags=(*self.without(name).flags, (name, *value)))

    def without(self, *names: str) -> "GivenFlags":
        """Without those flags."""
        return replace(self, flags=tuple(words for words in self.flags if words[0] not in names))


def given_flags(
    parser: argparse.ArgumentParser, launcher: Sequence[str], argv: Sequence[str]
) -> GivenFlags:
    """The flags of `argv`, behind the words that start the sweep; `parser` has read them."""
    options = list(_options(parser, argv))
    of_age = [words[-1] for words in options if words[0] == "--age"]
    ages = [DEFAULT_REVISION, *(age.strip() for text in of_age for age in text.split(","))]
    given = [_absolute(words, ages) for words in options]
    names = {words[0] for words in given}
    for name, variable in _ENVIRONMENT.items():
        if name not in names and (value := os.environ.get(variable)):
            given.append(_absolute((name, value)))
    flags = tuple(tuple(map(as_submitted, words)) for words in given)
    return GivenFlags(launcher=tuple(map(as_submitted, launcher)), flags=flags).without(*_LOOKS)


def _options(parser: argparse.ArgumentParser, argv: Sequence[str]) -> Iterator[tuple[str, ...]]:
    words = iter(bound(argv))
    for word in words:
        name, equals, value = word.partition("=")
        action = parser._option_string_actions[name]
        if action.nargs == 0:
            yield (name,)
        else:
            yield action.option_strings[0], value if equals else next(words)


def _absolute(words: tuple[str, ...], ages: Sequence[str] = ()) -> tuple[str, ...]:
    """With absolute paths; a teacher that is one of `ages` is none, whatever lies beside it."""
    name, value = words[0], words[-1]
    if name in _TEXTS:
        return name, absolute(value)
    if name == "--words":
        return name, str(resolve_path(value).absolute())
    if name in _FOLDERS:
        return name, _folder(value)
    if name == "--models":
        return name, ",".join(model.text for model in several_models(value).values())
    if name == "--reference":
        return name, _checkpoints(value, checkpoint_named)
    if name == "--teacher":
        return name, _checkpoints(value, lambda text: teaching_checkpoint(text, ages))
    if name == "--storage" and not is_url(value):
        return name, str(resolve_path(value).absolute())
    return words


def _checkpoints(value: str, named: Callable[[str], NamedCheckpoint | None]) -> str:
    items = [item.strip() for item in value.split(",")]
    return ",".join(checkpoint.text if (checkpoint := named(item)) else item for item in items)


def _folder(value: str) -> str:
    path = resolve_path(value)
    return str(path.absolute()) if path.is_dir() else value
