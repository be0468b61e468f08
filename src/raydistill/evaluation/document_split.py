"""Held-out documents in two halves: a search selects on one and reports on the other (METHOD 6)."""

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

from raydistill.specs.results import UnitScores


def half(
    scores: UnitScores, which: Literal["selection", "report"], units: Iterable[str]
) -> UnitScores:
    """`scores` on the documents to select on, or on those to report on (METHOD 6).

    Args:
        scores: of some of the documents, or of all.
        which: of the halves; neither is empty if there are two documents or more.
        units: all documents, in any order. Ranked by the sha256 of their names, they go to
            selection and report in turn; so scores split by the same `units` are split alike.
            A task that has its own data has none of them: its items are ranked by themselves.
    """
    documents = set(units)
    if documents.isdisjoint(scores.units):
        documents = set(scores.units)
    ranked = sorted(documents, key=lambda unit: hashlib.sha256(unit.encode()).hexdigest())
    in_half = set(ranked[0 if which == "selection" else 1 :: 2])
    rows = [
        (unit, total, count)
        for unit, total, count in zip(scores.units, scores.sums, scores.counts, strict=True)
        if unit in in_half
    ]
    return replace(
        scores,
        units=tuple(unit for unit, _, _ in rows),
        sums=tuple(total for _, total, _ in rows),
        counts=tuple(count for _, _, count in rows),
    )
