"""Safetensors files written tensor by tensor, none of them whole in memory."""

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from raydistill.models.huggingface.quantised.dequantise import Written
from raydistill.models.huggingface.weight_files import INDEX, WEIGHTS

LARGEST_BYTES = 5 * 10**9  # of a file, but for a tensor that is larger
_NAMES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8",
    torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip


def num_bytes(tensor: Written) -> int:
    """Bytes of a tensor's values."""
    return math.prod(tensor.shape) * tensor.dtype.itemsize


def write_files(tensors: Sequence[Written], folder: Path, largest: int = LARGEST_BYTES) -> None:
    """Write a model's tensors into a folder as transformers names such files, with their index.

    Args:
        tensors: in the order in which they are read and written.
        folder: an empty one.
        largest: bytes in a file.

    Raises:
        OSError: if writing fails.
    """
    files = list(_grouped(tensors, largest))
    weight_map: dict[str, str] = {}
    for number, group in enumerate(files, 1):
        part = f"model-{number:05}-of-{len(files):05}.safetensors"
        name = part if len(files) > 1 else WEIGHTS
        _write_file(group, folder / name)
        weight_map |= {tensor.name: name for tensor in group}
    if len(files) > 1:
        total = sum(map(num_bytes, tensors))
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", "utf-8")


def _grouped(tensors: Sequence[Written], largest: int) -> Iterator[list[Written]]:
    group: list[Written] = []
    size = 0
    for tensor in tensors:
        if group and size + num_bytes(tensor) > largest:
            yield group
            group, size = [], 0
        group.append(tensor)
        size += num_bytes(tensor)
    yield group


def _write_file(tensors: Sequence[Written], path: Path) -> None:
    # wider dtypes first, as safetensors does: each tensor's place is then a multiple of its width
    ordered = sorted(tensors, key=lambda tensor: -tensor.dtype.itemsize)
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for tensor in ordered:
        start, end = end, end + num_bytes(tensor)
        dtype = _NAMES[tensor.dtype]
        header[tensor.name] = {"dtype": dtype, "shape": tensor.shape, "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in ordered:
            for piece in tensor.pieces():
                file.write(piece.contiguous().reshape(-1).view(torch.uint8).numpy().data)
