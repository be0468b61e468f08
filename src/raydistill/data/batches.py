"""A token file, and the batch of any step as a pure function of (seed, step).

Windows share no token but the one that is the last target of one and the first input of the
next. An epoch has every window once, in an order of its own; the only state is the step number.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from raydistill.core.errors import DataError
from raydistill.data.corpus.heldout_documents import Marks, read_info
from raydistill.specs.corpus import CHAT
from raydistill.specs.model import ModelConfig
from raydistill.specs.trial import TrainSpec

FEISTEL_ROUNDS = 4


@dataclass(frozen=True, slots=True)
class Batch:
    """Windows of a token file: their numbers, and their token ids, int64 [B, context + 1].

    Attributes:
        seed: of the data order.
        epochs: of each window, from 0.
        end_of_text_id: what stands between documents.
        learned: bool [B, context + 1], the tokens that a model is to tell; None: all of them. Of
            conversations they are what the assistant says.
    """

    numbers: tuple[int, ...]
    ids: Tensor
    seed: int
    epochs: tuple[int, ...]
    end_of_text_id: int
    learned: Tensor | None = None

    @property
    def num_targets(self) -> int:
        """The tokens to tell: a window's first is none."""
        if self.learned is None:
            return self.ids[:, 1:].numel()
        return int(self.learned[:, 1:].sum())

    def to(self, device: torch.device | str) -> "Batch":
        """The batch on another device."""
        learned = self.learned
        return replace(
            self,
            ids=self.ids.to(device, non_blocking=True),
            learned=None if learned is None else learned.to(device, non_blocking=True),
        )

    def micro_batches(self, parts: int) -> "list[Batch]":
        """The windows in equal parts, in order."""
        size = len(self.numbers) // parts
        return [
            replace(
                self,
                numbers=self.numbers[first : first + size],
                ids=self.ids[first : first + size],
                epochs=self.epochs[first : first + size],
                learned=None if self.learned is None else self.learned[first : first + size],
            )
            for first in range(0, len(self.numbers), size)
        ]


def open_tokens(folder: Path, model: ModelConfig) -> "TokenFile":
    """The training tokens of a corpus, for a model that knows all their ids.

    Raises:
        DataError: if the corpus has more ids than the model, too few tokens for one window, or
            another number of tokens than it says.
    """
    data = TokenFile(folder, model.context)
    if data.info.vocab_size > model.vocab_size:
        raise DataError(
            f"the corpus {data.info.name!r} has {data.info.vocab_size} token ids, up to "
            f"{data.tokens.max()}; this model knows those below {model.vocab_size}"
        )
    return data


class TokenFile:
    """The training tokens of a corpus folder, memory-mapped."""

    def __init__(self, folder: Path, context: int) -> None:
        self.folder = folder
        self.context = context
        self.info = read_info(folder)
        self.info.check_size(folder / "train.bin", self.info.train_tokens)
        self.tokens = np.memmap(folder / "train.bin", dtype=f"<u{self.info.token_bytes}", mode="r")
        self.marks: Marks | None = None
        if self.info.text_form == CHAT:
            self.info.check_mask(folder / "train.mask", self.info.train_tokens)
            self.marks = np.memmap(folder / "train.mask", dtype=np.bool_, mode="r")
        self.num_windows = (len(self.tokens) - 1) // context
        if self.num_windows < 1:
            raise DataError(
                f"the corpus {self.info.name!r} needs at least {context + 1} training tokens, "
                f"has {len(self.tokens)}"
            )

    def batch(self, seed: int, step: int, num_windows: int) -> Batch:
        """The global batch of `step`."""
        numbers = self.numbers(seed, step, num_windows)
        first = step * num_windows
        epochs = tuple(i // self.num_windows for i in range(first, first + num_windows))
        end = self.info.end_of_text_id
        return Batch(
            tuple(numbers), self.windows(numbers), seed, epochs, end, self._learned(numbers)
        )

    def _learned(self, indices: list[int]) -> Tensor | None:
        """The marks of the windows of these numbers, bool [len(indices), context + 1]."""
        if self.marks is None:
            return None
        starts = np.asarray(indices)[:, None] * self.context
        return torch.from_numpy(np.array(self.marks[starts + np.arange(self.context + 1)]))

    def numbers(self, seed: int, step: int, num_windows: int) -> list[int]:
        """The numbers of the windows in the batch of `step`, in order."""
        first = step * num_windows
        return [self._window(seed, i) for i in range(first, first + num_windows)]

    def batches(self, train: TrainSpec, num_windows: int) -> Callable[[int], Batch]:
        """The function from steps of a training to batches."""
        return lambda step: self.batch(train.seed, step, num_windows)

    def windows(self, indices: list[int]) -> Tensor:
        """The token ids of the windows of these numbers, int64 [len(indices), context + 1].

        Raises:
            DataError: if an id is beyond the vocabulary of the corpus.
        """
        starts = np.asarray(indices)[:, None] * self.context
        ids = self.tokens[starts + np.arange(self.context + 1)]
        self.info.check_largest(int(ids.max()), self.folder / "train.bin")
        return torch.from_numpy(ids.astype(np.int64))

    def text_windows(self, indices: list[int]) -> Tensor:
        """`windows` as texts of their own, int64 [len(indices), context + 1].

        Each begins as its tokenizer begins texts, and does so once: the documents that begin
        inside of one do so without, so that no target is a token that stands before texts.
        """
        if not self.info.begin_ids:
            return self.windows(indices)
        ids = np.array([self._text_window(index) for index in indices])
        self.info.check_largest(int(ids.max()), self.folder / "train.bin")
        return torch.from_numpy(ids)

    def _text_window(self, index: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        begin, end = self.info.begin_ids, self.info.end_of_text_id
        size, first = len(begin), index * self.context
        # A document has two tokens that stay at least; the text goes on at its beginning.
        places = np.arange(first - size, first + (1 + size) * (self.context + 1))
        ids = self.tokens.take(places, mode="wrap").astype(np.int64)
        keep, after = np.ones(len(ids), dtype=bool), 0
        for place in np.flatnonzero(ids == end).tolist():
            begins = (
                tuple(ids[place + 1 : place + 1 + size].tolist()) == begin[: len(ids) - place - 1]
            )
            if place >= after and (begins or self.marks is None):
                keep[place + 1 : (after := place + 1 + size)] = False
        text = ids[size:][keep[size:]]
        return np.concatenate([begin, text])[: self.context + 1]

    def _window(self, seed: int, index: int) -> int:
        epoch, position = divmod(index, self.num_windows)
        return shuffled(position, self.num_windows, f"{seed}/{epoch}")


def shuffled(index: int, size: int, key: str) -> int:
    """The image of `index` under a permutation of range(size) chosen by `key`, in O(1) memory.

    A balanced Feistel network over the next power of four, walked until it lands inside
    (cycle walking: Black & Rogaway 2002).
    """
    half_bits = max(1, ((size - 1).bit_length() + 1) // 2)
    mask = (1 << half_bits) - 1
    while True:
        left, right = index >> half_bits, index & mask
        for round_number in range(FEISTEL_ROUNDS):
            text = f"{key}/{round_number}/{right}".encode()
            mixed = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")
            left, right = right, left ^ (mixed & mask)
        index = left << half_bits | right
        if index < size:
            return index
