"""Tokenizers: train one, load any, and encode documents as one sequence of token ids.

A tokenizer is a `tokenizer.json`, or a folder that has one; its end-of-text is the `eos_token` of
the `tokenizer_config.json` beside it, else `<|endoftext|>`. What a text begins with is
`text_beginning.py`.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raydistill.core.errors import DataError
from raydistill.core.text.redaction import printed_command
from raydistill.data.documents import end_of_piece

if TYPE_CHECKING:
    from tokenizers import Tokenizer

END_OF_TEXT = "<|endoftext|>"
OLDER = ("vocab.json", "vocab.txt", "*.model")  # what tokenizers were kept in before tokenizer.json
PIECE_CHARACTERS = 1_000_000  # a longer text is tokenised in pieces, so that memory stays flat


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoded:
    """Documents as little-endian token ids, with end-of-text after every document.

    Before every document stands what its tokenizer begins texts with, if it does.
    """

    data: bytes
    token_bytes: int  # 2 for a vocabulary of up to 65,536 entries, else 4
    spans: tuple[tuple[int, int], ...]  # first token and the end-of-text of each document
    mask: bytes = b""  # of conversations a byte per token: 1 where the assistant says it

    @property
    def tokens(self) -> int:
        """The number of tokens, end-of-text included."""
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


def tokenizer_file(path: Path) -> Path:
    """The `tokenizer.json` at `path`, which is that file or a folder that has it.

    Raises:
        DataError: if there is none, with the command that makes it of older files beside it.
    """
    file = path / "tokenizer.json" if path.is_dir() else path
    if not file.is_file():
        if older := [name for pattern in OLDER for name in sorted(path.glob(pattern))]:
            folder = str(path.absolute())
            code = (
                "from transformers import AutoTokenizer; "
                f"AutoTokenizer.from_pretrained({folder!r}).save_pretrained({folder!r})"
            )
            raise DataError(
                f"{folder} has {older[0].name} and no tokenizer.json; make one of it: "
                f"{printed_command(['python', '-c', code])}"
            )
        raise DataError(
            f"no tokenizer at {file.absolute()}: name a tokenizer.json, or a folder that has one"
        )
    return file


def end_of_text(path: Path) -> str:
    """The end-of-text token, by the `tokenizer_config.json` beside a tokenizer.

    Raises:
        DataError: if there is no tokenizer, or its configuration is not JSON.
    """
    return token_named(read_settings(path), "eos_token") or END_OF_TEXT


def read_settings(path: Path) -> dict[str, Any]:
    """The `tokenizer_config.json` beside a tokenizer; empty if there is none.

    Where that lists no `added_tokens_decoder`, special tokens are those of an older file beside it,
    `special_tokens_map.json`, as transformers has it.

    Raises:
        DataError: if there is no tokenizer, or its configuration is not JSON.
    """
    file = tokenizer_file(path)
    settings = _read_object(file.with_name("tokenizer_config.json"))
    if not settings or "added_tokens_decoder" in settings:
        return settings
    return settings | _read_object(file.with_name("special_tokens_map.json"))


def _read_object(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{file} is not JSON: {error}") from None
    return settings if isinstance(settings, dict) else {}


def token_named(settings: Mapping[str, Any], key: str) -> str:
    """The text of a special token in a tokenizer's configuration; empty if it names none."""
    entry = settings.get(key)
    token = entry.get("content") if isinstance(entry, dict) else entry
    return token if isinstance(token, str) else ""


def end_of_text_id(tokenizer: "Tokenizer", path: Path) -> int:
    """The id of the end-of-text token.

    Raises:
        DataError: if the tokenizer, which was read from `path`, has no such token.
    """
    token = end_of_text(path)
    token_id: int | None = tokenizer.token_to_id(token)
    if token_id is None:
        raise DataError(
            f"{path} has no {token}, which separates documents: name the one that does as "
            "eos_token in a tokenizer_config.json beside it"
        )
    return token_id


def check_tokenizer(path: Path, vocab_size: int) -> None:
    """Refuse a tokenizer that does not fit a model of `vocab_size` entries.

    Raises:
        DataError: if it is missing, has no end-of-text, or gives texts ids that the model has not.
    """
    tokenizer = load_tokenizer(path)
    largest = text_vocab_size(tokenizer, end_of_text_id(tokenizer, path)) - 1
    if largest >= vocab_size:
        raise DataError(
            f"the tokenizer {path} gives texts ids up to {largest} "
            f"({tokenizer.id_to_token(largest)!r}), the model has {vocab_size} entries: "
            "name the tokenizer that the model was trained with"
        )


def why_other_ids(path: Path, other: Path, rows: int, *, special_too: bool = False) -> str:
    """Why a model of another tokenizer does not read the ids that `path` gives texts; else empty.

    Both must cut texts alike, and every id that a text can have must mean the same: the other may
    have more entries, and what begins and separates texts is that of `path`.

    Args:
        path: the tokenizer, a file or its folder, that gives the ids.
        other: the tokenizer of the model.
        rows: ids that the model has.
        special_too: whether texts have special tokens, as conversations do.

    Raises:
        DataError: if one of them is missing or unreadable.
    """
    tokenizer, theirs = load_tokenizer(path), load_tokenizer(other)
    end = end_of_text_id(tokenizer, path)
    special = {i for i, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    unused = special - {end, *tokenizer.encode("a").ids} if not special_too else set[int]()
    entries = sorted((i, token) for token, i in tokenizer.get_vocab().items() if i not in unused)
    for i, token in entries:
        if (their_token := theirs.id_to_token(i)) != token:
            meaning = "nothing" if their_token is None else repr(their_token)
            return f"id {i} is {token!r} to the students and {meaning} to the teacher"
    if entries[-1][0] >= rows:
        return f"texts have ids up to {entries[-1][0]}, and the teacher knows those below {rows}"
    own_rules, their_rules = _cutting(tokenizer), _cutting(theirs)
    parts = [part for part, rule in own_rules.items() if rule != their_rules.get(part)]
    return f"it cuts texts otherwise ({', '.join(parts)})" if parts else ""


def _cutting(tokenizer: "Tokenizer") -> dict[str, Any]:
    """The rules by which a tokenizer cuts texts into entries of its vocabulary."""
    whole = json.loads(tokenizer.to_str())
    rules = {name: whole[name] for name in ("normalizer", "pre_tokenizer")}
    return rules | {name: rule for name, rule in whole["model"].items() if name != "vocab"}


def text_vocab_size(tokenizer: "Tokenizer", end: int) -> int:
    """One more than the largest id that a text can have, with what begins it and its `end`.

    Special tokens that are added to the vocabulary, such as a picture's place, are none of a text:
    one that spells them stays text.
    """
    special = {i for i, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    around = {end, *tokenizer.encode("a").ids}
    return max({*tokenizer.get_vocab().values()} - special | around) + 1


def load_tokenizer(path: Path) -> "Tokenizer":
    """The tokenizer in a `tokenizer.json` or its folder, without truncation and padding.

    Raises:
        DataError: if it is missing or unreadable.
    """
    from tokenizers import Tokenizer  # noqa: PLC0415  (a dry run reads no text)

    file = tokenizer_file(path)
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # noqa: BLE001  (tokenizers raises nothing narrower)
        raise DataError(f"{file} is not a tokenizer.json: {error}") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def encode(
    texts: Sequence[str], tokenizer: "Tokenizer", end: int, begin: Sequence[int] = ()
) -> Encoded:
    """`texts` as token ids, after `begin` and before `end` each.

    Text that spells a special token stays text.
    """
    import numpy as np  # noqa: PLC0415  (a dry run needs none)

    largest = max(tokenizer.get_vocab().values())  # there may be fewer entries
    token_bytes = 2 if largest < 65_536 else 4
    tokenizer.encode_special_tokens = True
    blocks: list[bytes] = []
    spans: list[tuple[int, int]] = []
    position = 0
    for text in texts:
        encoded = (tokenizer.encode(p, add_special_tokens=False).ids for p in _pieces(text))
        pieces = (np.array(piece, dtype=np.int64) for piece in (begin, *encoded, [end]))
        ids = np.concatenate(list(pieces))
        blocks.append(ids.astype(f"<u{token_bytes}").tobytes())
        spans.append((position, position + len(ids) - 1))
        position += len(ids)
    return Encoded(data=b"".join(blocks), token_bytes=token_bytes, spans=tuple(spans))


def count_tokens(text: str, tokenizer: "Tokenizer", begin: Sequence[int] = ()) -> int:
    """The tokens that `encode` makes of a text, with its beginning and end-of-text."""
    tokenizer.encode_special_tokens = True
    pieces = (tokenizer.encode(piece, add_special_tokens=False).ids for piece in _pieces(text))
    return len(begin) + sum(map(len, pieces)) + 1


def _pieces(text: str) -> Iterator[str]:
    start = 0
    while start < len(text):
        end = end_of_piece(text, start, PIECE_CHARACTERS)
        yield text[start:end]
        start = end
