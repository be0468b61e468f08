"""Multiple-choice tasks made from held-out text; the original is always the right answer.

A task is a file of `tasks/` with `CHOICES` (how many to choose from), `METRIC` (lm-eval's
name: "acc", or "acc_norm" per character) and `candidates(document, neighbours, rng) ->
Iterator[Item]`; `neighbours` are the held-out documents of the same collection. Items are
chosen when a model is first scored on the task, and again when the task's code has changed.
"""

import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from typing import cast

from raydistill.core.errors import OwnCodeError
from raydistill.core.parts import TASK, load_part, part_names
from raydistill.data.documents import Document, sentences_of

ITEMS = 420
ITEMS_PER_UNIT = 6
METRICS = ("acc", "acc_norm")


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

    Raises:
        UsageError: if there is no such task, or it is not as a task must be.
    """
    _check_task(name)
    candidates = cast(Candidates, load_part(TASK, name, "candidates"))
    collections: dict[str, list[Document]] = {}
    for document in documents:
        collections.setdefault(document.collection, []).append(document)
    units: dict[str, list[Iterator[Item]]] = {}
    for document in documents:
        rng = random.Random(f"{name}/{document.collection}/{document.unit}")
        neighbours = collections[document.collection]
        given = candidates(document, neighbours, rng)
        units.setdefault(document.unit, []).append(_checked(name, given))
    chosen = list(units.values())[:: math.ceil(len(units) / ITEMS) or 1]
    per_unit = min(ITEMS_PER_UNIT, ITEMS // max(1, len(chosen)))
    return [item for sources in chosen for item in islice(_in_turn(sources), per_unit)]


def _check_task(name: str) -> None:
    choices, metric = (load_part(TASK, name, field) for field in ("CHOICES", "METRIC"))
    if not isinstance(choices, int) or choices < 2:
        raise OwnCodeError(f"task {name!r}: CHOICES is {choices!r}, it must be 2 or more")
    if metric not in METRICS:
        raise OwnCodeError(
            f"task {name!r}: METRIC is {metric!r}, it must be {' or '.join(METRICS)}"
        )


def _checked(name: str, items: object) -> Iterator[Item]:
    """What `candidates` gave, item by item."""
    if not isinstance(items, Iterable):
        given = type(items).__name__
        raise OwnCodeError(f"task {name!r}: candidates gave {given}, it must yield items")
    choices = load_part(TASK, name, "CHOICES")
    for item in items:
        if not isinstance(item, Item):
            given = type(item).__name__
            raise OwnCodeError(f"task {name!r}: candidates yielded {given}, it must be an Item")
        if len(item.choices) != choices or not 0 <= item.answer < len(item.choices):
            raise OwnCodeError(
                f"task {name!r}: an item has {len(item.choices)} choices and the answer "
                f"{item.answer}, it must be {choices} choices and the index of one"
            )
        yield item


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
    return [sentence.split() for sentence in sentences_of(text)]


def _in_turn(sources: Sequence[Iterator[Item]]) -> Iterator[Item]:
    """One item from each source, round robin, until all are exhausted."""
    rounds = zip_longest(*sources)
    return (item for items in rounds for item in items if item is not None)
