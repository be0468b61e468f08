"""A checkpoint's tokenizer as transformers' `AutoTokenizer` reads its folder, and so `HFLM`.

Some classes of transformers 5 (Llama's, Gemma's, GPT-2's, …) take vocabulary and merges of a
`tokenizer.json`, and bring steps of their own in place of the file's. A plan notes what decides
that, without transformers; a worker reads the `tokenizer.json` of a corpus accordingly.
"""

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raydistill.core.errors import DataError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_SETTINGS = "tokenizer_config.json"
_OLDER = ("special_tokens_map.json", "added_tokens.json")  # read where that lists no tokens
_UNRELATED = ("chat_template", "name_or_path", "tokenizer_file", "vocab_file", "merges_file")
_TEXTS = ("Ann paid 20,234 men, and they're in the café:\n\t see  page 7.", " The\n\nriver")


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadTokenizer:
    """A tokenizer, and what is to be known of its reading."""

    tokenizer: "Tokenizer"
    first_token: str  # before a continuation without context; empty: it has none of its own
    unlike_file: str  # the class that reads texts otherwise than the file; empty: none does


def reading_of(folder: Path) -> str:
    """What beside its `tokenizer.json` tells transformers how to read a checkpoint's tokenizer.

    That is JSON for `read_tokenizer`, short whatever the checkpoint: tokens that are listed in the
    settings as in the `tokenizer.json` are left out.

    Raises:
        DataError: if one of the files is not JSON.
    """
    config, settings = _object(folder / "config.json"), _object(folder / _SETTINGS)
    files: dict[str, dict[str, Any]] = {
        "config.json": {k: config[k] for k in ("model_type", "tokenizer_class") if k in config},
        _SETTINGS: {key: value for key, value in settings.items() if key not in _UNRELATED},
    }
    if "added_tokens_decoder" not in settings:
        files |= {name: _object(folder / name) for name in _OLDER}
    elif settings["added_tokens_decoder"] == _added_tokens(folder / "tokenizer.json"):
        del files[_SETTINGS]["added_tokens_decoder"]
    reading: dict[str, Any] = {"files": {name: fields for name, fields in files.items() if fields}}
    if folder.parent.name == "snapshots":  # of the hub's cache: some ids are read in a special way
        reading["name"] = folder.parent.parent.name.removeprefix("models--").replace("--", "/")
    return json.dumps(reading, sort_keys=True)


def _object(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        fields = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file} is not JSON: {error}") from None
    return fields if isinstance(fields, dict) else {}


def _added_tokens(file: Path) -> dict[str, Any]:
    """The added tokens of a `tokenizer.json`, by id; they stand before its large vocabulary."""
    try:
        text = file.read_text(encoding="utf-8")
        start = text.index("[", text.index('"added_tokens"'))
        tokens, _ = json.JSONDecoder().raw_decode(text, start)
        return {str(token.pop("id")): token for token in tokens}
    except (OSError, ValueError, LookupError, AttributeError):
        return {}


def read_tokenizer(file: Path, reading: str) -> ReadTokenizer | None:
    """The tokenizer of a `tokenizer.json` by a `reading_of` its folder.

    None where transformers, and so lm-eval's `HFLM`, can read no tokenizer there.

    Raises:
        DataError: if the class that transformers takes does not read a `tokenizer.json`.
    """
    stock = _stock(file, json.loads(reading))
    if stock is None:
        return None
    tokenizer = stock.backend_tokenizer
    tokenizer.no_truncation()
    tokenizer.no_padding()
    written = type(tokenizer).from_file(str(file))
    differs = any(written.encode(text).ids != tokenizer.encode(text).ids for text in _TEXTS)
    first = stock.bos_token if stock.bos_token_id is not None else stock.eos_token
    return ReadTokenizer(
        tokenizer=tokenizer,
        first_token=str(first) if first and written.token_to_id(str(first)) is not None else "",
        unlike_file=type(stock).__name__ if differs else "",
    )


def _stock(file: Path, reading: Mapping[str, Any]) -> Any:
    from transformers import AutoConfig, AutoTokenizer  # noqa: PLC0415  (seconds)

    from raydistill.models.families.hub import be_quiet  # noqa: PLC0415  (torch)

    be_quiet()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copyfile(file, folder / "tokenizer.json")
        for of_file, fields in reading["files"].items():
            (folder / of_file).write_text(json.dumps(fields), encoding="utf-8")
        options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            if "name" in reading:
                options["config"] = AutoConfig.from_pretrained(folder, **options)
                options["config"].name_or_path = reading["name"]
            stock = AutoTokenizer.from_pretrained(folder, **options)
            stock.backend_tokenizer.encode_batch(_TEXTS)
        except Exception:  # noqa: BLE001  (transformers and its classes raise anything)
            _refuse_unless_of_files(reading["files"].get(_SETTINGS, {}))
            return None
    return stock


def _refuse_unless_of_files(settings: Mapping[str, Any]) -> None:
    """Refuse a class that reads other files than a tokenizer.json: its ids cannot be had here."""
    import transformers  # noqa: PLC0415  (seconds)

    name = str(settings.get("tokenizer_class"))
    named = getattr(transformers, name, None)
    if isinstance(named, type) and not issubclass(named, transformers.TokenizersBackend):
        raise DataError(
            f"transformers reads texts with {name}, which takes no tokenizer.json: where that file "
            f'is right, write "tokenizer_class": "PreTrainedTokenizerFast" in its {_SETTINGS}'
        )
