"""A console that never stops a sweep: a closed pipe or a poor encoding loses only its text."""

import io
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from rich.console import Console

from raydistill.core.progress import UNKNOWN, Pace, StageProgress, listening
from raydistill.core.text.lines import line_width
from raydistill.core.units import format_bytes, format_tokens


class PipeSafeConsole(Console):
    """A rich console that survives a closed pipe, and breaks no word."""

    def print(self, *objects: Any, **options: Any) -> None:
        """As rich does; a word that is too long for a line goes on beyond its end, whole."""
        super().print(*objects, **{"overflow": "ignore", "crop": False, **options})

    def on_broken_pipe(self) -> None:
        """Fall silent; rich itself would end the program."""
        self.quiet = True
        if self.file is sys.stdout:  # or Python complains when it flushes at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def open_console(file: TextIO | None = None) -> PipeSafeConsole:
    """A console on `file`, standard output by default; NO_COLOR and COLUMNS are respected.

    It is as wide as the terminal, and 100 columns where it is none.

    A character outside the encoding of the file is printed as `?`.
    """
    target = sys.stdout if file is None else file
    if isinstance(target, io.TextIOWrapper):
        target.reconfigure(errors="replace")
    width = None if target.isatty() else line_width()
    return PipeSafeConsole(file=file, highlight=False, markup=False, emoji=False, width=width)


TERMINAL_EVERY_S, PLAIN_EVERY_S = 0.2, 15.0  # between two lines of progress
TELLING_S, TELLING_SHARE = 5.0, 0.1  # from either of which a pace tells the time left
SHORT_S = 1.0  # a stage that takes less shows nothing on a terminal


@contextmanager
def progress_shown(console: PipeSafeConsole) -> Iterator[None]:
    """While the block runs, what it reports is a line of `console`."""
    line = ProgressLine(console)
    try:
        with listening(line):
            yield
    finally:
        line.clear()


class ProgressLine:
    """Prints how far a stage is, and how long the rest takes at this pace.

    On a terminal it is one line that changes, elsewhere a new one every 15 s.
    """

    def __init__(
        self, console: PipeSafeConsole, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console, self._clock = console, clock
        self._stage, self._done, self._pace = "", 0.0, Pace()
        self._printed_s, self._on_screen = clock(), False

    def __call__(self, progress: StageProgress) -> None:
        """Show it, unless the last line is too recent."""
        now_s = self._clock()
        if progress.stage != self._stage or progress.done < self._done:
            self.clear()
            self._stage, self._pace, self._printed_s = progress.stage, Pace(), now_s
        self._done = progress.done
        self._pace.add(now_s, progress.done)
        if progress.is_done:
            self.clear()
        elif self._is_due(now_s):
            self._printed_s = now_s
            self._print(progress_text(progress, self._pace))

    def clear(self) -> None:
        """Take the line off a terminal."""
        if self._on_screen:
            self._on_screen = False
            self._console.print(" " * (self._console.width - 1), end="\r")

    def _is_due(self, now_s: float) -> bool:
        if not self._console.is_terminal:
            return now_s - self._printed_s >= PLAIN_EVERY_S
        return now_s - self._printed_s >= (TERMINAL_EVERY_S if self._on_screen else SHORT_S)

    def _print(self, text: str) -> None:
        if not self._console.is_terminal:
            self._console.print(text, soft_wrap=True)
            return
        self._on_screen = True
        width = self._console.width - 1
        line = text if len(text) <= width else f"{text[: width - 1]}…"
        self._console.print(line.ljust(width), end="\r")


def progress_text(progress: StageProgress, pace: Pace) -> str:
    """The stage, the part at work, how much is done, and the time left or that nothing goes on."""
    done, total, unit = progress.done, progress.total, progress.unit
    name = ": ".join(filter(None, (progress.stage, progress.part)))
    if total == UNKNOWN:
        return f"{name}: {_amount(done, unit)} so far{_rest(pace, total)}"
    if not unit:
        amount = f"{100 * done / total:.0f} %"
    elif unit in _SHARES or done != int(done):
        amount = f"{100 * done / total:.0f} % of {_amount(total, unit)}" if total else "0 %"
    else:
        amount = f"{done:,.0f} of {_amount(total, unit)}"
    return f"{name}: {amount}{_rest(pace, total, done / total if total else 0.0)}"


def _rest(pace: Pace, total: float, share: float = 0.0) -> str:
    if stalled_s := pace.stalled_s():
        return f", no progress for {duration(stalled_s)}"
    return time_left(pace, total, share)


def time_left(pace: Pace, total: float, share: float = 0.0) -> str:
    """`, about 25 s left`; empty while the pace is that of a few seconds and a small share."""
    left_s = pace.seconds_left(total)
    if left_s is None or (pace.seconds < TELLING_S and share < TELLING_SHARE):
        return ""
    return f", about {duration(left_s)} left"


_SHARES = ("tokens", "bytes")  # of which a share says more than a number


def _amount(amount: float, unit: str) -> str:
    if unit == "bytes":
        return format_bytes(round(amount))
    return f"{format_tokens(three_digits(amount)) if unit == 'tokens' else f'{amount:,.0f}'} {unit}"


def three_digits(amount: float) -> int:
    """The nearest number of three digits and zeros."""
    return int(float(f"{amount:.3g}"))


def duration(seconds: float) -> str:
    """Seconds as people say them.

    >>> [duration(s) for s in (42, 330, 7_260)]
    ['42 s', '5 min 30 s', '2 h 1 min']
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
