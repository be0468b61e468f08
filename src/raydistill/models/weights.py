"""Weights on disk: safetensors, checked by name and shape when read.

The file's own metadata has the base's config and the layers kept, so its sha256 covers them too.
Tensors are named by the layer of the base (`blocks.7.…`), whichever layers have left.
"""

import json
import uuid
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from raydistill.core.errors import DataError
from raydistill.core.progress import growing, in_parts, tracked
from raydistill.core.serialization import from_dict
from raydistill.models.decoder import build
from raydistill.models.gathering import write_gathered
from raydistill.models.sharding import is_share
from raydistill.models.student import Student
from raydistill.specs.model import Model
from raydistill.storage.manifest import sha256_of
from raydistill.storage.store import Store

WEIGHTS = "model.safetensors"
_METADATA = "raydistill"


def save_weights(
    folder: Path | None, student: Student, tensors: dict[str, Tensor] | None = None
) -> None:
    """Write the weights with their metadata into an existing folder.

    Of a sharded student every rank calls this, and one writes.

    Args:
        folder: of `WEIGHTS`; None: another rank writes.
        student: whose weights they are.
        tensors: by the names of `Student.named_tensors`, where they are others than its own.
    """
    metadata = {"model": asdict(student.model.config), "kept": student.kept}
    tensors = student.named_tensors() if tensors is None else tensors
    size_bytes = sum(tensor.nbytes for tensor in tensors.values())
    about = {_METADATA: json.dumps(metadata, sort_keys=True)}
    if folder is None:
        write_safetensors(None, tensors, about)
        return
    with growing(folder, "writing", size_bytes):
        write_safetensors(folder / WEIGHTS, tensors, about)


def store_base(student: Student, store: Store) -> str:
    """Put the weights into the store as a base; their sha256, which names it."""
    draft = store.path("bases", f".{uuid.uuid4().hex}")
    draft.mkdir(parents=True)
    with in_parts("storing weights", "", 3) as part:
        with part(1, "writing"):
            save_weights(draft, student)
        with part(1):
            sha256 = sha256_of(draft / WEIGHTS)
        with part(1), store.making("bases", sha256) as base:
            (draft / WEIGHTS).rename(base / WEIGHTS)
    draft.rmdir()
    return sha256


def load_weights(folder: Path) -> Student:
    """The student that `save_weights` wrote.

    Raises:
        DataError: if the file is missing or unreadable, or the tensors are not the model's.
    """
    path = folder / WEIGHTS
    if not path.is_file():
        raise DataError(f"no {WEIGHTS} in {folder}")
    try:
        metadata = metadata_of(path)
        with safe_open(path, framework="pt") as file:
            keys = tracked(list(file.offset_keys()), "loading weights", "tensors")
            tensors = {key: file.get_tensor(key) for key in keys}
    except Exception as error:
        raise DataError(f"{path} holds no readable weights: {error}") from error
    model = from_dict(Model, metadata["model"])
    student = Student(build(model, seed=0))
    student.remove([layer for layer in range(model.num_layers) if layer not in metadata["kept"]])
    expected, given = set(student.named_tensors()), set(tensors)
    for kind, names in (("misses", expected - given), ("does not know", given - expected)):
        if names:
            first = ", ".join(sorted(names)[:5])
            raise DataError(f"{path} {kind} {len(names)} tensors: {first}")
    student.load(tensors)
    return student


def config_of(folder: Path) -> Model:
    """The shape of the base whose weights `folder` has, before layers left it."""
    model: Model = from_dict(Model, metadata_of(folder / WEIGHTS)["model"])
    return model


def metadata_of(path: Path) -> dict[str, Any]:
    """The base's config and the layers kept, from a file of weights."""
    with safe_open(path, framework="pt") as file:
        metadata: dict[str, Any] = json.loads(file.metadata()[_METADATA])
        return metadata


def write_safetensors(
    path: Path | None, tensors: dict[str, Tensor], metadata: dict[str, str]
) -> None:
    """Write tensors of any device to a file that all users may read.

    Sharded ones are gathered one by one, and each is written before the next: all ranks call this.

    Args:
        path: of the file; None: another rank writes it.
        tensors: by name.
        metadata: of the file.
    """
    if any(is_share(tensor) for tensor in tensors.values()):
        write_gathered(path, tensors, metadata)
        return
    if path is None:
        return
    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(on_cpu, path, metadata=metadata)
    path.chmod(0o644)  # safetensors lets only the owner read
