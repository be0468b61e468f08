"""The tensors of a quantised checkpoint as they are written: which there are, and their values.

Scales are multiplied in float32 and the product is rounded to bfloat16, as transformers does, but
some millions of values at a time.

    R, C    rows and columns of a weight
    G, H    rows and columns of its table of scales
    E       experts, where a weight has those of all
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from raydistill.core.errors import DataError
from raydistill.models.huggingface.quantised.forms import Form

_AT_ONCE = 2**20  # values
_FP4 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0)
_EIGHT_BITS = ("F8_E4M3", "F8_E5M2")
_OF_ACTIVATIONS = (".activation_scale", ".input_scale", ".output_scale", ".input_global_scale",
                   ".q_scale", ".k_scale", ".v_scale")  # fmt: skip
_DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
    "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip

Shape = tuple[int, ...]


class Stored(NamedTuple):
    """A tensor in a file."""

    file: Path
    name: str
    dtype: str  # as safetensors names it
    shape: Shape

    def read(self) -> Tensor:
        with safe_open(self.file, framework="pt") as opened:
            tensor: Tensor = opened.get_tensor(self.name)
        return tensor


class Written(NamedTuple):
    """A tensor to write, and its values in pieces, one after the other in memory's order."""

    name: str
    dtype: torch.dtype
    shape: Shape
    pieces: Callable[[], Iterator[Tensor]]


@dataclass(slots=True)
class Dequantised:
    """What became of a checkpoint's tensors."""

    weights: int = 0  # that were quantised
    rounding: float = 0.0  # the largest, relative, of their values: known once they are written
    is_ragged: bool = False  # whether a size is no multiple of its block's, with several blocks

    def rounded(self, exact: Tensor) -> Tensor:
        """Values float32 as bfloat16."""
        values = exact.to(torch.bfloat16)
        error = values.float().div_(exact).sub_(1.0).abs_().nan_to_num_(0.0)  # of 0: 0/0
        self.rounding = max(self.rounding, float(error.max()) if error.numel() else 0.0)
        return values


def stored_tensors(files: list[Path]) -> dict[str, Stored]:
    """The tensors of some files, in their order, by name.

    Raises:
        DataError: if one is not readable, or a name is in two.
    """
    tensors: dict[str, Stored] = {}
    for file in files:
        try:
            with safe_open(file, framework="pt") as opened:
                for name in opened.keys():  # noqa: SIM118  (no mapping)
                    part = opened.get_slice(name)
                    if name in tensors:
                        raise DataError(f"{file} has the tensor {name} once more")
                    tensors[name] = Stored(file, name, part.get_dtype(), tuple(part.get_shape()))
        except (SafetensorError, OSError) as error:
            raise DataError(f"{file} cannot be read: {error}") from None
    return tensors


def written_tensors(
    stored: Mapping[str, Stored], form: Form, done: Dequantised
) -> Iterator[Written]:
    """The tensors that stand for `stored`: quantised ones in bfloat16, others to the bit.

    Args:
        stored: of a whole checkpoint, by name.
        form: what its config says.
        done: filled meanwhile.

    Raises:
        DataError: if a quantised tensor has no scales, or none that go with its shape.
    """
    dense = {name: _written(stored, name, form, done) for name in stored}
    scales = {scale.name for name in stored for scale in _beside(stored, name)}
    done.weights = sum(tensor is not None for tensor in dense.values())
    for name, tensor in stored.items():
        bf16 = dense[name]
        if bf16 is not None:
            yield bf16
        elif name not in scales and not name.endswith(_OF_ACTIVATIONS):
            if tensor.dtype not in _DTYPES:
                raise DataError(f"{tensor.file}: {name} is {tensor.dtype}, with no scale beside it")
            yield Written(name, _DTYPES[tensor.dtype], tensor.shape, _whole(tensor))


def _beside(stored: Mapping[str, Stored], name: str) -> list[Stored]:
    """What a quantised tensor needs beside it: scales first, and a shape."""
    tensor = stored[name]
    stem = name.removesuffix(".weight")
    if tensor.dtype in (*_EIGHT_BITS, "I8"):
        names = [f"{name}_scale_inv", f"{name}_scale"]
        names += [f"{stem}.scale", f"{stem}.qscale_weight"] if stem != name else []
        return [stored[scale] for scale in names if scale in stored][:1]
    if name.endswith("_blocks") and tensor.dtype == "U8":
        scale = f"{name.removesuffix('_blocks')}_scales"
        return [stored[scale]] if scale in stored else []
    if name.endswith(".weight_packed") and tensor.dtype == "I32":
        stem = name.removesuffix("_packed")
        names = [f"{stem}_scale", f"{stem}_shape"]
        return [stored[n] for n in names] if all(n in stored for n in names) else []
    return []


def _written(
    stored: Mapping[str, Stored], name: str, form: Form, done: Dequantised
) -> Written | None:
    """The tensor that stands for a quantised one; None if it is not."""
    tensor, beside = stored[name], _beside(stored, name)
    if not beside:
        return None
    if name.endswith("_blocks"):
        return _of_blocks(tensor, beside[0], done)
    if name.endswith(".weight_packed"):
        return _of_packed(tensor, *beside, done=done)
    *lead, rows, columns = tensor.shape if len(tensor.shape) > 1 else (1, *tensor.shape)
    is_fp4 = tensor.dtype not in _EIGHT_BITS
    columns *= 2 if is_fp4 else 1
    grid = _grid(tensor, beside[0], rows)
    block = _block(tensor, (rows, columns), grid, form.block)
    done.is_ragged |= any(
        blocks > 1 and size % one
        for size, blocks, one in zip((rows, columns), grid, block, strict=True)
    )

    def pieces() -> Iterator[Tensor]:
        values_ERC = tensor.read().reshape(-1, rows, tensor.shape[-1])
        scales_EGH = _as_scales(beside[0].read()).reshape(-1, *grid).expand(len(values_ERC), *grid)
        for values_RC, scales_GH in zip(values_ERC, scales_EGH, strict=True):
            read = _fp4_values if is_fp4 else _fp8_values
            for exact in _scaled(values_RC, scales_GH, block, columns, read):
                yield done.rounded(exact)

    shape = (*lead, rows, columns) if len(tensor.shape) > 1 else (columns,)
    return Written(name, torch.bfloat16, shape, pieces)


def _grid(tensor: Stored, scale: Stored, rows: int) -> tuple[int, int]:
    """Rows and columns of a table of scales, which may be a number, or one for each row."""
    if math.prod(scale.shape) == 1:
        return 1, 1
    if len(scale.shape) == 1 and scale.shape[0] == rows:
        return rows, 1
    if len(scale.shape) != len(tensor.shape) or scale.shape[:-2] != tensor.shape[:-2]:
        raise _do_not_fit(tensor, scale.shape)
    return scale.shape[-2], scale.shape[-1]


def _block(
    tensor: Stored,
    shape: tuple[int, int],
    grid: tuple[int, int],
    configured: tuple[int, int] | None,
) -> tuple[int, int]:
    """Rows and columns that share a scale: those of the config if the table has as many, or even.

    Experts may have other blocks than the config says.
    """
    sizes = list(zip(shape, grid, strict=True))
    if configured and all(-(-n // one) == g for (n, g), one in zip(sizes, configured, strict=True)):
        return configured
    if any(g == 0 or n % g for n, g in sizes):
        raise _do_not_fit(tensor, grid)
    return shape[0] // grid[0], shape[1] // grid[1]


def _do_not_fit(tensor: Stored, scales: Shape) -> DataError:
    return DataError(
        f"{tensor.file}: {tensor.name} has shape {list(tensor.shape)}, its scales {list(scales)}, "
        "which do not go together"
    )


def _scaled(
    values_RC: Tensor,
    scales_GH: Tensor,
    block: tuple[int, int],
    columns: int,
    read: Callable[[Tensor], Tensor],
) -> Iterator[Tensor]:
    """Products float32 [some rows, C], from the first row to the last."""
    high, wide = block
    step = max(1, _AT_ONCE // columns)
    for top in range(0, len(values_RC), step):
        values = read(values_RC[top : top + step])
        scales = scales_GH[torch.arange(top, top + len(values)) // high]
        yield values * scales.repeat_interleave(wide, 1)[:, :columns]


def _as_scales(scales: Tensor) -> Tensor:
    """Scales float32; bytes are exponents of two, 127 more than they mean."""
    exponents = scales.dtype == torch.uint8
    return (scales.float() - 127.0).exp2() if exponents else scales.float()


def _fp4_values(packed: Tensor) -> Tensor:
    """The values float32 [..., 2 n] of bytes [..., n], each with two of them, the lower first."""
    table = torch.tensor([(_FP4[byte & 15], _FP4[byte >> 4]) for byte in range(256)])
    return _looked_up(packed, table).view(*packed.shape[:-1], 2 * packed.shape[-1])


def _fp8_values(values: Tensor) -> Tensor:
    """Floats of 8 bits as float32; torch's own conversion takes twice as long on a CPU."""
    table = torch.arange(256, dtype=torch.uint8).view(values.dtype).float()
    return _looked_up(values, table).view(values.shape)


def _looked_up(values: Tensor, table: Tensor) -> Tensor:
    return table.index_select(0, values.contiguous().view(torch.uint8).reshape(-1).int())


def _of_blocks(tensor: Stored, scale: Stored, done: Dequantised) -> Written:
    """Blocks uint8 [E, C, H, 16] with exponents uint8 [E, C, H] as a weight [E, 32 H, C]."""
    if len(tensor.shape) != 4 or scale.shape != tensor.shape[:-1]:
        raise _do_not_fit(tensor, scale.shape)
    experts, columns, groups, size = tensor.shape

    def pieces() -> Iterator[Tensor]:
        for blocks, exponents in zip(tensor.read(), scale.read(), strict=True):
            weight = torch.empty(columns, groups * size * 2, dtype=torch.bfloat16)
            step = max(1, _AT_ONCE // weight.shape[1])
            for top in range(0, columns, step):
                powers = exponents[top : top + step, :, None].int() - 127
                exact = torch.ldexp(_fp4_values(blocks[top : top + step]), powers)
                weight[top : top + step] = done.rounded(exact.flatten(1))
            yield weight.T

    name = tensor.name.removesuffix("_blocks")
    return Written(name, torch.bfloat16, (experts, groups * size * 2, columns), pieces)


def _of_packed(tensor: Stored, scale: Stored, shape: Stored, *, done: Dequantised) -> Written:
    """Words int32 [R, words], each with several integers, the lowest bits first, as [R, C]."""
    rows, columns = map(int, shape.read())
    bits = tensor.shape[-1] * 32 // columns if columns else 0
    grid = _grid(tensor, scale, rows)
    if len(tensor.shape) != 2 or tensor.shape[0] != rows or bits not in (4, 8):
        raise _do_not_fit(tensor, scale.shape)
    block = _block(tensor, (rows, columns), grid, None)

    def values(words: Tensor) -> Tensor:
        bytes_: Tensor = words.contiguous().view(torch.uint8)
        if bits == 4:
            bytes_ = torch.stack([bytes_ & 15, bytes_ >> 4], dim=-1).flatten(-2)
        return bytes_[:, :columns].float().sub_(2 ** (bits - 1))

    def pieces() -> Iterator[Tensor]:
        scales_GH = scale.read().float().reshape(grid)
        for exact in _scaled(tensor.read(), scales_GH, block, columns, values):
            yield done.rounded(exact)

    name = tensor.name.removesuffix("_packed")
    return Written(name, torch.bfloat16, (rows, columns), pieces)


def _whole(tensor: Stored) -> Callable[[], Iterator[Any]]:
    def pieces() -> Iterator[Tensor]:
        yield tensor.read()

    return pieces
