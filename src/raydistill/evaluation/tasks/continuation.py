"""Which of four passages follows? The others stand elsewhere in the same collection."""

import functools
import random
from collections.abc import Iterator, Sequence

from raydistill.data.documents import Document
from raydistill.evaluation.text_tasks import Item, shuffled_item

CHOICES = 4
METRIC = "acc_norm"  # the passages differ in characters
CONTEXT_WORDS = 20
PASSAGE_WORDS = 8


def candidates(
    document: Document, neighbours: Sequence[Document], rng: random.Random
) -> Iterator[Item]:
    """Twenty words from anywhere, and the next eight; the others are eight words too."""
    words = _words(document.text)
    others = [_words(other.text) for other in neighbours if other.unit != document.unit]
    elsewhere = [other for other in others if len(other) >= PASSAGE_WORDS]
    starts = list(range(CONTEXT_WORDS, len(words) - PASSAGE_WORDS + 1, PASSAGE_WORDS))
    rng.shuffle(starts)
    if len(elsewhere) < CHOICES - 1:
        return
    for start in starts:
        context = " ".join(words[start - CONTEXT_WORDS : start])
        right = " ".join(words[start : start + PASSAGE_WORDS])
        wrong = [_passage(other, rng) for other in rng.sample(elsewhere, CHOICES - 1)]
        if len({right, *wrong}) == CHOICES:
            yield shuffled_item(document.unit, context, right, wrong, rng)


def _passage(words: Sequence[str], rng: random.Random) -> str:
    first = rng.randrange(len(words) - PASSAGE_WORDS + 1)
    return " ".join(words[first : first + PASSAGE_WORDS])


@functools.lru_cache(maxsize=4096)
def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())
