"""Which of four words ends the sentence?

Grammar alone does not tell: all four follow the same last-but-one word somewhere, all end
sentences, and the wrong ones are about as frequent as the right one.
"""

import functools
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from raydistill.data.documents import Document
from raydistill.evaluation.text_tasks import Item, sentences, shuffled_item

CHOICES = 4
METRIC = "acc"
CONTEXT_WORDS = 24
POOL = 12  # words nearest in frequency, from which distractors are drawn


def candidates(
    document: Document, neighbours: Sequence[Document], rng: random.Random
) -> Iterator[Item]:
    """A sentence without its last word; the others follow the same last-but-one word."""
    words = document.text.split()
    count, after = _statistics(tuple(neighbour.text for neighbour in neighbours))
    ends = [end for end in range(CONTEXT_WORDS, len(words)) if words[end][-1] in ".?!"]
    rng.shuffle(ends)
    for end in ends:
        right = _plain(words[end])
        context = words[end - CONTEXT_WORDS : end]
        fitting = sorted(after.get(context[-1].lower(), set()) - {right, *map(_plain, context)})
        near = sorted(fitting, key=lambda word: abs(count[word] - count[right]))[:POOL]
        if right.isalpha() and len(right) > 2 and len(near) == POOL:
            wrong = rng.sample(near, CHOICES - 1)
            yield shuffled_item(document.unit, " ".join(context), right, wrong, rng)


@functools.lru_cache(maxsize=8)
def _statistics(texts: tuple[str, ...]) -> tuple[Counter[str], Mapping[str, set[str]]]:
    """How often each sentence-ending word occurs, and which of them follow which word."""
    ending = {_plain(part[-1]) for text in texts for part in sentences(text) if part}
    count: Counter[str] = Counter()
    after: defaultdict[str, set[str]] = defaultdict(set)
    for text in texts:
        words = text.split()
        for before, word in pairwise(words):
            plain = _plain(word)
            if plain in ending and plain.isalpha() and len(plain) > 2:
                count[plain] += 1
                after[before.lower()].add(plain)
    return count, after


def _plain(word: str) -> str:
    return re.sub(r"^\W+|\W+$", "", word)
