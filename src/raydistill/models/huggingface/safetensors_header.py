"""What a safetensors file says of its tensors, believed only as far as the file's size bears it."""

import json
import math
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeGuard

from raydistill.core.errors import DataError

Shapes = Mapping[str, Sequence[int]]  # by the name of a tensor

FLOATS = ("F64", "F32", "F16", "BF16")  # dtypes of weights, as safetensors names them
_BYTES = {"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4}
_BYTES |= {"F16": 2, "BF16": 2, "I16": 2, "U16": 2}  # of others at least a bit
_PIECE_BYTES = 2**24
_INTEGERS = ("I64", "I32", "BOOL")  # of tables, unless there are scales to multiply them with
_SCALE = re.compile(r"(scales|_scale|scale_inv|qzeros|absmax)$")
_NO_PARAMETERS = re.compile(r"\.(rotary_emb\.inv_freq|attn\.bias|attention\.bias|masked_bias)$")


class StoredTensor(NamedTuple):
    """A tensor of a safetensors file, by its header."""

    name: str
    dtype: str  # as safetensors names it, such as BF16
    shape: tuple[int, ...]
    start: int  # of its bytes, after the header
    end: int

    @property
    def width(self) -> int:
        """Bytes of one value; 1 for dtypes of a byte or less."""
        return _BYTES.get(self.dtype, 1)


def is_parameter(name: str) -> bool:
    """Whether a tensor is a parameter, and no mask or table that the model makes itself."""
    return not _NO_PARAMETERS.search(name)


def tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Name → shape of every tensor of a safetensors file, from its header alone.

    Raises:
        DataError: if the file is shorter or longer than its header says, or has none, if tensors
            overlap or are not of the size of their shape, or if one holds neither floats nor a
            table of integers, as in a quantised model.
    """
    tensors = tensors_in(path)[1]
    odd = sorted((t.name, t.dtype) for t in tensors if t.dtype not in FLOATS)
    scaled = {tensor.name.rpartition(".")[0] for tensor in tensors if _SCALE.search(tensor.name)}
    odd = [
        (name, dtype)
        for name, dtype in odd
        if is_parameter(name) and (dtype not in _INTEGERS or name.rpartition(".")[0] in scaled)
    ]
    if odd:
        raise DataError(
            f"{len(odd)} tensors in {path} are none of {', '.join(FLOATS)}, the first {odd[0][0]} "
            f"({odd[0][1]}): quantised weights are not read"
        )
    return {tensor.name: tensor.shape for tensor in tensors}


def tensor_pieces(path: Path, name: str) -> Iterator[bytes]:
    """The dtype of a tensor of a safetensors file, then its bytes, 16 MiB at a time."""
    start, tensors = tensors_in(path)
    tensor = next(tensor for tensor in tensors if tensor.name == name)
    yield tensor.dtype.encode()
    with path.open("rb") as file:
        file.seek(start + tensor.start)
        for left in range(tensor.end - tensor.start, 0, -_PIECE_BYTES):
            yield file.read(min(left, _PIECE_BYTES))


def tensors_in(path: Path) -> tuple[int, list[StoredTensor]]:
    """Where the tensors' bytes of a file begin, and which tensors there are, of any dtype.

    Raises:
        DataError: if the file is shorter or longer than its header says, or has none, or if
            tensors overlap or are not of the size of their shape.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
        if length > size - 8:
            raise DataError(f"{path} has {size} bytes, less than its own header: it is truncated")
        try:
            tensors = list(_tensors(json.loads(file.read(length))))
        except (ValueError, RecursionError):
            raise DataError(f"{path} has no readable safetensors header") from None
    end = max((tensor.end for tensor in tensors), default=0)
    if size != (expected := 8 + length + end):
        raise DataError(
            f"{path} has {size} bytes, its header says {expected}: it is truncated or was changed"
        )
    _check_places(path, tensors)
    return 8 + length, tensors


def is_count(value: object) -> TypeGuard[int]:
    """Whether a value of JSON is a whole number from 1 on."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _tensors(header: object) -> Iterator[StoredTensor]:
    """The entries of a header; a `ValueError` if one is not as it must be."""
    if not isinstance(header, dict):
        raise ValueError("no object")
    for name, entry in header.items():
        match entry:
            case _ if name == "__metadata__":
                continue
            case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [start, end]} if all(
                is_count(size) or size == 0 for size in (*shape, start, end)
            ):
                yield StoredTensor(name, dtype, tuple(shape), start, end)
            case _:
                raise ValueError(name)


def _check_places(path: Path, tensors: Sequence[StoredTensor]) -> None:
    """Refuse tensors that overlap, leave gaps, or have not the size of their shape."""
    position = 0
    for tensor in sorted(tensors, key=lambda tensor: (tensor.start, tensor.end)):
        size, width = tensor.end - tensor.start, _BYTES.get(tensor.dtype)
        if tensor.start != position or (width and size != width * math.prod(tensor.shape)):
            raise DataError(
                f"{path}: the header has {tensor.name} of shape {list(tensor.shape)[:8]} and dtype "
                f"{tensor.dtype} at bytes {tensor.start} to {tensor.end}, which cannot be"
            )
        position = tensor.end
