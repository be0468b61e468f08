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
    asked = set(units)
    own = asked if asked & set(scores.units) else set(scores.units)
    ranked = sorted(own, key=lambda unit: hashlib.sha256(unit.encode()).hexdigest())
    inside = set(ranked[0 if which == "selection" else 1 :: 2])
    chosen = [
        entry
        for entry in zip(scores.units, scores.sums, scores.counts, strict=True)
        if entry[0] in inside
    ]
    return replace(
        scores,
        units=tuple(unit for unit, _, _ in chosen),
        sums=tuple(total for _, total, _ in chosen),
        counts=tuple(count for _, _, count in chosen),
    )
