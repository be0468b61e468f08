"""Synthetic items of the 13 tasks, in the original fields, as long as the real ones.

Passages are drawn from the embedded corpus, so that they are tokenised like text. Lengths in
words are those of the real tasks, a third more or less; items are meaningless, answers drawn.
"""

import random
from collections.abc import Callable
from typing import Any

from raydistill.data.sources import embedded

Document = dict[str, Any]

NUM_ITEMS = {  # of the real tasks, for the mix
    "piqa": 1838, "hellaswag": 10042, "winogrande": 1267, "boolq": 3270, "openbookqa": 500,
    "sciq": 1000, "arc_easy": 2376, "arc_challenge": 1172, "rte": 277, "cb": 56, "copa": 100,
    "mrpc": 408, "sst2": 872,
}  # fmt: skip


LONG = 30  # words; from a longer text on it is a passage, of which a longer item has more


class Writer:
    """Draws passages."""

    def __init__(self, seed: int, stretch: int = 1) -> None:
        self.stretch = stretch
        _, heldout = embedded.split(embedded.TRANSLATIONS, every=1, heldout=70)
        self.words = " ".join(document.text for document in heldout).split()
        self.draw = random.Random(seed)

    def text(self, words: int) -> str:
        """A passage of about so many words."""
        if words > LONG:
            words *= self.stretch
        size = max(1, round(words * self.draw.uniform(2 / 3, 4 / 3)))
        start = self.draw.randrange(len(self.words) - size)
        return " ".join(self.words[start : start + size])

    def label(self, choices: int) -> int:
        """A right answer."""
        return self.draw.randrange(choices)

    def edited(self, text: str) -> str:
        """The same with one word changed, as half of PIQA's second solutions are."""
        words = text.split()
        words[self.draw.randrange(len(words))] = self.text(1)
        return " ".join(words)

    def options(self, words: int) -> Document:
        """Four choices, as ARC and OpenBookQA have them."""
        return {"text": [self.text(words) for _ in "ABCD"], "label": list("ABCD")}


def _piqa(w: Writer) -> Document:
    first = w.text(20)
    second = w.edited(first) if w.draw.random() < 0.5 else w.text(20)
    return {"goal": w.text(8), "sol1": first, "sol2": second, "label": w.label(2)}


def _question(w: Writer, words: int, choice: int) -> Document:
    return {"question": w.text(words), "choices": w.options(choice), "answerKey": "A"}


MAKE: dict[str, Callable[[Writer], Document]] = {
    "piqa": _piqa,
    "hellaswag": lambda w: {
        "activity_label": w.text(2), "ctx_a": w.text(35), "ctx_b": w.text(4),
        "endings": [w.text(24) for _ in range(4)], "label": str(w.label(4)),
    },
    "winogrande": lambda w: {
        "sentence": f"{w.text(12)} _ {w.text(8)}", "option1": w.text(1), "option2": w.text(1),
        "answer": str(1 + w.label(2)),
    },
    "boolq": lambda w: {"passage": w.text(108), "question": w.text(9), "label": w.label(2)},
    "openbookqa": lambda w: {
        "question_stem": w.text(11), "choices": w.options(3), "answerKey": "B",
    },
    "sciq": lambda w: {
        "support": w.text(80), "question": w.text(14), "correct_answer": w.text(2),
        "distractor1": w.text(2), "distractor2": w.text(2), "distractor3": w.text(2),
    },
    "arc_easy": lambda w: _question(w, 20, 4),
    "arc_challenge": lambda w: _question(w, 23, 5),
    "rte": lambda w: {"sentence1": w.text(43), "sentence2": w.text(9), "label": w.label(2)},
    "cb": lambda w: {"premise": w.text(55), "hypothesis": w.text(8), "label": w.label(3)},
    "copa": lambda w: {
        "premise": f"{w.text(6)}.", "question": "cause", "choice1": f"{w.text(6)}.",
        "choice2": f"{w.text(6)}.", "label": w.label(2),
    },
    "mrpc": lambda w: {"sentence1": w.text(22), "sentence2": w.text(22), "label": w.label(2)},
    "sst2": lambda w: {"sentence": w.text(17), "label": w.label(2)},
}  # fmt: skip


def items(task: str, size: int, seed: int = 0, stretch: int = 1) -> list[Document]:
    """`size` items of a task, long texts `stretch` times as long; equal seeds give equal items."""
    writer = Writer(seed, stretch)
    return [MAKE[task](writer) for _ in range(size)]
