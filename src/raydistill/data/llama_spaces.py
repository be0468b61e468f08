"""A sentencepiece-like tokenizer of Llama 2's kind, as transformers 5 reads its folder.

Its `LlamaTokenizer` takes vocabulary and merges of a `tokenizer.json`, and brings spaces of its
own: one is put before a text that begins with none, and none after a special token, where Llama 2's
own file puts one before every piece of text, also before " the".
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from raydistill.data.tokenizer import read_settings, tokenizer_file

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_SPACE = "▁"


def prepend_scheme(path: Path) -> str:
    """Where transformers puts a space in the texts of a folder; empty: as its tokenizer.json says.

    "first" (before a text), "always" (also after a special token) or "never".

    Raises:
        DataError: if there is no tokenizer, or its configuration is not JSON.
    """
    settings, file = read_settings(path), tokenizer_file(path)
    is_llama = str(settings.get("tokenizer_class")).removesuffix("Fast") == "LlamaTokenizer"
    if not is_llama or _model_type(file.parent) != "llama" or b'"ByteLevel"' in file.read_bytes():
        return ""
    if settings.get("add_prefix_space") is False:
        return "never"
    return "always" if settings.get("legacy") else "first"


def with_spaces(tokenizer: "Tokenizer", scheme: str) -> "Tokenizer":
    """The tokenizer, changed to put spaces by a scheme of `prepend_scheme`."""
    from tokenizers import decoders, pre_tokenizers  # noqa: PLC0415  (a dry run reads no text)

    steps = [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.normalizer = None
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(_SPACE, prepend_scheme=scheme, split=False)
    tokenizer.decoder = decoders.Sequence(
        steps if scheme == "never" else [*steps, decoders.Strip(" ", 1, 0)]
    )
    model = tokenizer.model
    model.unk_token, model.fuse_unk, model.byte_fallback = None, True, True
    return tokenizer


def _model_type(folder: Path) -> str:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(config.get("model_type", "")) if isinstance(config, dict) else ""
