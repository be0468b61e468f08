"""A corpus folder that was made elsewhere, in this project's format: checked and copied."""

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

from raydistill.core.errors import DataError, UsageError
from raydistill.core.serialization import from_json
from raydistill.data.corpus.heldout_files import write_info
from raydistill.data.text_beginning import begin_ids_at, begin_names
from raydistill.data.tokenizer import tokenizer_file
from raydistill.specs.corpus import CHAT, CorpusInfo
from raydistill.storage.manifest import sha256_of
from raydistill.storage.store import Store

_TOKEN_FILES = ("train.bin", "heldout.bin")
_MASKS = ("train.mask", "heldout.mask")  # of conversations
_FILES = ("corpus.json", *_TOKEN_FILES, "heldout.json", "tokenizer.json")


def is_tokenised(path: Path) -> bool:
    """Whether `path` is a folder of tokens."""
    return all((path / name).is_file() for name in ("corpus.json", *_TOKEN_FILES))


def check_text_form(folder: Path, text_form: str) -> None:
    """Refuse a folder of tokens that is trained on in another way than its own.

    Raises:
        UsageError: with the flag that fits.
    """
    own = _info(folder).text_form
    if own != text_form:
        raise UsageError(
            f"{folder} has the tokens of a {own} text: add --text-form {own}"
            if own == CHAT
            else f"{folder} has the tokens of a {own} text: leave --text-form {text_form} out"
        )


def tokens_sha256(folder: Path) -> str:
    """The `corpus_sha256` that a folder of tokens names.

    Raises:
        DataError: if its `corpus.json` is malformed.
    """
    return _info(folder).corpus_sha256


def copy_tokens(folder: Path, tokenizer: Path | None, vocab_size: int, store: Store) -> CorpusInfo:
    """Copy a folder of tokens into the store.

    Raises:
        DataError: if a file is missing or was changed; if its tokenizer is not the given one, or
            has more entries than the model.
    """
    info = _info(folder)
    files = (*_FILES, *(_MASKS if info.text_form == CHAT else ()))
    for name in files:
        if not (folder / name).is_file():
            raise DataError(f"{folder} has no {name}, which a folder of tokens needs")
    if tokenizer is not None and sha256_of(tokenizer_file(tokenizer)) != info.tokenizer_sha256:
        raise DataError(f"the tokens of {folder} were made with another tokenizer than {tokenizer}")
    if info.vocab_size > vocab_size:
        raise DataError(
            f"the tokens of {folder} have {info.vocab_size} ids, up to {info.vocab_size - 1}; "
            f"the model knows those below {vocab_size}"
        )
    _check_unchanged(folder, info)
    import numpy as np  # noqa: PLC0415  (planning has no need of it)

    for name in _TOKEN_FILES:
        tokens = np.memmap(folder / name, dtype=f"<u{info.token_bytes}", mode="r")
        info.check_largest(int(tokens.max()), folder / name)
    if not store.has("corpora", info.corpus_sha256):
        with store.making("corpora", info.corpus_sha256) as copy:
            for name in files[1:]:
                shutil.copyfile(folder / name, copy / name)
            write_info(copy, replace(info, notes=(*info.notes, *_beginning_notes(folder, info))))
    return info


def _beginning_notes(folder: Path, info: CorpusInfo) -> list[str]:
    """What is said of tokens whose `corpus.json` does not, if their tokenizer begins texts."""
    import numpy as np  # noqa: PLC0415  (planning has no need of it)

    tokenizer = folder / "tokenizer.json"
    begin, names = begin_ids_at(tokenizer), begin_names(tokenizer)
    if not begin or info.begin_ids:
        return []
    first = np.fromfile(folder / "heldout.bin", dtype=f"<u{info.token_bytes}", count=len(begin))
    if tuple(first.tolist()) == begin:
        return [f"documents begin with {names}; windows from the middle of one do not"]
    return [
        f"texts begin without {names}, which the tokenizer puts before texts: a model that was "
        "trained with it reads them worse; name the text itself to have it put there"
    ]


def _info(folder: Path) -> CorpusInfo:
    file = folder / "corpus.json"
    try:
        return from_json(CorpusInfo, file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{file} does not describe a corpus: {error}") from None


def _check_unchanged(folder: Path, info: CorpusInfo) -> None:
    if sha256_of(folder / "tokenizer.json") != info.tokenizer_sha256:
        raise DataError(f"{folder / 'tokenizer.json'} is not the one of its corpus.json")
    both = hashlib.sha256()
    for name in (*_TOKEN_FILES, *(_MASKS if info.text_form == CHAT else ())):
        with (folder / name).open("rb") as file:
            while block := file.read(1 << 20):
                both.update(block)
    if both.hexdigest() != info.corpus_sha256:
        raise DataError(
            f"train.bin and heldout.bin of {folder} do not have the sha256 of its corpus.json, "
            f"{info.corpus_sha256[:16]}…: they were changed"
        )
