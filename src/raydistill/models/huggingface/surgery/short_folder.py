"""The files of a checkpoint written again without some blocks, one file at a time."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from raydistill.core.progress import growing
from raydistill.models.huggingface.saving import copy_tokenizer_files, model_write_errors
from raydistill.models.huggingface.surgery.anatomy import Anatomy
from raydistill.models.huggingface.surgery.finding import cut_table
from raydistill.models.huggingface.weight_files import INDEX, weight_files


def write_short(
    anatomy: Anatomy,
    kept: Sequence[int],
    config: Mapping[str, Any],
    folder: Path,
    notes: Mapping[str, str],
) -> None:
    """Write the checkpoint of which only the layers `kept` stay, every tensor to the bit.

    Args:
        anatomy: of the whole one.
        kept: ascending.
        config: of the written one.
        folder: an empty one.
        notes: more files, name → text.

    Raises:
        SetupError: if writing fails.
    """
    files = weight_files(anatomy.folder)
    size = sum(file.stat().st_size for file in files)
    with model_write_errors(folder), growing(folder, "writing weights", size):
        staying = [file for file in files if any(_names(file, anatomy, kept))]
        weight_map: dict[str, str] = {}
        total = 0
        for number, file in enumerate(staying, 1):
            part = f"-{number:05}-of-{len(staying):05}" if len(staying) > 1 else ""
            tensors = _tensors(file, anatomy, kept)
            name = f"model{part}.safetensors"
            save_file(tensors, folder / name, metadata={"format": "pt"})
            weight_map |= dict.fromkeys(tensors, name)
            total += sum(tensor.nbytes for tensor in tensors.values())
            del tensors
        if len(staying) > 1:
            index = {"metadata": {"total_size": total}, "weight_map": weight_map}
            (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", "utf-8")
        copy_tokenizer_files(anatomy.folder, folder)
        texts = {"config.json": json.dumps(config, indent=2) + "\n", **notes}
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")


def _names(file: Path, anatomy: Anatomy, kept: Sequence[int]) -> Iterator[tuple[str, str]]:
    """The tensors of a file that stay: their name there, and the one without the others."""
    position = {layer: new for new, layer in enumerate(kept)}
    with safe_open(file, framework="pt") as opened:
        for name in opened.keys():  # noqa: SIM118  (no mapping)
            if not name.startswith(f"{anatomy.prefix}."):
                yield name, name
                continue
            number, _, rest = name.removeprefix(f"{anatomy.prefix}.").partition(".")
            if int(number) in position:
                yield name, f"{anatomy.prefix}.{position[int(number)]}.{rest}"


def _tensors(file: Path, anatomy: Anatomy, kept: Sequence[int]) -> dict[str, Tensor]:
    with safe_open(file, framework="pt") as opened:
        return {
            new: cut_table(new, opened.get_tensor(old), anatomy.num_layers, kept)
            for old, new in _names(file, anatomy, kept)
        }
