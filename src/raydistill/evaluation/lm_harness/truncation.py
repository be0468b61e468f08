"""How many items of the paper's 13 tasks are longer than what is read, without a model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raydistill.data.text_beginning import begin_ids
from raydistill.data.tokenizer import load_tokenizer
from raydistill.evaluation.lm_harness.paper13 import PAPER13
from raydistill.evaluation.lm_harness.task_data import read_documents
from raydistill.specs.results import Truncation


def paper_truncation(
    name: str, file: Path, tokenizer: Path, max_length: int, limit: int = 0
) -> Truncation:
    """How many items lose their beginning if `max_length` tokens are read, without examples.

    Args:
        name: of the task.
        file: its documents.
        tokenizer: a tokenizer.json or its folder; read only where a text may be too long.
        max_length: tokens.
        limit: how many items are scored, the first ones; 0: all.

    Raises:
        DataError: if a document is broken, or the tokenizer unreadable.
    """
    documents = read_documents(file, name)[: limit or None]
    # A token stands for a byte or more, but for the few that begin a text.
    long = [
        [text for text in _texts(name, document) if len(text.encode()) + 8 > max_length]
        for document in documents
    ]
    truncated = 0
    if any(long):
        encoder = load_tokenizer(tokenizer)
        most = max_length + 1 - len(begin_ids(encoder))  # the last token is no input
        for texts in filter(None, long):
            encodings = encoder.encode_batch(texts, add_special_tokens=False)
            truncated += any(len(encoding) > most for encoding in encodings)
    return Truncation(max_length=max_length, items=len(documents), truncated=truncated)


def _texts(name: str, document: Mapping[str, Any]) -> list[str]:
    """The longest requests of an item: each context with its continuation."""
    task = PAPER13[name]
    choices = task.choices(document)
    if task.shared:
        return [f"{context} {task.target(document)}" for context in choices]
    return [f"{task.text(document)} {choice}" for choice in choices]
