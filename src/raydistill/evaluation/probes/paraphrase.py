"""Are two verses one and the same in two translations? Else the second is a neighbour of it."""

import random
from collections.abc import Iterator, Sequence

from raydistill.data.documents import Passages
from raydistill.evaluation.probing.labelled_items import LabelledItem, alternating, first_words

LABELS = 2  # 1: the same verse
WORDS = 20  # of each
FEWEST = 6  # words of a verse


def candidates(
    document: Passages, others: Sequence[Passages], rng: random.Random
) -> Iterator[LabelledItem]:
    """A verse, and the same or the one before or after it of another translation."""
    alike = [other for other in others if len(other.texts) == len(document.texts)]
    if not (document.are_verses and alike):
        return
    label = alternating(rng)
    for place in rng.sample(range(1, len(document.texts) - 1), max(0, len(document.texts) - 2)):
        other, same = rng.choice(alike), next(label)
        texts = document.texts[place], other.texts[place if same else place + rng.choice((-1, 1))]
        if all(len(text.split()) >= FEWEST for text in texts):
            short = tuple(first_words(text, WORDS) for text in texts)
            yield LabelledItem(unit=document.unit, texts=short, label=same)
