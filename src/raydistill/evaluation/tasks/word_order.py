"""Which of four is in order? In each of the others two words have changed places.

Most swaps are absurd, and even a small model sees them. So the others are those three, of
all that are possible, that a bigram count of the neighbouring documents finds likeliest.
"""

import functools
import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise

from raydistill.data.documents import Document
from raydistill.evaluation.text_tasks import Item, sentences, shuffled_item

CHOICES = 4
METRIC = "acc"
CONTEXT_WORDS = 5
PASSAGE_WORDS = 10
SMOOTHING = 10  # added to the count of a bigram's first word


def candidates(
    document: Document, neighbours: Sequence[Document], rng: random.Random
) -> Iterator[Item]:
    """The first five words of a sentence, and the next ten."""
    bigrams = _bigrams(tuple(neighbour.text for neighbour in neighbours))
    long = [part for part in sentences(document.text) if len(part) > CONTEXT_WORDS + PASSAGE_WORDS]
    rng.shuffle(long)
    for part in long:
        context, right = part[:CONTEXT_WORDS], part[CONTEXT_WORDS:][:PASSAGE_WORDS]
        wrong = {tuple(swap) for swap in _swaps(right)} - {tuple(right)}
        ranked = sorted(wrong, key=lambda words: (-bigrams.score([context[-1], *words]), words))
        if len(ranked) >= CHOICES - 1 and all(word.islower() for word in right):
            others = [" ".join(words) for words in ranked[: CHOICES - 1]]
            yield shuffled_item(document.unit, " ".join(context), " ".join(right), others, rng)


def _swaps(words: Sequence[str]) -> Iterator[list[str]]:
    """`words` with any two exchanged that carry no punctuation."""
    plain = [i for i, word in enumerate(words) if word.isalpha()]
    for first, second in combinations(plain, 2):
        swapped = list(words)
        swapped[first], swapped[second] = words[second], words[first]
        yield swapped


class _Bigrams:
    """How likely words follow each other, by count, falling back to single words."""

    def __init__(self, texts: tuple[str, ...]) -> None:
        words = [text.lower().split() for text in texts]
        self.single = Counter(word for text in words for word in text)
        self.pairs = Counter(pair for text in words for pair in pairwise(text))
        self.total = self.single.total()

    def score(self, words: Sequence[str]) -> float:
        """The log-probability of `words` after the first of them."""
        single, pairs, lowered = self.single, self.pairs, [word.lower() for word in words]
        return sum(
            math.log((pairs[a, b] + (single[b] + 1) / self.total) / (single[a] + SMOOTHING))
            for a, b in pairwise(lowered)
        )


_bigrams = functools.lru_cache(maxsize=8)(_Bigrams)
