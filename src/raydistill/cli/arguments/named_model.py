"""The model that a command names: a folder, a hub id, or a base of a scale (`laptop@80B`)."""

from dataclasses import dataclass
from pathlib import Path

from raydistill.core.errors import DataError, UsageError
from raydistill.core.paths import resolve_path
from raydistill.core.units import format_age
from raydistill.data.known_corpora import corpus_id
from raydistill.data.tokenizer import tokenizer_file
from raydistill.models.decoder import Decoder
from raydistill.models.families.hub import HubDecoder
from raydistill.models.huggingface.checkpoint import (
    DEFAULT_REVISION,
    HubCheckpoint,
    read_checkpoint,
)
from raydistill.models.huggingface.loading import load_pretrained
from raydistill.models.weights import load_weights
from raydistill.planning.artifacts import base_command, find_bases
from raydistill.planning.cell import base_named
from raydistill.specs.corpus import EMBEDDED
from raydistill.specs.scale import is_scale
from raydistill.storage.bundled import shipped_bases
from raydistill.storage.store import Store
from raydistill.training.bases import base_folder


@dataclass(frozen=True, kw_only=True, slots=True)
class NamedModel:
    """A model with all of its layers, and the text and tokenizer that go with it."""

    name: str  # as the command has it; a scale's with its age
    flags: tuple[str, ...]  # that name it to a sweep, from anywhere
    model: Decoder  # in evaluation mode
    corpus: str  # its text, unless a flag names another
    tokenizer: Path | None  # None: the corpus' own


def open_model(name: str, revision: str, store: Store) -> NamedModel:
    """The model of that name, on the CPU.

    Raises:
        UsageError: if a base of a scale has no such age.
        DataError: if there is no such model, or it cannot be read.
    """
    if is_scale(name.partition("@")[0]) and not Path(name).is_dir():
        if revision != DEFAULT_REVISION:
            raise UsageError(f"--revision goes with a checkpoint: of {name} write SCALE@AGE")
        return _open_base(name, store)
    checkpoint = read_checkpoint(name, revision)
    tokenizer_file(checkpoint.folder)  # refused before weights are read
    decoder = load_pretrained(checkpoint)
    decoder.eval()
    age = () if revision == DEFAULT_REVISION else ("--age", revision)
    return NamedModel(
        name=name,
        flags=("--model", _absolute(name), *age),
        model=decoder,
        corpus=EMBEDDED,
        tokenizer=checkpoint.folder,
    )


def open_checkpoint(name: str, revision: str) -> tuple[HubCheckpoint, HubDecoder]:
    """A Hugging Face checkpoint and its model with all layers, in evaluation mode.

    Raises:
        DataError: if it cannot be read.
    """
    checkpoint = read_checkpoint(name, revision)
    decoder = load_pretrained(checkpoint)
    decoder.eval()
    return checkpoint, decoder


def _absolute(name: str) -> str:
    path = resolve_path(name)
    return str(path.absolute()) if path.is_dir() else name


def _open_base(name: str, store: Store) -> NamedModel:
    """A base of a scale; without an age the oldest."""
    base = base_named(name)
    scale, age = base.scale, base.age
    bases = find_bases(scale, corpus_id(scale, store), store, (age,), shipped_bases(scale))
    if age not in bases:
        raise DataError(
            f"no base {base.name} in {store.root}; train it first: {base_command(scale, store)}"
        )
    student = load_weights(base_folder(bases[age].weights_sha256, store))
    student.model.eval()
    return NamedModel(
        name=base.name,
        flags=("--scale", scale.name, "--age", format_age(age)),
        model=student.model,
        corpus=scale.corpus,
        tokenizer=resolve_path(scale.tokenizer) if scale.tokenizer else None,
    )
