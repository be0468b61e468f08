"""Does the second of two passages follow the first? Else it stands before it."""

import random
from collections.abc import Iterator, Sequence

from raydistill.data.documents import Passages
from raydistill.evaluation.probing.labelled_items import LabelledItem, alternating, first_words

LABELS = 2  # 1: in order
WORDS = 20  # of each
FEWEST = 6  # words of a passage


def candidates(
    document: Passages, others: Sequence[Passages], rng: random.Random
) -> Iterator[LabelledItem]:
    """Two verses, or sentences, that stand side by side."""
    del others
    label = alternating(rng)
    places = list(range(0, len(document.texts) - 1, 2))
    for place in rng.sample(places, len(places)):
        texts = [first_words(text, WORDS) for text in document.texts[place : place + 2]]
        if all(len(text.split()) >= FEWEST for text in texts):
            in_order = next(label)
            shown = tuple(texts if in_order else reversed(texts))
            yield LabelledItem(unit=document.unit, texts=shown, label=in_order)
