"""The shards of a large corpus, tokenised side by side by Ray Data.

Each file is read by one worker, and its shards stream to the workers that tokenise them: no more of
the text is in memory than is on its way. Shards that exist are skipped, so that a killed run is
resumed; the caller puts the shards together.
"""

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ray.exceptions import RayError

from raydistill.data.corpus.preparation import size_of
from raydistill.data.corpus.request import CorpusRequest
from raydistill.data.corpus.shards import (
    FileSlice,
    Shard,
    files_of_draft,
    is_finished,
    make_shard,
    read_shards,
)
from raydistill.runners.cluster.failures import readable_error
from raydistill.storage.store import Store

LARGE_BYTES = 64 << 20  # one process tokenises less before Ray Data has begun

_READER, _TOKENISER = {"num_cpus": 0.1}, {"num_cpus": 0.9}  # one of each fits on one CPU
_BLOCK_BYTES = 1 << 20  # under a shard, so that every shard is a task of its own


def tokenise_shards(
    request: CorpusRequest, folder: Path, store: Store, say: Callable[[str], None]
) -> int:
    """Make the shards that a draft lacks; returns their number.

    Args:
        request: the corpus.
        folder: of its draft, which every node sees.
        store: which every node sees.
        say: shows one line to the user.
    """
    import ray.data  # noqa: PLC0415  (seconds, and small text needs none)

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.target_max_block_size = _BLOCK_BYTES
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    files = files_of_draft(request, folder, store)
    rows = [{"number": number} for number in range(len(files))]
    data = (
        ray.data.from_items(rows, override_num_blocks=len(rows))
        .flat_map(_read, fn_args=(files,), **_READER)
        .map(_make, fn_args=(str(folder),), **_TOKENISER)
    )
    shards = characters = reported = 0
    report_every = size_of(request) // 10 or LARGE_BYTES
    for row in _rows(data):
        shards += 1
        characters += row["characters"]
        if characters - reported >= report_every:
            reported = characters
            say(f"tokenised {characters / 1e6:.3g}M characters")
    return shards


def _rows(data: Any) -> Iterator[dict[str, Any]]:
    try:
        yield from data.iter_rows()
    except RayError as error:
        raise readable_error(error, "tokenising") from None


def _read(row: dict[str, Any], files: list[FileSlice]) -> Iterator[dict[str, str]]:
    """On a worker: the missing shards of a file."""
    file = files[row["number"]]
    for shard in read_shards(file):
        if not is_finished(Path(file.folder), shard.place):
            yield {"place": shard.place, "texts": json.dumps(shard.texts)}


def _make(row: dict[str, str], folder: str) -> dict[str, int]:
    """On a worker: make one shard."""
    texts: list[str] = json.loads(row["texts"])
    make_shard(Path(folder), Shard(row["place"], texts))
    return {"characters": sum(map(len, texts))}
