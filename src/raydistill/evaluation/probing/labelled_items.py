"""Labelled items, which a model is fine-tuned to tell apart: one text or two, and a label.

A probe is a file of `probes/` with `LABELS` (how many there are) and `candidates(document,
others, rng) -> Iterator[LabelledItem]`; `document` is in passages (`data/documents.py`), `others`
are the documents of the same unit in other collections. Items to train on come from training
documents alone, those to test on from held-out ones.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import cast

from raydistill.core.errors import OwnCodeError
from raydistill.core.parts import PROBE, load_part
from raydistill.data.documents import Passages


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledItem:
    """One or two texts of document `unit`, and which label of a probe, from 0 on, they have."""

    unit: str
    texts: tuple[str, ...]
    label: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeItems:
    """The items of a probe; `labels` is how many it has, `chance` the accuracy without reading."""

    train: Sequence[LabelledItem]
    test: Sequence[LabelledItem]
    labels: int
    chance: float


Candidates = Callable[[Passages, Sequence[Passages], random.Random], Iterator[LabelledItem]]


def num_labels(name: str) -> int:
    """How many labels a probe has.

    Raises:
        UsageError: if there is no such probe, or it does not say.
    """
    labels = load_part(PROBE, name, "LABELS")
    if not isinstance(labels, int) or labels < 2:
        raise OwnCodeError(f"probe {name!r}: LABELS is {labels!r}, it must be 2 or more")
    return labels


def choose_items(name: str, documents: Sequence[Passages], most: int) -> list[LabelledItem]:
    """The items of probe `name` from `documents`: at most `most`, equally many of each label.

    Equal documents give equal items. They come from the documents in turn, in random order.

    Raises:
        UsageError: if there is no such probe, or it is not as a probe must be.
    """
    labels = num_labels(name)
    candidates = cast(Candidates, load_part(PROBE, name, "candidates"))
    by_unit: dict[str, list[Passages]] = {}
    for document in documents:
        by_unit.setdefault(document.unit, []).append(document)
    sources = []
    for document in documents:
        others = [other for other in by_unit[document.unit] if other is not document]
        rng = random.Random(f"{name}/{document.collection}/{document.unit}")
        sources.append(_checked(name, labels, candidates(document, others, rng)))
    random.Random(name).shuffle(sources)
    by_label: dict[int, list[LabelledItem]] = {}
    size = most // labels
    for item in _in_turn(sources):
        if len(kept := by_label.setdefault(item.label, [])) < size:
            kept.append(item)
        elif len(by_label) == labels and all(len(of) == size for of in by_label.values()):
            break
    fewest = min(map(len, by_label.values())) if len(by_label) > 1 else 0
    return [item for of_label in by_label.values() for item in of_label[:fewest]]


def first_words(text: str, number: int) -> str:
    """The first words of a text, at most `number`."""
    return " ".join(text.split()[:number])


def alternating(rng: random.Random, labels: int = 2) -> Iterator[int]:
    """All labels in turn without end, from any on."""
    return islice(cycle(range(labels)), rng.randrange(labels), None)


def _checked(name: str, labels: int, items: object) -> Iterator[LabelledItem]:
    """What `candidates` gave, item by item."""
    if not isinstance(items, Iterable):
        given = type(items).__name__
        raise OwnCodeError(f"probe {name!r}: candidates gave {given}, it must yield items")
    for item in items:
        if not isinstance(item, LabelledItem):
            given = type(item).__name__
            raise OwnCodeError(
                f"probe {name!r}: candidates yielded {given}, it must be a LabelledItem"
            )
        if not 1 <= len(item.texts) <= 2 or not 0 <= item.label < labels:
            raise OwnCodeError(
                f"probe {name!r}: an item has {len(item.texts)} texts and the label {item.label}, "
                f"it must be one text or two, and a label below {labels}"
            )
        yield item


def _in_turn(sources: Sequence[Iterator[LabelledItem]]) -> Iterator[LabelledItem]:
    """One item from each source, round robin, until all are exhausted."""
    left = list(sources)
    while left:
        still = []
        for source in left:
            if (item := next(source, None)) is not None:
                still.append(source)
                yield item
        left = still
