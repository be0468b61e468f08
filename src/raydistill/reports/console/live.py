"""The view of a running sweep: a bar and a line a trial, or plain lines into a file."""

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any, Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table as Grid
from rich.text import Text

from raydistill.core.background import repeated
from raydistill.core.progress import STALLED_S, Pace
from raydistill.core.units import format_tokens
from raydistill.reports.console.console import PLAIN_EVERY_S, duration, time_left

TRAINING_PASSES = 3  # a token costs: forward once, backward twice; to measure it costs one

Clock = Callable[[], float]  # seconds, only ever growing


@dataclass(frozen=True, kw_only=True, slots=True)
class RunningTrial:
    """Progress of a trial.

    Attributes:
        heldout_nll: None before its first held-out point.
        stage: what else it does than train, `measuring boolq`; empty while it trains.
        share: of that stage that is done, 0 to 1.
        measured: of the measuring at its end, 0 to 1.
    """

    location: str
    age: str
    tokens: int
    total_tokens: int
    tokens_per_s: float
    heldout_nll: float | None
    stage: str = ""
    share: float = 0.0
    measured: float = 0.0


class ProgressView(Protocol):
    """Receives the progress of a sweep. Calls may come from several threads."""

    def update(self, cell_key: str, metrics: RunningTrial) -> None:
        """A trial has progressed."""

    def finished(self, cell_key: str, summary: str) -> None:
        """A trial has finished or failed; `summary` is one line."""

    def note(self, text: str) -> None:
        """A message that is about no single trial."""


def progress_view(
    total_cells: int,
    total_tokens: int,
    console: Console,
    *,
    measured_tokens: int = 0,
    clock: Clock = time.monotonic,
) -> AbstractContextManager[ProgressView]:
    """The view that fits `console`: live on a terminal, else at most a line every 15 s.

    Args:
        total_cells: trials that will be trained, without those the store has.
        total_tokens: that these train on together.
        console: to print to.
        measured_tokens: that a trial is measured on at its end, about.
        clock: for tests.
    """
    work = _Work(total_cells, total_tokens, measured_tokens, clock)
    return _LiveView(work, console) if console.is_terminal else _PlainView(work, console)


class _Work:
    """How much is done, and how long the rest takes at this pace."""

    def __init__(
        self, total_cells: int, total_tokens: int, measured_tokens: int, clock: Clock
    ) -> None:
        self.total_cells, self.total_tokens = total_cells, total_tokens
        self.running: dict[str, RunningTrial] = {}
        self.ended = 0
        self._ended_tokens = 0
        self._measured_tokens = measured_tokens
        self.clock = clock
        self._start_s = clock()
        self._pace, self._all = Pace(), Pace()  # from the first work on, as it starts slowly
        self._all.add(self._start_s, 0.0)

    def update(self, cell_key: str, trial: RunningTrial) -> None:
        """Take a trial's progress over."""
        self.running[cell_key] = trial
        self._note()

    def end(self, cell_key: str) -> None:
        """Count a trial and all its tokens as done, even if it failed."""
        last = self.running.pop(cell_key, None)
        self.ended += 1
        self._ended_tokens += last.total_tokens if last else 0
        self._note()

    def _note(self) -> None:
        now_s, done = self.clock(), self._done
        self._all.add(now_s, done)
        if done:
            self._pace.add(now_s, done)

    @property
    def tokens(self) -> int:
        """Tokens done, in all trials."""
        done = self._ended_tokens + sum(trial.tokens for trial in self.running.values())
        return min(done, self.total_tokens)

    @property
    def share(self) -> float:
        """Of all the work, 0 to 1."""
        return self._done / self._total if self._total else 0.0

    @property
    def _done(self) -> float:
        """Tokens through a model, forward or backward, as far as they are known beforehand."""
        measured = self.ended + sum(trial.measured for trial in self.running.values())
        done = TRAINING_PASSES * self.tokens + measured * self._measured_tokens
        return min(done, self._total)

    @property
    def _total(self) -> float:
        return TRAINING_PASSES * self.total_tokens + self.total_cells * self._measured_tokens

    def is_stalled(self, now_s: float) -> bool:
        """Whether nothing has gone on for long."""
        return self._all.stalled_s(now_s) > 0

    def line(self) -> str:
        """The whole sweep in one line."""
        now_s = self.clock()
        parts = [f"{self.ended} of {self.total_cells} trials"]
        if self.total_tokens:  # none where nothing is trained
            done, total = map(format_tokens, (self.tokens, self.total_tokens))
            parts.append(f"{done} of {total} tokens")
        parts.append(f"{duration(now_s - self._start_s)} gone")
        if stalled_s := self._all.stalled_s(now_s):
            parts.append(f"no progress for {duration(stalled_s)}")
            return ", ".join(parts)
        return ", ".join(parts) + time_left(self._pace, self._total)


class _PlainView(AbstractContextManager[ProgressView]):
    def __init__(self, work: _Work, console: Console) -> None:
        self._work, self._console = work, console
        self._lock = threading.RLock()
        self._last_s = work.clock()
        self._beside = ExitStack()

    def __enter__(self) -> Self:
        self._beside.enter_context(repeated(self.remind, PLAIN_EVERY_S))
        return self

    def __exit__(self, *_: object) -> None:
        self._beside.close()

    def remind(self) -> None:
        """Say now and then that nothing goes on: no update comes then."""
        with self._lock:
            now_s = self._work.clock()
            if self._work.is_stalled(now_s) and now_s - self._last_s >= STALLED_S:
                self._last_s = now_s
                self.note(self._work.line())

    def update(self, cell_key: str, metrics: RunningTrial) -> None:
        with self._lock:
            self._work.update(cell_key, metrics)
            if self._work.clock() - self._last_s >= PLAIN_EVERY_S:
                self._last_s = self._work.clock()
                self.note(self._work.line())

    def finished(self, cell_key: str, summary: str) -> None:
        with self._lock:
            self._work.end(cell_key)
            self._last_s = self._work.clock()
            self.note(f"[{self._work.ended}/{self._work.total_cells}] {summary}")

    def note(self, text: str) -> None:
        with self._lock:
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)


class _LiveView:
    def __init__(self, work: _Work, console: Console) -> None:
        self._work, self._console = work, console
        self._lock = threading.Lock()
        self._live = Live(
            get_renderable=self.render, console=console, refresh_per_second=2, transient=True
        )

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._live.__exit__(*error)

    def update(self, cell_key: str, metrics: RunningTrial) -> None:
        with self._lock:
            self._work.update(cell_key, metrics)

    def finished(self, cell_key: str, summary: str) -> None:
        with self._lock:
            self._work.end(cell_key)
            text = f"[{self._work.ended}/{self._work.total_cells}] {summary}"
        self.note(text)

    def note(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False)

    def render(self) -> Group:
        """The lines at the bottom of the terminal."""
        with self._lock:
            share = self._work.share
            line, running = self._work.line(), list(self._work.running.values())
        bar = Grid.grid(expand=True)  # a bar alone does not end its line
        bar.add_row(ProgressBar(total=1.0, completed=share))
        return Group(bar, Text(line), _running_lines(running))


def _running_lines(running: list[RunningTrial]) -> Grid:
    """One line a running trial; a narrow terminal loses the right end first."""
    grid = Grid.grid(padding=(0, 2, 0, 0))
    for trial in running:
        nll = "" if trial.heldout_nll is None else f"nll {trial.heldout_nll:.3f}"
        share = f"{format_tokens(trial.tokens)}/{format_tokens(trial.total_tokens)}"
        doing = f"{trial.tokens_per_s:,.0f} tokens/s"
        if trial.stage:
            share = share if trial.total_tokens else ""
            doing = f"{trial.stage}, {100 * trial.share:.0f} %"
        grid.add_row(*map(Text, (trial.location, trial.age, share, nll, doing)))
    return grid
