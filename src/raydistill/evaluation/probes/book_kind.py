"""Which kind of book is it from: law, history, poetry, prophets or letters?

Of gospels, Acts and Revelation too few chapters are held out.
"""

import random
from collections.abc import Iterator, Sequence

from raydistill.data.documents import Passages
from raydistill.evaluation.probing.labelled_items import LabelledItem, first_words

KINDS = (
    "GEN EXO LEV NUM DEU",
    "JOS JDG RUT 1SA 2SA 1KI 2KI 1CH 2CH EZR NEH EST",
    "JOB PSA PRO ECC SNG",
    "ISA JER LAM EZK DAN HOS JOL AMO OBA JON MIC NAM HAB ZEP HAG ZEC MAL",
    "ROM 1CO 2CO GAL EPH PHP COL 1TH 2TH 1TI 2TI TIT PHM HEB JAS 1PE 2PE 1JN 2JN 3JN JUD",
)
LABELS = len(KINDS)
WORDS = 30
_KIND = {book: kind for kind, books in enumerate(KINDS) for book in books.split()}


def candidates(
    document: Passages, others: Sequence[Passages], rng: random.Random
) -> Iterator[LabelledItem]:
    """The beginning of two verses."""
    del others
    kind = _KIND.get(document.unit.partition(" ")[0])
    if kind is None or not document.are_verses:
        return
    places = list(range(0, len(document.texts) - 1, 2))
    for place in rng.sample(places, len(places)):
        words = first_words(" ".join(document.texts[place : place + 2]), WORDS)
        if len(words.split()) == WORDS:
            yield LabelledItem(unit=document.unit, texts=(words,), label=kind)
