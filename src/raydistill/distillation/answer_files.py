"""A teacher's answers in files: some windows of a token file, whole, memory-mapped.

    written.json   what was written: by which teacher, over which tokens, and how
    windows.bin    the windows' numbers, ascending, int64
    ids.bin        of every token the ids taken, 16 bits where they fit, else 32
    log_p.bin      the teacher's log-probability of each, float16
    counts.bin     how often each was drawn, and sizes.bin, how many ids each token has: only
                   where tokens differ in that
    scalars.bin    one float16 a token, where the excerpt has one
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
from raydistill.distillation.teacher_placement import MOST_IDS, count_bytes, id_bytes
from raydistill.specs.part_identity import own_parts
from raydistill.storage.manifest import verify

DESCRIPTION = "written.json"

FORMAT_VERSION = 1

PER_TOKEN = ("sizes", "scalars")

CPU = torch.device("cpu")

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class WrittenSpec:
    """Everything that decides what stands in the files, but for which windows."""

    teacher_sha256: str  # of its weights
    corpus_sha256: str
    tokenizer_sha256: str
    context: int
    vocab_size: int  # ids that teacher and student share
    excerpt: str
    size: int  # ids, or draws, a token
    temperature: float = 1.0
    precision: str = "float32"  # that the teacher computes in
    draw: int = 0  # where ids are drawn, another number draws others
    format: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        """Refuse what the files cannot hold.

        Raises:
            UsageError: if there is no such excerpt, or its size is out of range.
        """
        load_form(self.excerpt)
        if not 1 <= self.size <= MOST_IDS:
            raise UsageError(
                f"an excerpt of {self.size} ids a token: from 1 to {MOST_IDS:,}, the vocabulary "
                f"has {self.vocab_size}"
            )

    @property
    def key(self) -> str:
        """Sixteen hex digits that name the folder."""
        return digest(dataclasses.asdict(self) | own_parts([(EXCERPT, self.excerpt)]))

    @property
    def window_bytes(self) -> int:
        """What a window takes on disk; at most, where tokens differ."""
        layout = load_form(self.excerpt).layout
        return layout.window_bytes(self.size, self.vocab_size, self.context)


class Writer:
    """Appends windows to a folder, in ascending order of their numbers."""

    def __init__(self, folder: Path, spec: WrittenSpec) -> None:
        self.folder, self.spec = folder, spec
        self.form = load_form(spec.excerpt)
        (folder / DESCRIPTION).write_text(to_json(spec), encoding="utf-8")

    def write(self, number: int, logits_TV: Tensor) -> None:
        """What the teacher says of one window; the draws depend on its number alone."""
        spec = self.spec
        scaled_TV = logits_TV[:, : spec.vocab_size].float() / spec.temperature
        rng = torch.Generator(device=logits_TV.device).manual_seed(_seed(spec, number))
        taken = self.form.take(scaled_TV.log_softmax(-1), spec.size, rng)
        self._append("windows", np.array([number], dtype="<i8"))
        for name, array in _arrays(taken, spec).items():
            self._append(name, array)

    def _append(self, name: str, array: Array) -> None:
        with (self.folder / f"{name}.bin").open("ab") as file:
            file.write(array.tobytes())


class Segment:
    """A folder that a `Writer` filled."""

    def __init__(self, folder: Path, spec: WrittenSpec) -> None:
        """Open it.

        Raises:
            DataError: if it was damaged, or written for something else.
        """
        verify(folder)
        found = from_json(WrittenSpec, (folder / DESCRIPTION).read_text(encoding="utf-8"))
        if found != spec:
            raise DataError(f"{folder} was written for {_difference(found, spec)}; delete it")
        self.spec = spec
        self.windows: list[int] = np.fromfile(folder / "windows.bin", dtype="<i8").tolist()
        self.files: dict[str, Array] = {
            name: np.memmap(folder / f"{name}.bin", dtype=kind, mode="r")
            for name, kind in _kinds(spec).items()
        }
        if "sizes" in self.files:
            sizes = self.files["sizes"].reshape(-1, spec.context).sum(axis=1, dtype=np.int64)
        else:
            sizes = np.full(len(self.windows), spec.context * min(spec.size, spec.vocab_size))
        self.starts: list[int] = [0, *np.cumsum(sizes).tolist()]

    def entries(self, name: str, row: int) -> Array:
        """What stands in a file of the window in that place."""
        context = self.spec.context
        if name in PER_TOKEN:
            return self.files[name][row * context : (row + 1) * context]
        return self.files[name][self.starts[row] : self.starts[row + 1]]


class WrittenTeacher:
    """Answers for all windows of some segments; a loss may ask it."""

    def __init__(self, spec: WrittenSpec, segments: Iterable[Segment]) -> None:
        self.spec = spec
        self.form = load_form(spec.excerpt)
        self.places = {n: (s, row) for s in segments for row, n in enumerate(s.windows)}

    def __call__(self, batch: Batch) -> SparseAnswer:
        """What the teacher says of the windows of a batch, on their device."""
        return self.answer(batch.numbers, batch.ids.device)

    def answer(self, numbers: Sequence[int], device: torch.device = CPU) -> SparseAnswer:
        """What the teacher says of these windows, in their order.

        Raises:
            LookupError: if one of them was not written.
        """
        missing = [number for number in numbers if number not in self.places]
        if missing:
            raise LookupError(f"the teacher's answers to window {missing[0]} were not written")
        places = [self.places[number] for number in numbers]
        found = {
            name: np.concatenate([segment.entries(name, row) for segment, row in places])
            for name in _kinds(self.spec)
        }
        excerpt = _excerpt(found, len(numbers) * self.spec.context, device)
        known = self.form.known(excerpt, self.spec.size)
        return SparseAnswer(known, self.spec.vocab_size, self.spec.temperature)


def _kinds(spec: WrittenSpec) -> dict[str, str]:
    """The files there are, and what they hold."""
    form = load_form(spec.excerpt)
    kinds = {"ids": f"<u{id_bytes(spec.vocab_size)}", "log_p": "<f2"}
    if form.counts:
        kinds |= {"counts": f"<u{count_bytes(spec.size)}", "sizes": "<u2"}
    if form.scalar:
        kinds |= {"scalars": "<f2"}
    return kinds


def _arrays(taken: Excerpt, spec: WrittenSpec) -> dict[str, Array]:
    """What goes into each file."""
    written_NS = torch.ones_like(taken.ids, dtype=torch.bool)
    found = {"ids": taken.ids, "log_p": taken.log_p}
    if taken.counts is not None:
        written_NS = taken.counts > 0
        found |= {"counts": taken.counts}
    found = {name: tensor[written_NS] for name, tensor in found.items()}
    found["sizes"] = written_NS.sum(-1)
    if taken.scalar is not None:
        found["scalars"] = taken.scalar
    return {name: found[name].cpu().numpy().astype(kind) for name, kind in _kinds(spec).items()}


def _excerpt(found: Mapping[str, Array], num_tokens: int, device: torch.device) -> Excerpt:
    """Back from the files, each token padded to the longest."""
    if "sizes" in found:
        taken_NS = np.arange(found["sizes"].max())[None, :] < found["sizes"][:, None]
    else:
        taken_NS = np.ones((num_tokens, len(found["ids"]) // num_tokens), dtype=np.bool_)

    def padded(name: str) -> Array:
        values = np.zeros(taken_NS.shape, dtype=found[name].dtype)
        values[taken_NS] = found[name]
        return values

    ids_NS = padded("ids")
    ids_NS = np.where(taken_NS, ids_NS, ids_NS[:, :1])
    return Excerpt(
        ids=torch.from_numpy(ids_NS.astype(np.int64)).to(device),
        log_p=torch.from_numpy(padded("log_p")).to(device).float(),
        counts=_floats(padded("counts"), device) if "counts" in found else None,
        scalar=_floats(found["scalars"], device) if "scalars" in found else None,
    )


def _floats(array: Array, device: torch.device) -> Tensor:
    return torch.from_numpy(array.astype(np.float32)).to(device)


def _seed(spec: WrittenSpec, number: int) -> int:
    text = f"{spec.key}/{number}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=7).digest(), "little")


def _difference(found: WrittenSpec, wanted: WrittenSpec) -> str:
    """The first field that differs, in words."""
    names = [field.name for field in dataclasses.fields(WrittenSpec)]
    name = next(name for name in names if getattr(found, name) != getattr(wanted, name))
    return f"{name} {getattr(found, name)}, not {getattr(wanted, name)}"
