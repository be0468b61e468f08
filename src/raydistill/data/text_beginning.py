"""What a tokenizer begins texts with, by its own files and as transformers reads them.

Some tokenizers put a token before every text (Gemma's, Llama's), by the post-processor of their
`tokenizer.json`. Where there is one, transformers 5 ignores `add_bos_token` beside it.
"""

import functools
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from raydistill.data.tokenizer import (
    END_OF_TEXT,
    end_of_text,
    load_tokenizer,
    read_settings,
    token_named,
    tokenizer_file,
)

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_ADDING_TOKENS = (b'"TemplateProcessing"', b'"BertProcessing"', b'"RobertaProcessing"')

# The `bos_token` of transformers' classes, for a tokenizer_config.json that has no such key.
CLASS_BOS = {
    "CodeLlamaTokenizer": "<s>",
    "CohereTokenizer": "<BOS_TOKEN>",
    "GPT2Tokenizer": END_OF_TEXT,
    "GPTNeoXTokenizer": END_OF_TEXT,
    "GemmaTokenizer": "<bos>",
    "LlamaTokenizer": "<s>",
}


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


def first_token(path: Path) -> str:
    """What a text without context begins with, as in lm-eval's `HFLM`; empty: end-of-text.

    That is the `bos_token`, put before texts or not. A bare `tokenizer.json` has none, but what
    it puts before texts. It is named also where it is the end-of-text, if it is put before texts.

    Raises:
        DataError: if the tokenizer is missing or unreadable.
    """
    ids, settings = begin_ids_at(path), read_settings(path)
    if not settings:
        return str(load_tokenizer(path).id_to_token(ids[0])) if ids else ""
    end = end_of_text(path)
    token = token_named(settings, "bos_token")
    if "bos_token" not in settings:
        token = CLASS_BOS.get(str(settings.get("tokenizer_class")).removesuffix("Fast"), "")
        if token and load_tokenizer(path).token_to_id(token) is None:
            token = ""
    return (token or end) if ids or token not in ("", end) else ""
