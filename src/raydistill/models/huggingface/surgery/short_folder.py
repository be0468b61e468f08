"""The files of a checkpoint written again without some blocks, tensor by tensor."""

import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from raydistill.core.progress import growing
from raydistill.models.huggingface.saving import copy_tokenizer_files, model_write_errors
from raydistill.models.huggingface.surgery.anatomy import Anatomy, language_fields
from raydistill.models.huggingface.surgery.finding import TABLES, cut_table
from raydistill.models.huggingface.surgery.tensor_copying import (
    ChangedTensor,
    CopiedTensor,
    copied_tensors,
    write_tensors,
)
from raydistill.models.huggingface.surgery.weight_changes import changed_tensor, names_needed
from raydistill.models.huggingface.weight_files import INDEX, weight_files


def write_short(
    anatomy: Anatomy,
    kept: Sequence[int],
    config: Mapping[str, Any],
    folder: Path,
    notes: Mapping[str, str],
) -> dict[str, str]:
    """Write the checkpoint of which only the layers `kept` stay.

    Every tensor keeps its bits but for those of `weight_changes`. Memory is taken for one tensor
    at a time, and only where it changes or is a table of which some layers' part leaves.

    Args:
        anatomy: of the whole one.
        kept: ascending.
        config: of the written one.
        folder: an empty one.
        notes: more files, name → text.

    Returns:
        The sha256 of each file of weights, by its name.

    Raises:
        SetupError: if writing fails.
    """
    files = weight_files(anatomy.folder)
    size = sum(file.stat().st_size for file in files)
    with model_write_errors(folder), growing(folder, "writing weights", size):
        parts = [part for part in (_staying(file, anatomy, kept) for file in files) if part]
        where = {tensor.stored.name: tensor.file for part in parts for tensor, _ in part}
        weight_map: dict[str, str] = {}
        sums: dict[str, str] = {}
        pending: list[Future[None]] = []
        with ThreadPoolExecutor(1) as syncing:  # a file goes to the disk while the next is written
            for number, part in enumerate(parts, 1):
                suffix = f"-{number:05}-of-{len(parts):05}" if len(parts) > 1 else ""
                name = f"model{suffix}.safetensors"
                tensors = (_rewritten(*tensor, anatomy, kept, where) for tensor in part)
                sums[name] = write_tensors(folder / name, tensors)
                pending.append(syncing.submit(_sync, folder / name))
                weight_map |= {tensor.name: name for tensor, _ in part}
        for synced in pending:
            synced.result()  # raises what that raised
        if len(parts) > 1:
            total = sum(
                tensor.stored.end - tensor.stored.start
                for name in sums
                for tensor in copied_tensors(folder / name)
            )
            index = {"metadata": {"total_size": total}, "weight_map": weight_map}
            (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", "utf-8")
        copy_tokenizer_files(anatomy.folder, folder)
        texts = {"config.json": json.dumps(config, indent=2) + "\n", **notes}
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
    return sums


def _sync(file: Path) -> None:
    with file.open("rb") as opened:
        os.fsync(opened.fileno())


def _staying(
    file: Path, anatomy: Anatomy, kept: Sequence[int]
) -> list[tuple[CopiedTensor, int | None]]:
    """The tensors of a file that stay, by their names without the others, and of which block."""
    position = {layer: new for new, layer in enumerate(kept)}
    staying: list[tuple[CopiedTensor, int | None]] = []
    for tensor in copied_tensors(file):
        if not tensor.name.startswith(f"{anatomy.prefix}."):
            staying.append((tensor, None))
            continue
        number, _, rest = tensor.name.removeprefix(f"{anatomy.prefix}.").partition(".")
        if (layer := int(number)) in position:
            name = f"{anatomy.prefix}.{position[layer]}.{rest}"
            staying.append((replace(tensor, name=name), layer))
    return staying


def _rewritten(
    tensor: CopiedTensor,
    layer: int | None,
    anatomy: Anatomy,
    kept: Sequence[int],
    where: Mapping[str, Path],
) -> CopiedTensor | ChangedTensor:
    """A tensor as it is written; `where` are the files of all."""
    stored = tensor.stored
    if layer is None and any(tensor.name.endswith(end) for end in TABLES):

        def cut(whole: Tensor) -> Tensor:
            return cut_table(tensor.name, whole, anatomy.num_layers, kept)

        shape = tuple(cut(torch.empty(stored.shape, device="meta")).shape)
        return ChangedTensor(
            name=tensor.name,
            stored=stored,
            shape=shape,
            values=lambda: cut(_read(stored.name, where)),
        )
    if layer is None or (new := kept.index(layer)) == layer:
        return tensor
    fields, block = language_fields(anatomy), f"{anatomy.prefix}.{layer}."
    name = stored.name.removeprefix(block)
    if not (needed := names_needed(fields, name)):
        return tensor

    def changed() -> Tensor:
        parts = {part: _read(block + part, where) for part in needed}
        return changed_tensor(fields, layer, new, name, parts)

    return ChangedTensor(name=tensor.name, stored=stored, shape=stored.shape, values=changed)


def _read(name: str, where: Mapping[str, Path]) -> Tensor:
    with safe_open(where[name], framework="pt") as opened:
        tensor: Tensor = opened.get_tensor(name)
    return tensor
