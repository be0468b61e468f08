"""What a tokenizer begins texts with, by its own files and as transformers reads them.

Some tokenizers put a token before every text (Gemma's, Llama's), by the post-processor of their
`tokenizer.json`. Where there is one, transformers 5 ignores `add_bos_token` beside it.
"""

import functools
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from raydistill.data.tokenizer import load_tokenizer, tokenizer_file

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_ADDING_TOKENS = (b'"TemplateProcessing"', b'"BertProcessing"', b'"RobertaProcessing"')


def begin_ids(tokenizer: "Tokenizer") -> tuple[int, ...]:
    """The ids that a tokenizer puts before every text; most put none, hardly any more than one."""
    for text in ("a", "1", "."):  # one that it knows
        encoding = tokenizer.encode(text)
        is_added = encoding.special_tokens_mask
        if not all(is_added):
            pairs = zip(encoding.ids, is_added, strict=True)
            return tuple(token_id for token_id, _ in takewhile(lambda pair: pair[1], pairs))
    return ()


def begin_ids_at(path: Path) -> tuple[int, ...]:
    """`begin_ids` of a tokenizer on disk, which is read only if its post-processor adds tokens.

    Raises:
        DataError: if it is missing or unreadable.
    """
    file = tokenizer_file(path)
    stat = file.stat()
    return _begin_ids_of(file, stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=16)
def _begin_ids_of(file: Path, _mtime_ns: int, _size: int) -> tuple[int, ...]:
    contents = file.read_bytes()
    if not any(name in contents for name in _ADDING_TOKENS):
        return ()
    return begin_ids(load_tokenizer(file))


def beginning_notes(path: Path) -> list[str]:
    """What the notes of a corpus say of the beginning of its texts; nothing if it has no token."""
    names = begin_names(path)
    return [f"every document begins with {names}, as its tokenizer's texts do"] if names else []


def begin_names(path: Path) -> str:
    """The tokens of `begin_ids_at` as they are spelled; empty if there are none."""
    ids = begin_ids_at(path)
    tokenizer = load_tokenizer(path) if ids else None
    return " ".join(str(tokenizer.id_to_token(token_id)) for token_id in ids) if tokenizer else ""
