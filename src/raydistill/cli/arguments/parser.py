"""An argument parser whose mistakes are one line: the flag, what was given, what is allowed."""

import argparse
import difflib
import re
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from raydistill.core.errors import UsageError
from raydistill.core.signals import STOPPED, TERMINATED

EXITS = (
    "exit codes: 0 done, 1 trials failed, 2 usage, 3 data or checkpoint, 4 environment, "
    f"{STOPPED} stopped by ^C, {TERMINATED} by SIGTERM"
)

AddFlags = Callable[[argparse._ActionsContainer], object]


def flag(*names: str, **settings: Any) -> AddFlags:
    """A function that adds a flag, or an argument, to a parser."""
    return lambda parser: parser.add_argument(*names, **settings)


class Parser(argparse.ArgumentParser):
    """argparse whose errors are one line, with the nearest flag."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; --help lists the flags")

    def read(self, argv: Sequence[str]) -> argparse.Namespace:
        """The flags in `argv`.

        Raises:
            UsageError: if one is unknown, lacks its value, or is given again though it has only
                one value.
        """
        flags, rest = self.parse_known_args(bound(argv))
        if rest:
            given = rest[0].partition("=")[0]
            near = difflib.get_close_matches(given, list(self._options(argv)), n=1)
            hint = f", did you mean {near[0]}?" if near else ""
            self.error(f"unknown flag or argument {given!r}{hint}")
        self._check_repeats(argv)
        return flags

    def has(self, name: str) -> bool:
        """Whether there is such a flag."""
        return name in self._option_string_actions

    def _check_repeats(self, argv: Sequence[str]) -> None:
        """Refuse a flag that has one value and is given two; a switch may be repeated."""
        actions = self._options(argv)
        names: dict[str, str] = {}  # as given, by what they set
        for word in bound(argv):
            name = word.partition("=")[0]
            action = actions.get(name)
            if action is None or isinstance(action, argparse._AppendAction):
                continue
            if action.dest in names and (action.nargs != 0 or name != names[action.dest]):
                both = " and ".join(dict.fromkeys((names[action.dest], name)))
                self.error(f"{both} given twice: give one")
            names[action.dest] = name

    def _options(self, argv: Sequence[str]) -> dict[str, argparse.Action]:
        """Its flags by name, and those of the commands that `argv` names."""
        options = dict(self._option_string_actions)
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                for name in action.choices.keys() & set(argv):
                    options |= action.choices[name]._options(argv)
        return options


def bound(argv: Sequence[str]) -> list[str]:
    """`--gap -1B` as `--gap=-1B`: what begins with a minus and a digit is a value, not a flag."""
    words: list[str] = []
    for word in argv:
        if words and re.fullmatch(r"--[^=]+", words[-1]) and re.match(r"-\d", word):
            words[-1] += f"={word}"
        else:
            words.append(word)
    return words
