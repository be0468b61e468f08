"""Training that goes on where it stopped: the loop between its checkpoints."""

import time
from collections.abc import Iterator
from pathlib import Path

from raydistill.checkpoint import load_checkpoint, save_checkpoint
from raydistill.codec import from_json, to_json
from raydistill.record import Record
from raydistill.spec import HeldoutPoint, Progress
from raydistill.train import Training
from raydistill.world import World


def resume(state: Training, folder: Path) -> Record:
    """Bring `state` to the newest checkpoint in `folder`; what was measured until then."""
    notes = load_checkpoint(folder, state)
    return from_json(Record, notes) if notes else Record()


def recorded(
    steps: Iterator[Progress | HeldoutPoint],
    state: Training,
    record: Record,
    *,
    folder: Path,
    every_s: float,
    world: World,
) -> Iterator[Progress | HeldoutPoint]:
    """The items of `train`, noted in `record`, with a checkpoint every `every_s` seconds.

    A checkpoint is made between two steps and read back bit for bit, so when it is made does
    not change what comes out. Rank 0 writes; all ranks hold the same.
    """
    began = saved = time.perf_counter()
    for item in steps:
        record.add(item, time.perf_counter() - began)
        yield item
        if world.leads and isinstance(item, Progress) and time.perf_counter() - saved >= every_s:
            save_checkpoint(folder, state, to_json(record))
            saved = time.perf_counter()
        began = time.perf_counter()
