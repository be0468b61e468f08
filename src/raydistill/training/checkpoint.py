"""Checkpoints from which training resumes bit for bit.

A folder `step-<n>` has the weights (`models/weights.py`), the optimizer's tensors by slot and
parameter, the `Record` of what was measured so far, and last its manifest. Of a sharded student
every rank writes its shares of both (`models/share_files.py`) while training goes on, if all see
the folder; else they are gathered. Any number of ranks reads either.
"""

import copy
import json
import secrets
import shutil
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from raydistill.core.errors import DataError
from raydistill.core.fault_injection import fault_point
from raydistill.core.serialization import from_json, to_json
from raydistill.models.distributed import World
from raydistill.models.sharding import local, release, share_of, shared_like
from raydistill.models.share_files import ShareFiles, load_whole, stored_tensors
from raydistill.models.weights import WEIGHTS, metadata_of, save_weights, write_safetensors
from raydistill.specs.results import Record
from raydistill.storage.manifest import NewerError, steps_of, verify, write_manifest
from raydistill.training.loop import Training

OPTIMIZER, NOTES = "optimizer.safetensors", "notes.json"
SHARES = "shares.json"  # of shares: the layers kept
_WEIGHTS = "weights"  # before the name of a weight among them, as a slot is before its parameter's


def save_checkpoint(folder: Path, state: Training, record: Record, world: World) -> None:
    """Write all that training needs to resume, into `folder`/step-<n>; the leading rank writes.

    Where the student is sharded every rank calls this, and `state.shares.wait` waits for the end of
    the writing. The newest two stay: should the last be damaged, the one before it serves.
    """
    start_s = time.perf_counter()
    if state.shares == "none":
        with _replacing(folder, state.step) as draft:
            _write_tensors(draft, state)
            _finish(draft, record)
    else:
        _save_shares(folder, state, record, world, state.shares)
    record.checkpoint_s += time.perf_counter() - start_s


def _save_shares(
    folder: Path, state: Training, record: Record, world: World, shares: ShareFiles
) -> None:
    shares.wait()
    number = world.agreed(secrets.randbits(62) if world.leads else 0)
    draft = folder / f".{number:x}"
    if world.leads:
        draft.mkdir(parents=True)
    world.agreed(0)  # the folder is there
    if world.total(torch.tensor(float(draft.is_dir()), device=world.device)) < world.size:
        if not world.leads:
            _write_tensors(None, state)
            return
        with _replacing(folder, state.step, draft):
            _write_tensors(draft, state)
            _finish(draft, record)
        return
    kept, notes, step = list(state.student.kept), copy.deepcopy(record), state.step

    def finish() -> None:
        if world.leads:
            fault_point("checkpoint")
            with _replacing(folder, step, draft):
                (draft / SHARES).write_text(json.dumps({"kept": kept}), encoding="utf-8")
                _finish(draft, notes)

    weights = {f"{_WEIGHTS}/{name}": tensor for name, tensor in state.named_tensors().items()}
    shares.save(draft, weights | _slots(state), finish)


@contextmanager
def _replacing(folder: Path, step: int, draft: Path | None = None) -> Iterator[Path]:
    """A folder to fill, which then is the checkpoint of a step; without it if the block fails."""
    draft = draft or folder / f".{uuid.uuid4().hex}"
    draft.mkdir(parents=True, exist_ok=True)
    final = folder / f"step-{step}"
    try:
        yield draft
        shutil.rmtree(final, ignore_errors=True)
        draft.replace(final)
    finally:  # on a full disk, what could be written makes room again
        shutil.rmtree(draft, ignore_errors=True)
    for old in steps_of(folder)[2:]:  # NFS keeps what somebody still reads
        shutil.rmtree(folder / f"step-{old}", ignore_errors=True)


def _finish(draft: Path, record: Record) -> None:
    (draft / NOTES).write_text(to_json(record), encoding="utf-8")
    write_manifest(draft)


def _write_tensors(draft: Path | None, state: Training) -> None:
    save_weights(draft, state.student, state.named_tensors())
    if draft:
        fault_point("checkpoint")
    write_safetensors(draft and draft / OPTIMIZER, _slots(state), {})


def _slots(state: Training) -> dict[str, Tensor]:
    return {
        f"{slot}/{name}": shared_like(tensor, p)
        for name, p in state.student.named_parameters().items()
        for slot, tensor in state.optimizer.slots(p).items()
    }


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
    in_shares = (path / SHARES).is_file()
    about = (path / SHARES).read_text(encoding="utf-8") if in_shares else ""
    kept = (json.loads(about) if in_shares else metadata_of(path / WEIGHTS))["kept"]
    gone = state.student.remove([layer for layer in state.student.kept if layer not in kept])
    release(state.student.model, gone)
    if in_shares:
        _load_shares(path, state)
    else:
        _load_files(path, state)
    state.step = step
    return from_json(Record, (path / NOTES).read_text(encoding="utf-8"))


def _load_files(path: Path, state: Training) -> None:
    state.load(load_file(path / WEIGHTS))
    parameters = state.student.named_parameters()
    for key, tensor in load_file(path / OPTIMIZER).items():
        slot, _, name = key.partition("/")
        # It copies: the loaded tensor is a memory map of a file that will be deleted.
        share = share_of(tensor, parameters[name]) if tensor.dim() else tensor
        state.optimizer.restore(parameters[name], slot, share)


def _load_shares(path: Path, state: Training) -> None:
    tensors = {f"{_WEIGHTS}/{name}": tensor for name, tensor in state.named_tensors().items()}
    parameters = state.student.named_parameters()
    for key, (size, dtype) in stored_tensors(path).items():
        slot, _, name = key.partition("/")
        if slot != _WEIGHTS:
            own = local(parameters[name])
            share = torch.zeros(own.shape if size else size, dtype=dtype)
            tensors[key] = shared_like(share, parameters[name])
    if state.shares == "none":
        load_whole(path, tensors)
    else:
        state.shares.load(path, tensors)
    for key, tensor in tensors.items():
        slot, _, name = key.partition("/")
        if slot != _WEIGHTS:
            state.optimizer.restore(parameters[name], slot, local(tensor))
    state.optimizer.publish()


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
