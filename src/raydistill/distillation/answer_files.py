"""A teacher's answers in memory-mapped files: all tokens of some windows of a token file.

    written.json   the `WrittenSpec`: of which teacher, over which tokens, and how
    windows.bin    the windows' numbers, ascending, int64
    ids.bin        the ids taken of every token, 16 bits where they fit, else 32
    log_p.bin      the teacher's log-probability of each, float16
    counts.bin     how often each was drawn, and sizes.bin, how many ids each token has: only
                   where that number varies
    scalars.bin    one float16 per token, where the excerpt has one
    manifest.json  last

Shapes: T positions of a window, N tokens, V vocabulary, S ids of a token.
"""

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raydistill.core.errors import DataError, UsageError
from raydistill.core.parts import EXCERPT
from raydistill.core.serialization import digest, from_json, to_json
from raydistill.data.batches import Batch
from raydistill.distillation.answers import SparseAnswer
from raydistill.distillation.excerpt import Excerpt, load_form
from raydistill.distillation.teacher_placement import MAX_IDS, count_bytes, id_bytes
from raydistill.specs.part_identity import edited_families, own_parts
from raydistill.storage.manifest import verify

DESCRIPTION = "written.json"
FORMAT_VERSION = 1
PER_TOKEN = ("sizes", "scalars")  # files with one entry per token
CPU = torch.device("cpu")
Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class WrittenSpec:
    """All that determines the content of the files, except which windows."""

    teacher_sha256: str  # of its weights
    corpus_sha256: str
    tokenizer_sha256: str
    context: int
    vocab_size: int  # ids that teacher and student share
    excerpt: str
    size: int  # ids, or draws, per token
    temperature: float = 1.0
    precision: str = "float32"  # of the teacher's forward pass
    draw: int = 0  # a seed: where ids are drawn, another number draws others
    format: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        """Check that the files can hold it.

        Raises:
            UsageError: if there is no such excerpt, or its size is out of range.
        """
        load_form(self.excerpt)
        if not 1 <= self.size <= MAX_IDS:
            raise UsageError(
                f"an excerpt of {self.size} ids a token: from 1 to {MAX_IDS:,}, the vocabulary "
                f"has {self.vocab_size}"
            )

    @property
    def key(self) -> str:
        """Sixteen hex digits that name the folder."""
        code = own_parts([(EXCERPT, self.excerpt)]) | edited_families()
        return digest(dataclasses.asdict(self) | code)

    @property
    def window_bytes(self) -> int:
        """Bytes on disk per window; where the number of ids varies, at most."""
        layout = load_form(self.excerpt).layout
        return layout.window_bytes(self.size, self.vocab_size, self.context)


class Writer:
    """Appends windows to a folder, in ascending order of their numbers."""

    def __init__(self, folder: Path, spec: WrittenSpec) -> None:
        self.folder, self.spec = folder, spec
        self.form = load_form(spec.excerpt)
        (folder / DESCRIPTION).write_text(to_json(spec), encoding="utf-8")

    def write(self, number: int, logits_TV: Tensor) -> None:
        """Append the teacher's answer to one window; the draws depend on its number alone."""
        spec = self.spec
        scaled_TV = logits_TV[:, : spec.vocab_size].float() / spec.temperature
        rng = torch.Generator(device=logits_TV.device).manual_seed(_seed(spec, number))
        excerpt = self.form.take(scaled_TV.log_softmax(-1), spec.size, rng)
        window = np.array([number], dtype="<i8")
        for name, array in {"windows": window, **_arrays(excerpt, spec)}.items():
            with (self.folder / f"{name}.bin").open("ab") as file:
                file.write(array.tobytes())


class Segment:
    """A folder that a `Writer` filled."""

    def __init__(self, folder: Path, spec: WrittenSpec) -> None:
        """Open it.

        Raises:
            DataError: if it is damaged, or was written for another spec.
        """
        verify(folder)
        written = from_json(WrittenSpec, (folder / DESCRIPTION).read_text(encoding="utf-8"))
        if written != spec:
            raise DataError(f"{folder} was written for {_difference(written, spec)}; delete it")
        self.spec = spec
        self.windows: list[int] = np.fromfile(folder / "windows.bin", dtype="<i8").tolist()
        self.files: dict[str, Array] = {
            name: np.memmap(folder / f"{name}.bin", dtype=dtype, mode="r")
            for name, dtype in _dtypes(spec).items()
        }
        if "sizes" in self.files:
            sizes = self.files["sizes"].reshape(-1, spec.context).sum(axis=1, dtype=np.int64)
        else:
            sizes = np.full(len(self.windows), spec.context * min(spec.size, spec.vocab_size))
        self.starts: list[int] = [0, *np.cumsum(sizes).tolist()]

    def entries(self, name: str, row: int) -> Array:
        """The entries in a file of the window in that row."""
        context = self.spec.context
        if name in PER_TOKEN:
            return self.files[name][row * context : (row + 1) * context]
        return self.files[name][self.starts[row] : self.starts[row + 1]]


class WrittenTeacher:
    """A `Teacher` with the answers to all windows of some segments."""

    def __init__(self, spec: WrittenSpec, segments: Iterable[Segment]) -> None:
        self.spec = spec
        self.form = load_form(spec.excerpt)
        self.rows = {n: (s, row) for s in segments for row, n in enumerate(s.windows)}

    def __call__(self, batch: Batch) -> SparseAnswer:
        """The answer to a batch, on its device."""
        return self.answer(batch.numbers, batch.ids.device)

    def answer(self, numbers: Sequence[int], device: torch.device = CPU) -> SparseAnswer:
        """The answer to these windows, in their order.

        Raises:
            LookupError: if one of them was not written.
        """
        missing = [number for number in numbers if number not in self.rows]
        if missing:
            raise LookupError(f"the teacher's answers to window {missing[0]} were not written")
        rows = [self.rows[number] for number in numbers]
        arrays = {
            name: np.concatenate([segment.entries(name, row) for segment, row in rows])
            for name in _dtypes(self.spec)
        }
        excerpt = _excerpt(arrays, len(numbers) * self.spec.context, device)
        teacher = self.form.known(excerpt, self.spec.size)
        return SparseAnswer(teacher, self.spec.vocab_size, self.spec.temperature)


def _dtypes(spec: WrittenSpec) -> dict[str, str]:
    """The dtype of each file, by name."""
    form = load_form(spec.excerpt)
    dtypes = {"ids": f"<u{id_bytes(spec.vocab_size)}", "log_p": "<f2"}
    if form.counts:
        dtypes |= {"counts": f"<u{count_bytes(spec.size)}", "sizes": "<u2"}
    if form.scalar:
        dtypes |= {"scalars": "<f2"}
    return dtypes


def _arrays(excerpt: Excerpt, spec: WrittenSpec) -> dict[str, Array]:
    """The content of each file, without padding."""
    ids, counts, scalar = excerpt.ids, excerpt.counts, excerpt.scalar
    valid_NS = torch.ones_like(ids, dtype=torch.bool) if counts is None else counts > 0
    tensors = {"ids": ids[valid_NS], "log_p": excerpt.log_p[valid_NS], "sizes": valid_NS.sum(-1)}
    if counts is not None:
        tensors["counts"] = counts[valid_NS]
    if scalar is not None:
        tensors["scalars"] = scalar
    return {n: tensors[n].cpu().numpy().astype(dtype) for n, dtype in _dtypes(spec).items()}


def _excerpt(arrays: Mapping[str, Array], num_tokens: int, device: torch.device) -> Excerpt:
    """The excerpt in files, each token padded to the longest."""
    if "sizes" in arrays:
        valid_NS = np.arange(arrays["sizes"].max())[None, :] < arrays["sizes"][:, None]
    else:
        valid_NS = np.ones((num_tokens, len(arrays["ids"]) // num_tokens), dtype=np.bool_)

    def padded(name: str) -> Array:
        values = np.zeros(valid_NS.shape, dtype=arrays[name].dtype)
        values[valid_NS] = arrays[name]
        return values

    ids_NS = padded("ids")
    ids_NS = np.where(valid_NS, ids_NS, ids_NS[:, :1])
    return Excerpt(
        ids=torch.from_numpy(ids_NS.astype(np.int64)).to(device),
        log_p=_floats(padded("log_p"), device),
        counts=_floats(padded("counts"), device) if "counts" in arrays else None,
        scalar=_floats(arrays["scalars"], device) if "scalars" in arrays else None,
    )


def _floats(array: Array, device: torch.device) -> Tensor:
    return torch.from_numpy(array.astype(np.float32)).to(device)


def _seed(spec: WrittenSpec, number: int) -> int:
    text = f"{spec.key}/{number}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=7).digest(), "little")


def _difference(written: WrittenSpec, spec: WrittenSpec) -> str:
    """The first field that differs, in words."""
    fields, expected = dataclasses.asdict(written), dataclasses.asdict(spec)
    name = next(name for name in fields if fields[name] != expected[name])
    return f"{name} {fields[name]}, not {expected[name]}"
