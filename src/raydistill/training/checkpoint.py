"""Weights on disk, and checkpoints from which training goes on bit for bit.

`model.safetensors` says in its own metadata what it is (the base's config and the layers kept),
so its sha256 covers that too. Tensors are named by the layer of the base (`blocks.7.…`),
whatever has left. A checkpoint adds what the optimizer keeps and what was measured so far.
"""

import shutil
import sys
import uuid
from pathlib import Path

from safetensors.torch import load_file

from raydistill.core.errors import DataError
from raydistill.core.fault_injection import fault_point
from raydistill.models.distributed import World
from raydistill.models.weights import WEIGHTS, metadata_of, save_weights, write_safetensors
from raydistill.storage.manifest import NewerError, steps_of, verify, write_manifest
from raydistill.training.loop import Training

OPTIMIZER = "optimizer.safetensors"

NOTES = "notes.json"


def save_checkpoint(folder: Path, state: Training, notes: str) -> None:
    """Write everything that training needs to go on; `notes` is the caller's own JSON.

    Two are kept: should the newest be damaged, the one before it serves.
    """
    draft, final = folder / f".{uuid.uuid4().hex}", folder / f"step-{state.step}"
    draft.mkdir(parents=True)
    try:
        _write(draft, state, notes)
        shutil.rmtree(final, ignore_errors=True)
        draft.replace(final)
    finally:  # on a full disk, what could be written makes room again
        shutil.rmtree(draft, ignore_errors=True)
    for old in steps_of(folder)[2:]:  # NFS keeps what somebody still reads
        shutil.rmtree(folder / f"step-{old}", ignore_errors=True)


def _write(draft: Path, state: Training, notes: str) -> None:
    save_weights(draft, state.student)
    fault_point("checkpoint")
    kept = {
        f"{slot}/{name}": tensor
        for name, p in state.student.named_parameters().items()
        for slot, tensor in state.optimizer.state.get(p, {}).items()
    }
    write_safetensors(draft / OPTIMIZER, kept, {})
    (draft / NOTES).write_text(notes, encoding="utf-8")
    write_manifest(draft)


def load_checkpoint(
    folder: Path, state: Training, world: World, *, most_steps: int = sys.maxsize
) -> str:
    """Bring `state` to the newest verified checkpoint in `folder`; returns its notes.

    One of more steps than `most_steps` does not count.

    Damaged and half-written ones are passed over; without any, `state` stays as it is and
    the notes are empty. Rank 0 chooses for all: they may not see the folder alike.

    Raises:
        NewerError: if a later version of this package wrote the newest.
    """
    step = world.agreed(_newest_verified(folder, most_steps) if world.leads else 0)
    if step == 0:
        return ""
    path = folder / f"step-{step}"
    kept = metadata_of(path / WEIGHTS)["kept"]
    state.student.remove([layer for layer in state.student.kept if layer not in kept])
    state.student.load(load_file(path / WEIGHTS))
    parameters = state.student.named_parameters()
    for name, tensor in load_file(path / OPTIMIZER).items():
        slot, _, of = name.partition("/")
        kept = state.optimizer.state.setdefault(parameters[of], {})
        # A copy: what is loaded is the file itself, mapped, which is to be deleted later.
        kept[slot] = tensor.to(parameters[of].device, copy=True) if tensor.dim() else tensor.clone()
    state.step = step
    return (path / NOTES).read_text(encoding="utf-8")


def _newest_verified(folder: Path, most_steps: int) -> int:
    """Its step; 0 if there is none."""
    for step in steps_of(folder):
        if step > most_steps:
            continue
        try:
            verify(folder / f"step-{step}")
        except NewerError:
            raise  # it is whole, and would be written over
        except DataError:
            continue
        return step
    return 0
