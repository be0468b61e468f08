"""Multiple-choice tasks made from held-out text; the original is always the right answer.

A task is a file of `tasks/` with `CHOICES` (how many to choose from), `METRIC` (lm-eval's
name: "acc", or "acc_norm" per character) and `candidates(document, neighbours, rng) ->
Iterator[Item]`; `neighbours` are the held-out documents of the same collection. Items are
chosen when a model is first scored on the task, and again when the task's code has changed.
"""

import math
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from typing import cast

from raydistill.core.parts import TASK, load_part, part_names
from raydistill.data.documents import Document

ITEMS = 420
ITEMS_PER_UNIT = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One question: which of `choices` follows `context`? `answer` is its index."""

    unit: str
    context: str
    choices: tuple[str, ...]
    answer: int


Candidates = Callable[[Document, Sequence[Document], random.Random], Iterator[Item]]


def choose_items(name: str, documents: Sequence[Document]) -> list[Item]:
    """The items of task `name` from `documents`: up to 420, at most 6 from one unit.

    Equal documents give equal items. A unit's items come from its documents in turn.
    """
    candidates = cast(Candidates, load_part(TASK, name, "candidates"))
    collections: dict[str, list[Document]] = {}
    for document in documents:
        collections.setdefault(document.collection, []).append(document)
    units: dict[str, list[Iterator[Item]]] = {}
    for document in documents:
        rng = random.Random(f"{name}/{document.collection}/{document.unit}")
        neighbours = collections[document.collection]
        units.setdefault(document.unit, []).append(candidates(document, neighbours, rng))
    chosen = list(units.values())[:: math.ceil(len(units) / ITEMS) or 1]
    per_unit = min(ITEMS_PER_UNIT, ITEMS // max(1, len(chosen)))
    return [item for sources in chosen for item in islice(_in_turn(sources), per_unit)]


def is_text_task(name: str) -> bool:
    """Whether a task is a file of `tasks/`: its items are made from held-out text."""
    return name in part_names(TASK)


def chance(name: str) -> float:
    """The accuracy of guessing in task `name`, in (0, 1).

    Raises:
        UsageError: if there is no such task.
    """
    return 1 / cast(int, load_part(TASK, name, "CHOICES"))


def metric(name: str) -> str:
    """Which of lm-eval's metrics is the score of task `name`.

    Raises:
        UsageError: if there is no such task.
    """
    return cast(str, load_part(TASK, name, "METRIC"))


def shuffled_item(
    unit: str, context: str, right: str, wrong: Sequence[str], rng: random.Random
) -> Item:
    """The item with its choices in random order."""
    choices = [right, *wrong]
    rng.shuffle(choices)
    return Item(unit=unit, context=context, choices=tuple(choices), answer=choices.index(right))


def sentences(text: str) -> list[list[str]]:
    """The sentences of `text`, each as its words with their punctuation."""
    return [part.split() for part in re.findall(r"[^.?!]+[.?!]+['\")]*", text)]


def _in_turn(sources: Sequence[Iterator[Item]]) -> Iterator[Item]:
    """One item from each source, round robin, until all are exhausted."""
    rounds = zip_longest(*sources)
    return (item for items in rounds for item in items if item is not None)
