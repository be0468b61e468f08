"""Weights on disk, and checkpoints from which training goes on bit for bit.

`model.safetensors` says in its own metadata what it is (the base's config and the layers kept),
so its sha256 covers that too. Tensors are named by the layer of the base (`blocks.7.…`),
whatever has left. A checkpoint adds what the optimizer keeps and what was measured so far.
"""

import json
import shutil
import sys
import uuid
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from raydistill.codec import from_dict
from raydistill.errors import DataError
from raydistill.faults import reach
from raydistill.manifest import NewerError, steps_of, verify, write_manifest
from raydistill.models import build
from raydistill.spec import Model
from raydistill.surgery import Student
from raydistill.train import Training
from raydistill.world import World

WEIGHTS = "model.safetensors"
OPTIMIZER = "optimizer.safetensors"
NOTES = "notes.json"
_METADATA = "raydistill"


def save_weights(folder: Path, student: Student) -> None:
    """Write the weights and what they are; `folder` exists."""
    about = {"model": asdict(student.model.config), "kept": student.kept}
    tensors = {name: p.data for name, p in student.named_parameters().items()}
    _save(folder / WEIGHTS, tensors, {_METADATA: json.dumps(about, sort_keys=True)})


def load_weights(folder: Path) -> Student:
    """The student that `save_weights` wrote.

    Raises:
        DataError: if the file is missing or unreadable, or the tensors are not the model's.
    """
    path = folder / WEIGHTS
    if not path.is_file():
        raise DataError(f"no {WEIGHTS} in {folder}")
    try:
        about, tensors = _about(path), load_file(path)
    except Exception as error:
        raise DataError(f"{path} holds no readable weights: {error}") from error
    model = from_dict(Model, about["model"])
    student = Student(build(model, seed=0))
    student.remove([layer for layer in range(model.num_layers) if layer not in about["kept"]])
    _check_names(folder, set(student.named_parameters()), set(tensors))
    student.load(tensors)
    return student


def config_of(folder: Path) -> Model:
    """The shape of the base whose weights `folder` holds, before anything left it."""
    model: Model = from_dict(Model, _about(folder / WEIGHTS)["model"])
    return model


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
    reach("checkpoint")
    kept = {
        f"{slot}/{name}": tensor
        for name, p in state.student.named_parameters().items()
        for slot, tensor in state.optimizer.state.get(p, {}).items()
    }
    _save(draft / OPTIMIZER, kept, {})
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
    kept = _about(path / WEIGHTS)["kept"]
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


def _about(path: Path) -> dict[str, Any]:
    with safe_open(path, framework="pt") as file:
        about: dict[str, Any] = json.loads(file.metadata()[_METADATA])
        return about


def _save(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(on_cpu, path, metadata=metadata)
    path.chmod(0o644)  # safetensors lets only the owner read


def _check_names(folder: Path, wanted: set[str], found: set[str]) -> None:
    for kind, names in (("misses", wanted - found), ("does not know", found - wanted)):
        if names:
            shown = ", ".join(sorted(names)[:5])
            raise DataError(f"{folder / WEIGHTS} {kind} {len(names)} tensors: {shown}")
