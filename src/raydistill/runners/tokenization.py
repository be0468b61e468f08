"""The shards of a large corpus, tokenised side by side by Ray Data.

Each file is read by one worker, and its shards stream to the workers that tokenise them: no more of
the text is in memory than is on its way. Shards that exist are skipped, so that a killed run is
resumed; the caller puts the shards together.

Ray Data has a lost task repeated at once and without end. Here the repetition leaves a note for the
driver instead, which begins a new pass over what is missing, or gives up.
"""

import json
import logging
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
from ray._private import worker as ray_worker
from ray.exceptions import RayError, WorkerCrashedError

from raydistill.core.fault_injection import fault_point
from raydistill.core.progress import StageProgress, listening, report
from raydistill.data.corpus.request import CorpusRequest
from raydistill.data.corpus.shards import (
    FileSlice,
    Shard,
    files_of_draft,
    is_finished,
    make_shard,
    read_shards,
)
from raydistill.runners.cluster.failures import Retries, retry_or_raise
from raydistill.runners.cluster.tasks import surplus
from raydistill.storage.store import Store

LARGE_BYTES = 64 << 20  # one process tokenises less before Ray Data has begun

_READER_CPU, _TOKENISER_CPU = 0.1, 0.9  # one of each fits on one CPU
_BLOCK_BYTES = 1 << 20  # under a shard, so that every shard is a task of its own


def tokenise_shards(request: CorpusRequest, folder: Path, store: Store) -> int:
    """Make the shards that a draft lacks; returns their number.

    Args:
        request: the corpus.
        folder: of its draft, which every node sees.
        store: which every node sees.

    Raises:
        RaydistillError: a source's own; or that a process was lost again and again, without a
            further shard.
        RayTaskError: any other error, with the worker's traceback.
    """
    import ray.data  # noqa: PLC0415  (seconds, and small text needs none)

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.target_max_block_size = _BLOCK_BYTES
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # its errors are raised here too
    files = files_of_draft(request, folder, store)
    shards, shares = 0, [0.0] * len(files)
    total = sum(file.num_bytes for file in files)
    cpus, retries = int(ray.cluster_resources().get("CPU", 1)), Retries(lambda _: (shards,))
    while True:
        note = folder / f"lost-{uuid.uuid4().hex}"
        context.execution_options.resource_limits = ray.data.ExecutionResources(cpu=cpus)
        try:
            for row in _missing_shards(files, folder, note).iter_rows():
                if note.exists():
                    break
                shards += 1
                shares[row["number"]] = max(shares[row["number"]], row["share"])
                done = sum(s * file.num_bytes for s, file in zip(shares, files, strict=True))
                report(StageProgress(stage="tokenising", done=done, total=total, unit="bytes"))
            if not note.exists():
                break
            raise WorkerCrashedError
        except RayError as error:
            if shortage := retry_or_raise(error, "tokenising", retries):
                cpus = max(1, cpus - surplus(shortage))
    report(StageProgress(stage="tokenising", done=total, total=total, unit="bytes"))
    return shards


def _missing_shards(files: list[FileSlice], folder: Path, note: Path) -> Any:
    """A Ray dataset that tokenises them: a row for each."""
    rows = [{"number": number} for number in range(len(files))]
    return (
        ray.data.from_items(rows, override_num_blocks=len(rows))
        .flat_map(_read, fn_args=(files, note), num_cpus=_READER_CPU)
        .map(_make, fn_args=(folder, note), num_cpus=_TOKENISER_CPU)
    )


def _is_repeated(note: Path) -> bool:
    """On a worker: whether Ray repeats this task, whose process was lost; leaves the note then."""
    repeated = bool(ray_worker.global_worker.core_worker.get_current_task_attempt_number())
    if repeated:
        note.touch()
    return repeated


def _read(row: dict[str, Any], files: list[FileSlice], note: Path) -> Iterator[dict[str, Any]]:
    """On a worker: the missing shards of a file, each with the share of it that is read by then."""
    number, share = row["number"], 0.0
    if _is_repeated(note):
        return

    def listen(progress: StageProgress) -> None:
        nonlocal share
        share = progress.done / progress.total if progress.total else 1.0

    with listening(listen):
        for shard in read_shards(files[number]):
            if not is_finished(Path(files[number].folder), shard.place):
                texts = json.dumps([shard.texts, shard.assistant])
                yield {"number": number, "share": share, "place": shard.place, "texts": texts}


def _make(row: dict[str, Any], folder: Path, note: Path) -> dict[str, Any]:
    """On a worker: make one shard."""
    if not _is_repeated(note):
        fault_point("shard")
        make_shard(folder, Shard(row["place"], *json.loads(row["texts"])))
    return {"number": row["number"], "share": row["share"]}
