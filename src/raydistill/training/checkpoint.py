"""Checkpoints from which training resumes bit for bit.

A folder `step-<n>` has the weights (`models/weights.py`), the optimizer's tensors by slot and
parameter, the `Record` of what was measured so far, and last its manifest.
"""

import shutil
import sys
import uuid
from pathlib import Path

from safetensors.torch import load_file

from raydistill.core.errors import DataError
from raydistill.core.fault_injection import fault_point
from raydistill.core.serialization import from_json, to_json
from raydistill.models.distributed import World
from raydistill.models.sharding import release, share_of, shared_like
from raydistill.models.weights import WEIGHTS, metadata_of, save_weights, write_safetensors
from raydistill.specs.results import Record
from raydistill.storage.manifest import NewerError, steps_of, verify, write_manifest
from raydistill.training.loop import Training

OPTIMIZER, NOTES = "optimizer.safetensors", "notes.json"


def save_checkpoint(folder: Path, state: Training, record: Record, world: World) -> None:
    """Write all that training needs to resume, into `folder`/step-<n>; the leading rank writes.

    Where the student is sharded every rank calls this, and sends its shares. The newest two stay:
    should the last be damaged, the one before it serves.
    """
    if not world.leads:
        _write_tensors(None, state)
        return
    draft, final = folder / f".{uuid.uuid4().hex}", folder / f"step-{state.step}"
    draft.mkdir(parents=True)
    try:
        _write(draft, state, record)
        shutil.rmtree(final, ignore_errors=True)
        draft.replace(final)
    finally:  # on a full disk, what could be written makes room again
        shutil.rmtree(draft, ignore_errors=True)
    for old in steps_of(folder)[2:]:  # NFS keeps what somebody still reads
        shutil.rmtree(folder / f"step-{old}", ignore_errors=True)


def _write(draft: Path, state: Training, record: Record) -> None:
    _write_tensors(draft, state)
    (draft / NOTES).write_text(to_json(record), encoding="utf-8")
    write_manifest(draft)


def _write_tensors(draft: Path | None, state: Training) -> None:
    save_weights(draft, state.student, state.named_tensors())
    if draft:
        fault_point("checkpoint")
    slots = {
        f"{slot}/{name}": shared_like(tensor, p)
        for name, p in state.student.named_parameters().items()
        for slot, tensor in state.optimizer.slots(p).items()
    }
    write_safetensors(draft and draft / OPTIMIZER, slots, {})


def load_checkpoint(
    folder: Path, state: Training, world: World, *, max_steps: int = sys.maxsize
) -> Record:
    """Bring `state` to the newest intact checkpoint of at most `max_steps` steps in `folder`.

    Damaged and half-written ones are passed over. Rank 0 chooses for all: ranks may not see the
    folder alike.

    Returns:
        What was measured until then; empty if there is no such checkpoint, and `state` as it was.

    Raises:
        NewerError: if a later version of this package wrote the newest.
    """
    step = world.agreed(_newest_intact(folder, max_steps) if world.leads else 0)
    if step == 0:
        return Record()
    path = folder / f"step-{step}"
    kept = metadata_of(path / WEIGHTS)["kept"]
    gone = state.student.remove([layer for layer in state.student.kept if layer not in kept])
    release(state.student.model, gone)
    state.load(load_file(path / WEIGHTS))
    parameters = state.student.named_parameters()
    for key, tensor in load_file(path / OPTIMIZER).items():
        slot, _, name = key.partition("/")
        # It copies: the loaded tensor is a memory map of a file that will be deleted.
        share = share_of(tensor, parameters[name]) if tensor.dim() else tensor
        state.optimizer.restore(parameters[name], slot, share)
    state.step = step
    return from_json(Record, (path / NOTES).read_text(encoding="utf-8"))


def _newest_intact(folder: Path, max_steps: int) -> int:
    """The step of that checkpoint; 0 if there is none."""
    for step in steps_of(folder):
        if step > max_steps:
            continue
        try:
            verify(folder / f"step-{step}")
        except NewerError:
            raise  # it is intact, and would be written over
        except DataError:
            continue
        return step
    return 0
