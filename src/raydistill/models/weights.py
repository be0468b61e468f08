"""Weights on disk: safetensors with the layers that stay, checked by name and shape when read."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from raydistill.core.errors import DataError
from raydistill.core.serialization import from_dict
from raydistill.models.decoder import build
from raydistill.models.student import Student
from raydistill.specs.model import Model

WEIGHTS = "model.safetensors"

_METADATA = "raydistill"


def save_weights(folder: Path, student: Student) -> None:
    """Write the weights and what they are; `folder` exists."""
    about = {"model": asdict(student.model.config), "kept": student.kept}
    tensors = {name: p.data for name, p in student.named_parameters().items()}
    write_safetensors(folder / WEIGHTS, tensors, {_METADATA: json.dumps(about, sort_keys=True)})


def load_weights(folder: Path) -> Student:
    """The student that `save_weights` wrote.

    Raises:
        DataError: if the file is missing or unreadable, or the tensors are not the model's.
    """
    path = folder / WEIGHTS
    if not path.is_file():
        raise DataError(f"no {WEIGHTS} in {folder}")
    try:
        about, tensors = metadata_of(path), load_file(path)
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
    model: Model = from_dict(Model, metadata_of(folder / WEIGHTS)["model"])
    return model


def metadata_of(path: Path) -> dict[str, Any]:
    """What a file of weights says about itself."""
    with safe_open(path, framework="pt") as file:
        about: dict[str, Any] = json.loads(file.metadata()[_METADATA])
        return about


def write_safetensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write tensors of any device, readable by all."""
    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(on_cpu, path, metadata=metadata)
    path.chmod(0o644)  # safetensors lets only the owner read


def _check_names(folder: Path, wanted: set[str], found: set[str]) -> None:
    for kind, names in (("misses", wanted - found), ("does not know", found - wanted)):
        if names:
            shown = ", ".join(sorted(names)[:5])
            raise DataError(f"{folder / WEIGHTS} {kind} {len(names)} tensors: {shown}")
