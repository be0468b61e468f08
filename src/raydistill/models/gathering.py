"""Sharded tensors written to one file: no rank ever holds more than one of them whole."""

import json
import struct
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from raydistill.models.sharding import whole

_ALIGNMENT = 8  # bytes, of where the tensors begin


def write_gathered(
    path: Path | None, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> None:
    """Write sharded tensors as `safetensors.torch.save_file` writes whole ones, byte for byte.

    Args:
        path: of the file; None on ranks that only send their shares.
        tensors: by name; the same names on every rank.
        metadata: of the file.
    """
    order, dtypes = _order(tensors)
    with path.open("wb") if path else nullcontext() as file:
        if file:
            file.write(_header(tensors, order, dtypes, metadata))
        for name in order:
            tensor = whole(tensors[name])
            if file:
                values = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
                file.write(values.numpy().data)
            del tensor
    if path:
        path.chmod(0o644)


def _order(tensors: Mapping[str, Tensor]) -> tuple[list[str], dict[str, str]]:
    """The names as safetensors lays them out, and their dtypes as it calls them."""
    tiny = {name: torch.zeros(1, dtype=tensor.dtype) for name, tensor in tensors.items()}
    data = save(tiny)
    header = json.loads(data[8 : 8 + struct.unpack("<Q", data[:8])[0]])
    order = sorted(header, key=lambda name: header[name]["data_offsets"][0])
    return order, {name: header[name]["dtype"] for name in order}


def _header(
    tensors: Mapping[str, Tensor],
    order: list[str],
    dtypes: Mapping[str, str],
    metadata: Mapping[str, str],
) -> bytes:
    entries: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    start = 0
    for name in order:
        tensor = tensors[name]
        end = start + tensor.numel() * tensor.element_size()
        shape = list(tensor.shape)
        entries[name] = {"dtype": dtypes[name], "shape": shape, "data_offsets": [start, end]}
        start = end
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return struct.pack("<Q", len(text)) + text
