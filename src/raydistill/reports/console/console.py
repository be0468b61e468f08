"""A console that never stops a sweep: a closed pipe or a poor encoding loses only its text."""

import io
import os
import sys
import time
from typing import TextIO

from rich.console import Console

from raydistill.core.units import format_seconds


class PipeSafeConsole(Console):
    """A rich console that survives a closed pipe."""

    def on_broken_pipe(self) -> None:
        """Fall silent; rich itself would end the program."""
        self.quiet = True
        if self.file is sys.stdout:  # or Python complains when it flushes at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def open_console(file: TextIO | None = None) -> PipeSafeConsole:
    """A console on `file`, standard output by default; NO_COLOR and COLUMNS are respected.

    A character outside the encoding of the file is printed as `?`.
    """
    target = sys.stdout if file is None else file
    if isinstance(target, io.TextIOWrapper):
        target.reconfigure(errors="replace")
    return PipeSafeConsole(file=file, highlight=False, markup=False, emoji=False)


_INTERVAL_S = {True: 0.2, False: 30.0}  # on a terminal, and elsewhere


class Meter:
    """Prints progress: how much is done, and how long the rest will take at this pace."""

    def __init__(self, console: PipeSafeConsole, what: str) -> None:
        self._console, self._what = console, what
        self._began_s = time.monotonic()
        self._printed_s = self._began_s - _INTERVAL_S[True]

    def __call__(self, done: int, total: int) -> None:
        """Print a line, unless the last one is too recent."""
        now_s, terminal = time.monotonic(), self._console.is_terminal
        if done == total and terminal:
            self._console.print(" " * (self._console.width - 1), end="\r")
        elif now_s - self._printed_s >= _INTERVAL_S[terminal] and done < total:
            self._printed_s = now_s
            left_s = (now_s - self._began_s) / done * (total - done)
            line = f"{self._what}: {done} of {total}, {format_seconds(left_s)} left"
            self._console.print(line, end="  \r" if terminal else "\n", overflow="ellipsis")
