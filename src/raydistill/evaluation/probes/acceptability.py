"""Is a passage as it was written? Else two of its words have changed places."""

import random
from collections.abc import Iterator, Sequence

from raydistill.data.documents import Passages
from raydistill.evaluation.probing.labelled_items import LabelledItem, alternating

LABELS = 2  # 1: as it was written
WORDS = 20
FEWEST = 8


def candidates(
    document: Passages, others: Sequence[Passages], rng: random.Random
) -> Iterator[LabelledItem]:
    """The beginning of a verse, or of a sentence; only words without punctuation move."""
    del others
    label = alternating(rng)
    for text in rng.sample(document.texts, len(document.texts)):
        words = text.split()[:WORDS]
        plain = [place for place, word in enumerate(words) if word.isalpha() and word.islower()]
        if len(words) < FEWEST or len({words[place] for place in plain}) < 2:
            continue
        is_written = next(label)
        if not is_written:
            first = rng.choice(plain)
            second = rng.choice([place for place in plain if words[place] != words[first]])
            words[first], words[second] = words[second], words[first]
        yield LabelledItem(unit=document.unit, texts=(" ".join(words),), label=is_written)
