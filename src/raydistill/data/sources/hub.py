"""A data set of the Hugging Face hub, streamed once into the store. The only door to `datasets`.

It is written `OWNER/NAME[:CONFIG][@REVISION][#DOCUMENTS]`, and read from the beginning of its
split `train`, by default 1,000,000 documents.
"""

import json
import re
from contextlib import suppress
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from raydistill.core.errors import DataError, unknown
from raydistill.core.progress import streamed
from raydistill.core.serialization import digest
from raydistill.storage.store import Store

FIELD = "text"
MAX_DOCUMENTS = 1_000_000

_ID = re.compile(r"([\w-][\w.-]*/[\w.-]+)(?::([\w.-]+))?(?:@([\w./-]+))?(?:#(\d{1,12}))?")


def is_id(text: str) -> bool:
    """Whether `text` is written as a data set's name, and no file is called so."""
    return (
        _ID.fullmatch(text) is not None
        and not text.endswith((".txt", ".jsonl", ".parquet"))
        and not Path(text).exists()
    )


def check(text: str) -> None:
    """Refuse a data set that the hub does not show.

    Raises:
        DataError: with the reason of the hub.
    """
    name, _, revision, _ = _parts(text)
    try:
        _info(name, revision)
    except Exception as error:  # noqa: BLE001  (each way to have no network has its own)
        raise _not_found(text, error) from None


def num_bytes(text: str) -> int | None:
    """Bytes of all columns of what `fetch` downloads, by the data set's card.

    None where the card does not say it, or the hub is not reached.
    """
    name, config, revision, documents = _parts(text)
    with suppress(Exception):  # no network, or a card that is written in some other way
        described = _info(name, revision).card_data["dataset_info"]
        infos = described if isinstance(described, list) else [described]
        names = [info.get("config_name", "default") for info in infos]
        info = infos[names.index(config or (names[0] if len(names) == 1 else "default"))]
        (train,) = [split for split in info["splits"] if split["name"] == "train"]
        share = int(documents or MAX_DOCUMENTS) / int(train["num_examples"])
        return round(min(1.0, share) * int(train["num_bytes"]))
    return None


@lru_cache
def _info(name: str, revision: str | None) -> Any:
    from huggingface_hub import HfApi  # noqa: PLC0415  (on a driver that names a data set)

    return HfApi().dataset_info(name, revision=revision, timeout=10)


def fetch(text: str, field: str, store: Store) -> Path:
    """The documents of a data set as JSON lines in the store, downloaded if it lacks them.

    Raises:
        DataError: if the download fails, or a document has no `field`.
    """
    parts = ("corpora", "hub", digest([text, field]))
    if not store.has(*parts):
        with store.making(*parts) as folder, (folder / "text.jsonl").open("w") as file:
            documents = int(_parts(text)[3] or MAX_DOCUMENTS)  # at most
            for row in streamed(_rows(text), "downloading", "documents", documents):
                if field not in row:
                    reason = unknown("column", field, row)
                    raise DataError(f"{text}: {reason}; --text-field names the one with the text")
                file.write(json.dumps({FIELD: row[field]}) + "\n")
    return store.path(*parts, "text.jsonl")


def _rows(text: str) -> Any:
    import datasets  # noqa: PLC0415  (a second, on the worker that fetches)

    name, config, revision, documents = _parts(text)
    try:
        rows = datasets.load_dataset(name, config, split="train", revision=revision, streaming=True)
        yield from islice(rows, int(documents or MAX_DOCUMENTS))
    except Exception as error:  # noqa: BLE001  (each way to have no network has its own)
        raise _not_found(text, error) from None


def _parts(text: str) -> tuple[str, str | None, str | None, str | None]:
    match = _ID.fullmatch(text)
    assert match is not None, text
    name, config, revision, documents = match.groups()
    return name, config, revision, documents


def _not_found(text: str, error: Exception) -> DataError:
    reason = (str(error) or type(error).__name__).strip().splitlines()[0]
    return DataError(
        f"no data set {text!r}: looked for a file or folder {Path(text).absolute()}, then at the "
        f"Hugging Face hub ({type(error).__name__}: {reason})"
    )
