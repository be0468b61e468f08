"""Byte-level BPE: train it, load it, and turn documents into one run of token ids."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from raydistill.errors import DataError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

END_OF_TEXT = "<|endoftext|>"


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoded:
    """Documents as little-endian ids of `token_bytes` each, end-of-text after every one."""

    data: bytes
    token_bytes: int  # 2 for a vocabulary of up to 65,536 entries, else 4
    spans: tuple[tuple[int, int], ...]  # first token and the end-of-text of each document

    @property
    def tokens(self) -> int:
        """All tokens, the end-of-text ones too."""
        return len(self.data) // self.token_bytes


def shipped_tokenizer() -> Path:
    """The byte-level BPE of the laptop scale: 2,048 entries, end-of-text is 0."""
    return Path(str(resources.files("raydistill").joinpath("bases/laptop/tokenizer.json")))


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> "Tokenizer":
    """A byte-level BPE of `vocab_size` entries trained on `texts`; end-of-text is 0."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers  # noqa: PLC0415

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def load_tokenizer(path: Path) -> "Tokenizer":
    """The tokenizer in a `tokenizer.json`.

    Raises:
        DataError: if it is missing, unreadable, or knows no end-of-text.
    """
    from tokenizers import Tokenizer  # noqa: PLC0415  (a dry run reads no text)

    if not path.is_file():
        raise DataError(f"no tokenizer at {path.absolute()}: name a tokenizer.json")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # noqa: BLE001  (tokenizers raises nothing narrower)
        raise DataError(f"{path} is not a tokenizer.json: {error}") from None
    if tokenizer.token_to_id(END_OF_TEXT) is None:
        raise DataError(f"{path} has no {END_OF_TEXT}, which separates documents")
    return tokenizer


def encode(texts: Sequence[str], tokenizer: "Tokenizer") -> Encoded:
    """`texts` as token ids. Text that spells a special token stays ordinary text.

    Raises:
        DataError: if the tokenizer gives an id beyond its own vocabulary.
    """
    import numpy as np  # noqa: PLC0415  (a dry run needs none)

    vocab_size = tokenizer.get_vocab_size()
    end = tokenizer.token_to_id(END_OF_TEXT)
    token_bytes = 2 if vocab_size <= 65_536 else 4
    tokenizer.encode_special_tokens = True
    pieces: list[bytes] = []
    spans: list[tuple[int, int]] = []
    position = 0
    for text in texts:
        ids = np.array([*tokenizer.encode(text, add_special_tokens=False).ids, end])
        if ids.max() >= vocab_size:
            raise DataError(f"token id {ids.max()} is beyond the vocabulary of {vocab_size}")
        pieces.append(ids.astype(f"<u{token_bytes}").tobytes())
        spans.append((position, position + len(ids) - 1))
        position += len(ids)
    return Encoded(data=b"".join(pieces), token_bytes=token_bytes, spans=tuple(spans))
