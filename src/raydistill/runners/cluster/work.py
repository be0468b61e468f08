"""What a piece of work is, and how often it reports.

A work is a generator function `work(job)` of some module: it yields metrics of its progress
(`tokens`, `loss`, …), and with the last item its results. So the same function runs in a test,
in a Tune trial, and on every rank of a Train worker group, where each rank yields equally often.
"""

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass

Metrics = Mapping[str, float | int | str]

Work = Callable[..., Generator[Metrics]]
"""Defined at the top of a module, so that another process finds it by name."""

AxisValue = str | int | float

FINISHED = "finished"  # is 1 in the last report of a work that came to its end, and in no other
REPORT_EVERY_S = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A cell that may be trained."""

    key: str  # identity of the work; candidates with equal keys are the same work
    axes: Mapping[str, AxisValue]  # the cell's values by axis name, as Tune and Optuna show them
    job: object  # what `work` is called with; it can be pickled


def paced(items: Generator[Metrics], agree: Callable[[int], int]) -> Iterator[Metrics]:
    """The items to report: about one every `REPORT_EVERY_S`, and the last one, marked `FINISHED`.

    A report costs a round trip (Train takes one per poll), which most steps are spared this way.
    How many items pass until the next report is decided at each report by `agree`, so that
    ranks, whose clocks differ, report the same items: every rank must, or all wait for ever.
    Where they agree on 0, the items are closed and no last one comes: a stop.

    Args:
        items: what a work yields.
        agree: makes one number of all ranks' proposals; 0 if the work is to stop.
    """
    stride, passed = agree(1), 1
    last: Metrics = {}
    if stride == 0:
        return
    since_s = time.monotonic()
    for last in items:
        if passed < stride:
            passed += 1
            continue
        elapsed_s = max(time.monotonic() - since_s, 1e-3)
        yield last
        fitting = round(stride * REPORT_EVERY_S / elapsed_s)
        stride = agree(max(1, min(fitting, 2 * stride)))  # doubling: the first items may be cheap
        if stride == 0:
            items.close()
            return
        passed, since_s = 1, time.monotonic()
    yield {**last, FINISHED: 1}
