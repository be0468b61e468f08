"""How far a long piece of work is: noted where it is done, shown by whoever listens.

What takes long goes through its parts by `tracked` or `in_parts`, or calls `report`. Without a
`listening` block around it, in the same thread, these do nothing. A part that has parts itself
moves the whole on: a base is measured score by score, a score batch by batch, and one number says
how far the base is.
"""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, TypeVar

from raydistill.core.background import repeated

T = TypeVar("T")

UNKNOWN = math.inf  # a total
GROWTH_EVERY_S = 1.0
STALLED_S = 300.0  # without progress, from which it is said
MIN_STEP = 0.01  # between two notes of a pace, of the time since the first


@dataclass(frozen=True, kw_only=True, slots=True)
class StageProgress:
    """How far a stage is."""

    stage: str
    part: str = ""  # the one at work
    done: float
    total: float
    unit: str  # of both, and of even cost: "tokens", "bytes"; empty: the share alone says anything

    @property
    def is_done(self) -> bool:
        """Whether nothing is left."""
        return self.done >= self.total


Listener = Callable[[StageProgress], None]


class Part(Protocol):
    """A part of a stage: `with part(size, name):` around the work."""

    def __call__(self, size: float, name: str = "") -> AbstractContextManager[None]: ...


@dataclass(slots=True, eq=False)
class _Walk:
    """Over parts of `total`; `done` lies behind, and `size` is the part at work."""

    name: str
    unit: str
    total: float
    done: float = 0.0
    size: float = 0.0
    part: str = ""
    furthest: float = 0.0  # a part that begins anew, as some measurements do, takes nothing back


@dataclass(slots=True)
class _Listening:
    listener: Listener
    walks: list[_Walk] = field(default_factory=list)  # the outermost first

    def tell(self) -> None:
        """How far the outermost walk is, by what is done of the part at work inside it."""
        share, done = 0.0, 0.0
        for walk in reversed(self.walks):
            done = walk.done + walk.size * share
            share = min(1.0, done / walk.total) if walk.total else 1.0
        whole = self.walks[0]
        whole.furthest = done = max(done, whole.furthest)
        names = list(dict.fromkeys(n for walk in self.walks for n in (walk.name, walk.part) if n))
        self.listener(
            StageProgress(
                stage=names[0] if names else "",
                part=": ".join(names[1:]),
                done=done,
                total=whole.total,
                unit=whole.unit,
            )
        )


_current: ContextVar[_Listening | None] = ContextVar("progress", default=None)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """What the block does is told to `listener`, which is called in the block's thread."""
    before = _current.get()
    _current.set(_Listening(listener))
    try:
        yield
    finally:
        _current.set(before)  # not `reset`: a generator may be closed elsewhere


def report(progress: StageProgress) -> None:
    """Tell how far something is that no `tracked` walks over."""
    current = _current.get()
    if current is None:
        return
    walk = _Walk(progress.stage, progress.unit, progress.total, progress.done, part=progress.part)
    current.walks.append(walk)
    try:
        current.tell()
    finally:
        current.walks.remove(walk)


@contextmanager
def in_parts(stage: str, unit: str, total: float) -> Iterator[Part]:
    """A stage whose block is done part by part, each in a `with part(size, name):` of its own.

    Args:
        stage: what is done; may be empty inside another one.
        unit: of the sizes, which are to be in proportion to the time that the parts take.
        total: of all sizes.
    """
    current = _current.get()
    if current is None:
        yield lambda _size, _name="": nullcontext()
        return
    walk = _Walk(stage, unit, total)

    @contextmanager
    def part(size: float, name: str = "") -> Iterator[None]:
        walk.size, walk.part = size, name
        current.tell()
        yield
        walk.done += size
        walk.size, walk.part = 0.0, ""

    current.walks.append(walk)
    try:
        yield part
        current.tell()
    finally:
        current.walks.remove(walk)


def tracked(
    parts: Collection[T],
    stage: str,
    unit: str,
    *,
    size: Callable[[T], float] = lambda _part: 1,
    name: Callable[[T], str] = lambda _part: "",
) -> Iterator[T]:
    """The parts of a stage (`in_parts`), in order; one is done when the next is taken."""
    with in_parts(stage, unit, sum(map(size, parts))) as part:
        for item in parts:
            with part(size(item), name(item)):
                yield item


def streamed(
    items: Iterable[T],
    stage: str,
    unit: str,
    total: float,
    size: Callable[[T], float] = lambda _item: 1,
    *,
    aside: bool = False,
) -> Iterator[T]:
    """The items of a stream whose total size is known beforehand, told at every half percent.

    With an unknown total at every item. Of what is done `aside`, the name is told only where it is
    no part of another stage.
    """
    current = _current.get()
    if current is None:
        yield from items
        return
    walk, last = _Walk("" if aside and current.walks else stage, unit, total), 0.0
    current.walks.append(walk)
    try:
        current.tell()
        for item in items:
            yield item
            walk.done += size(item)
            if total == UNKNOWN or walk.done - last >= total / 200:
                last = walk.done
                current.tell()
        walk.total = walk.done
        current.tell()
    finally:
        current.walks.remove(walk)


def carried(items: Iterator[T]) -> Iterator[T]:
    """The items, whose progress is told also where another thread takes them."""
    context = copy_context()

    def take() -> Iterator[T]:
        with suppress(StopIteration):
            while True:
                yield context.run(next, items)

    return take()


@contextmanager
def growing(folder: Path, stage: str, size_bytes: int) -> Iterator[None]:
    """While the block fills `folder` by code that does not tell how far it is: by what is on disk.

    By blocks, as some libraries give a file its length before they write it.
    """
    if _current.get() is None:
        yield
        return

    def look() -> None:
        done = min(_bytes_in(folder), size_bytes)
        report(StageProgress(stage=stage, done=done, total=size_bytes, unit="bytes"))

    with repeated(look, GROWTH_EVERY_S):
        yield


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):  # it was renamed
            total += 512 * path.stat().st_blocks if path.is_file() else 0
    return total


class Pace:
    """What was done by when, from which the time left is estimated."""

    def __init__(self) -> None:
        self._samples: list[tuple[float, float]] = []
        self._rose_s = 0.0

    def add(self, now_s: float, done: float) -> None:
        """Note that so much was done by `now_s`; neither ever falls."""
        samples = self._samples
        if not samples or done > samples[-1][1]:
            self._rose_s = now_s
        if len(samples) > 2 and samples[-1][0] - samples[-2][0] < (
            MIN_STEP * (now_s - samples[0][0])
        ):
            samples.pop()  # the newest one stays, and a hundred or so before it
        samples.append((now_s, done))

    @property
    def seconds(self) -> float:
        """Since the first note."""
        return self._samples[-1][0] - self._samples[0][0] if self._samples else 0.0

    def stalled_s(self, now_s: float | None = None) -> float:
        """Seconds without progress until `now_s`, the last note by default; 0 if they are few."""
        if not self._samples:
            return 0.0
        idle_s = (self._samples[-1][0] if now_s is None else now_s) - self._rose_s
        return idle_s if idle_s >= STALLED_S else 0.0

    def seconds_left(self, total: float) -> float | None:
        """Seconds until `total` is done, at the pace of the latter half of the time so far.

        So neither a slow start nor a pace that changed a while ago counts for long. Where the
        latter half got no further, all of the time counts.

        Returns:
            None where nothing is known: nothing was done yet, or the total is unknown.
        """
        if not self._samples or total == UNKNOWN:
            return None
        (start_s, _), (now_s, done) = self._samples[0], self._samples[-1]
        half_s = (start_s + now_s) / 2
        half = bisect_right(self._samples, half_s, key=lambda sample: sample[0]) - 1
        for since_s, before in (self._samples[half], self._samples[0]):
            if done > before and now_s > since_s:
                return max(0.0, total - done) * (now_s - since_s) / (done - before)
        return None


def joined(reports: Collection[StageProgress], tasks: int) -> StageProgress:
    """The progress of `tasks` that run side by side, by those that have reported: one at least.

    It is that of the stage in which most of them are. The others are assumed to have as much to do
    there on average.
    """
    stage = Counter(progress.stage for progress in reports).most_common(1)[0][0]
    alike = [progress for progress in reports if progress.stage == stage]
    first = next((progress for progress in alike if not progress.is_done), alike[0])
    total = sum(progress.total for progress in alike) * tasks / len(alike)
    return replace(first, done=sum(progress.done for progress in alike), total=total)
