"""A safetensors file written from tensors of others, whose bytes pass through piece by piece."""

import hashlib
import itertools
import json
import math
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path

import torch
from torch import Tensor

from raydistill.models.huggingface.safetensors_header import StoredTensor, tensors_in

_PIECE_BYTES = 2**22
_ALIGNMENT = 8  # bytes, of where tensors begin


@dataclass(frozen=True, kw_only=True, slots=True)
class CopiedTensor:
    """A tensor of a file under another name."""

    name: str
    file: Path
    stored: StoredTensor
    start: int  # of its bytes, in the file


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangedTensor:
    """A tensor under a new name, with other values than a file's, computed when it is written."""

    name: str
    stored: StoredTensor  # whose dtype it has
    shape: tuple[int, ...]
    values: Callable[[], Tensor]


def copied_tensors(file: Path) -> list[CopiedTensor]:
    """Every tensor of a safetensors file, in its order, under its own name.

    Raises:
        DataError: if the file is no safetensors file, or is damaged.
    """
    start, tensors = tensors_in(file)
    return [
        CopiedTensor(name=t.name, file=file, stored=t, start=start + t.start)
        for t in sorted(tensors, key=lambda t: (t.start, t.end))
    ]


def write_tensors(path: Path, tensors: Iterable[CopiedTensor | ChangedTensor]) -> str:
    """Write a safetensors file of those tensors; its sha256, in hex.

    Copied ones keep every bit; memory is taken for one changed tensor at a time.

    Raises:
        OSError: if reading or writing fails.
    """
    ordered = sorted(tensors, key=lambda tensor: -tensor.stored.width)  # keeps them aligned
    hashed = hashlib.sha256()
    with path.open("wb", buffering=0) as file, ThreadPoolExecutor(1) as hashing:
        pending = hashing.submit(hashed.update, b"")
        for piece in _pieces(ordered):
            _write(file, piece)
            pending.result()  # at most one piece waits beside the one that is written
            pending = hashing.submit(hashed.update, piece)
    return hashed.hexdigest()


def _write(file: RawIOBase, piece: bytes | memoryview) -> None:
    left = memoryview(piece)
    while left:
        left = left[file.write(left) or 0 :]


def _pieces(tensors: Sequence[CopiedTensor | ChangedTensor]) -> Iterator[bytes | memoryview]:
    """The bytes of a safetensors file."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for tensor in tensors:
        start, end = end, end + _size(tensor)
        entry = {"dtype": tensor.stored.dtype, "shape": _shape(tensor)}
        header[tensor.name] = entry | {"data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    yield struct.pack("<Q", len(text)) + text
    buffers = itertools.cycle([memoryview(bytearray(_PIECE_BYTES)) for _ in range(2)])
    for tensor in tensors:
        if isinstance(tensor, ChangedTensor):
            yield tensor.values().contiguous().flatten().view(torch.uint8).numpy().data
        else:
            yield from _copied(tensor, buffers)


def _copied(tensor: CopiedTensor, buffers: Iterator[memoryview]) -> Iterator[memoryview]:
    """The bytes of a tensor in these buffers, each of which is used again two pieces later."""
    with tensor.file.open("rb", buffering=0) as file:
        file.seek(tensor.start)
        left = _size(tensor)
        while left:
            buffer = next(buffers)
            if not (count := file.readinto(buffer[:left])):
                raise OSError(f"{tensor.file} ended while it was read")
            left -= count
            yield buffer[:count]


def _size(tensor: CopiedTensor | ChangedTensor) -> int:
    """In bytes."""
    stored = tensor.stored
    if isinstance(tensor, ChangedTensor):
        return stored.width * math.prod(tensor.shape)
    return stored.end - stored.start


def _shape(tensor: CopiedTensor | ChangedTensor) -> list[int]:
    return list(tensor.shape if isinstance(tensor, ChangedTensor) else tensor.stored.shape)
