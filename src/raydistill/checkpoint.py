"""Weights on disk, and checkpoints from which training goes on bit for bit.

A weights folder holds `model.safetensors` and `config.json`; tensors are named by the layer
of the base (`blocks.7.…`), whatever has left. A checkpoint adds the momentum and the curve.
"""

import json
import re
import shutil
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from raydistill.errors import DataError
from raydistill.manifest import is_whole, verify, write_manifest
from raydistill.models import build
from raydistill.spec import ModelConfig
from raydistill.surgery import Student
from raydistill.train import Training

WEIGHTS = "model.safetensors"
MOMENTUM = "momentum.safetensors"


def save_weights(folder: Path, student: Student) -> None:
    """Write the weights and what they are; `folder` exists."""
    _save(folder / WEIGHTS, {name: p.data for name, p in student.named_parameters().items()})
    config = {"model": asdict(student.model.config), "kept": student.kept}
    (folder / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")


def load_weights(folder: Path) -> Student:
    """The student that `save_weights` wrote.

    Raises:
        DataError: if a file is missing or unreadable, or the tensors are not the model's.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        tensors = load_file(folder / WEIGHTS)
    except FileNotFoundError as error:
        raise DataError(f"no {Path(error.filename).name} in {folder}") from error
    except Exception as error:
        raise DataError(f"{folder} holds no readable weights: {error}") from error
    model = ModelConfig(**config["model"])
    student = Student(build(model, seed=0))
    student.remove([layer for layer in range(model.num_layers) if layer not in config["kept"]])
    _check_names(folder, set(student.named_parameters()), set(tensors))
    student.load(tensors)
    return student


def save_checkpoint(folder: Path, state: Training, notes: str) -> None:
    """Write everything that training needs to go on; `notes` is the caller's own JSON.

    The newest checkpoint stays until this one is whole; older ones go then.
    """
    draft = folder / f".step-{state.step}"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    save_weights(draft, state.student)
    names = state.student.named_parameters()
    learning = {name: p for name, p in names.items() if p.requires_grad}
    _save(draft / MOMENTUM, {n: state.optimizer.momentum(p) for n, p in learning.items()})
    (draft / "notes.json").write_text(notes, encoding="utf-8")
    write_manifest(draft)
    final = folder / f"step-{state.step}"
    shutil.rmtree(final, ignore_errors=True)
    draft.replace(final)
    for old in _newest_first(folder)[2:]:
        shutil.rmtree(old)


def load_checkpoint(folder: Path, state: Training) -> str:
    """Bring `state` to the newest verified checkpoint in `folder`; returns its notes.

    Damaged and half-written ones are passed over; without any, `state` stays as it is and
    the notes are empty.
    """
    for path in _newest_first(folder):
        try:
            verify(path)
        except DataError:
            continue
        _restore(path, state)
        return (path / "notes.json").read_text(encoding="utf-8")
    return ""


def _restore(path: Path, state: Training) -> None:
    kept = json.loads((path / "config.json").read_text(encoding="utf-8"))["kept"]
    state.student.remove([layer for layer in state.student.kept if layer not in kept])
    state.student.load(load_file(path / WEIGHTS))
    parameters = state.student.named_parameters()
    for name, momentum in load_file(path / MOMENTUM).items():
        state.optimizer.momentum(parameters[name]).copy_(momentum)
    state.step = _step_of(path)


def _newest_first(folder: Path) -> list[Path]:
    found = [p for p in folder.glob("step-*") if re.fullmatch(r"step-\d+", p.name) and is_whole(p)]
    return sorted(found, key=_step_of, reverse=True)


def _step_of(path: Path) -> int:
    return int(path.name.removeprefix("step-"))


def _save(path: Path, tensors: dict[str, Tensor]) -> None:
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, path)
    path.chmod(0o644)  # safetensors lets only the owner read


def _check_names(folder: Path, wanted: set[str], found: set[str]) -> None:
    for kind, names in (("misses", wanted - found), ("does not know", found - wanted)):
        if names:
            shown = ", ".join(sorted(names)[:5])
            raise DataError(f"{folder / WEIGHTS} {kind} {len(names)} tensors: {shown}")


def momentum_bytes(state: Training) -> int:
    """What the optimizer keeps, in bytes; removed and frozen layers have no part in it."""
    return sum(
        tensor.nbytes
        for slots in state.optimizer.state.values()
        for tensor in slots.values()
        if isinstance(tensor, torch.Tensor)
    )
