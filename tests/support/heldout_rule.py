"""How the held-out chapters of the embedded text were chosen, once."""

import hashlib
import math
import statistics
from collections import Counter

import numpy as np

from raydistill.data.documents import runs_of
from raydistill.data.sources.embedded import (
    HELDOUT_CHAPTERS,
    TRANSLATIONS,
    _clean,
    _verses,
    chapters,
)


def choose_heldout():
    """Which chapters to hold out: those that nothing else repeats, spread over the books.

    Parallels (2 Kings 19 is Isaiah 37, 2 Samuel 22 is Psalm 18, Chronicles repeats Kings, the
    Gospels each other) would leak; so a chapter qualifies only if in every translation less
    than 0.2 % of its 12-word runs stand in any other chapter of any translation. It must also
    be cut alike in all four (the `bbe` package shifts some verses). Among those, each book
    gives at most 7 % of its chapters, in the order of their names' sha256.
    """
    texts = [chapters(translation) for translation in TRANSLATIONS]
    runs = {
        unit: [runs_of(chapter.get(unit, "")) for chapter in texts] for unit in set().union(*texts)
    }
    by_unit = [np.unique(np.concatenate(translated)) for translated in runs.values()]
    every, counts = np.unique(np.concatenate(by_unit), return_counts=True)
    repeated = set(every[counts > 1].tolist())
    room = Counter(unit.split()[0] for unit in texts[0])
    room = Counter({book: math.ceil(0.07 * size) for book, size in room.items()})
    chosen = []
    for unit in sorted(_cut_alike(), key=lambda unit: hashlib.sha256(unit.encode()).hexdigest()):
        book = unit.split()[0]
        if room[book] > 0 and all(_is_unique(own.tolist(), repeated) for own in runs[unit]):
            room[book] -= 1
            chosen.append(unit)
    return chosen[:HELDOUT_CHAPTERS]


def _is_unique(runs, repeated):
    return sum(run in repeated for run in runs) < 0.002 * len(runs)


def _cut_alike():
    """Chapters of at least 10 verses, alike in number and length, that begin and end whole."""
    bibles = [_verses(translation) for translation in TRANSLATIONS]
    return [
        unit
        for unit, first in bibles[0].items()
        if len(first) >= 10
        and all(len(bible.get(unit, [])) == len(first) for bible in bibles)
        and all(_correlate(first, bible[unit]) > 0.6 for bible in bibles)
        and all(_is_whole(_clean("".join(bible[unit]))) for bible in bibles)
    ]


def _correlate(first, second):
    return statistics.correlation([len(v) for v in first], [len(v) for v in second])


def _is_whole(text):
    return text.lstrip('"')[0].isupper() and text.rstrip("\"' )")[-1] in ".?!"
