"""How far something is, on one line of a terminal; in a file or a pipe a line now and then."""

import time

from raydistill.report.console import PatientConsole
from raydistill.units import format_seconds

_EVERY_S = {True: 0.2, False: 30.0}
"""On a terminal, and elsewhere."""


class Meter:
    """Tells what is done, and how long the rest will take at this pace."""

    def __init__(self, console: PatientConsole, what: str) -> None:
        self._console, self._what = console, what
        self._began_s = time.monotonic()
        self._told_s = self._began_s - _EVERY_S[True]

    def __call__(self, done: int, total: int) -> None:
        """Say so, unless it was said just before."""
        now_s, terminal = time.monotonic(), self._console.is_terminal
        if done == total and terminal:
            self._console.print(" " * (self._console.width - 1), end="\r")
        elif now_s - self._told_s >= _EVERY_S[terminal] and done < total:
            self._told_s = now_s
            left_s = (now_s - self._began_s) / done * (total - done)
            line = f"{self._what}: {done} of {total}, {format_seconds(left_s)} left"
            self._console.print(line, end="  \r" if terminal else "\n", overflow="ellipsis")
