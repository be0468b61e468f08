"""The sources that `--corpus` names, one or several with shares, and the files of each."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from raydistill.core.errors import DataError, UsageError
from raydistill.core.paths import resolve_path
from raydistill.core.text.redaction import without_tokens
from raydistill.data.documents import Document
from raydistill.data.sources import embedded, hub
from raydistill.data.sources.cleaning import TextCleaner
from raydistill.data.sources.jsonl import JsonlFile
from raydistill.data.sources.parquet import ParquetFile
from raydistill.data.sources.plain_text import TextFile, longest_piece
from raydistill.data.sources.pretokenized import is_tokenised, tokens_sha256
from raydistill.data.words import filtered_text
from raydistill.storage.manifest import sha256_of
from raydistill.storage.store import Store

SUFFIXES = (".txt", ".jsonl", ".parquet")
KINDS = ".txt, .jsonl or .parquet file"
_NAMED = 5  # files in a note


@dataclass(frozen=True, slots=True)
class Source:
    """A text of a corpus, and its share of the training tokens, 0 to 1."""

    text: str
    share: float = 1.0

    @property
    def name(self) -> str:
        """The name for people: the last part of a path."""
        return without_tokens(self.text if _is_named(self.text) else Path(self.text).name)


class File(Protocol):
    """A file of text, read from beginning to end."""

    @property
    def num_bytes(self) -> int:
        """About its size, in proportion to which it takes time."""
        ...

    def documents(self, cleaner: TextCleaner) -> Iterator[Document]:
        """The documents in order, cleaned by `cleaner`."""
        ...


def sources_of(corpus: str) -> tuple[Source, ...]:
    """The sources that a `--corpus` names.

    Raises:
        UsageError: if a share is missing or not above 0, or a source is named twice.

    >>> [(source.text, source.share) for source in sources_of("a.jsonl=7,notes.txt=3")]
    [('a.jsonl', 0.7), ('notes.txt', 0.3)]
    """
    if "=" not in corpus or resolve_path(corpus).exists():
        return (Source(corpus),)
    pairs = [item.rpartition("=") for item in corpus.split(",")]
    for text, _, share in pairs:
        if not (text and re.fullmatch(r"\d{1,9}(\.\d{1,9})?", share) and float(share) > 0):
            raise UsageError(
                f"--corpus {corpus!r}: write each text with its share of the tokens, a number "
                "above 0, such as a.jsonl=0.7,notes.txt=0.3"
            )
    if len({text for text, _, _ in pairs}) < len(pairs):
        raise UsageError(f"--corpus {corpus!r} names a text twice: give it one share")
    total = sum(float(share) for _, _, share in pairs)
    return tuple(Source(text, float(share) / total) for text, _, share in pairs)


def texts_of(corpus: str, heldout: str) -> list[str]:
    """The texts that a corpus is made of, with the one that is measured on if it is apart."""
    return [*(source.text for source in sources_of(corpus)), *filter(None, [heldout])]


def name_of(corpus: str) -> str:
    """The name of a corpus for people: without the folders of its files."""
    sources = sources_of(corpus)
    if len(sources) == 1:
        return sources[0].name
    return ",".join(f"{source.name}={source.share:g}" for source in sources)


def absolute(corpus: str) -> str:
    """`corpus` with absolute paths of all files and folders that exist."""
    sources = sources_of(corpus)
    texts = [_absolute(source.text) for source in sources]
    if len(sources) == 1:
        return texts[0]
    return ",".join(f"{t}={s.share:.9f}" for t, s in zip(texts, sources, strict=True))


def _absolute(text: str) -> str:
    path = resolve_path(text)
    return str(path.absolute()) if text and not _is_named(text) and path.exists() else text


def _is_named(text: str) -> bool:
    return text in embedded.NAMES or hub.is_id(text)


def files_of(text: str, field: str, store: Store) -> tuple[File, ...]:
    """The files of a source; a data set of the hub is downloaded into the store first.

    Raises:
        DataError: if there is no such text.
    """
    if hub.is_id(text):
        return (JsonlFile(hub.fetch(text, field, store), text, hub.FIELD),)
    return local_files(text, field)


def local_files(text: str, field: str) -> tuple[File, ...]:
    """The files of a source that is not at the hub.

    Raises:
        DataError: if there is no such text.
    """
    if text in embedded.NAMES:
        return (embedded.Chapters(text),)
    root = existing(text)
    base = root if root.is_dir() else root.parent
    return tuple(_file(path, str(path.relative_to(base)), field) for path in paths_of(root))


def _file(path: Path, name: str, field: str) -> File:
    if path.suffix == ".txt":
        return TextFile(path, name)
    return (JsonlFile if path.suffix == ".jsonl" else ParquetFile)(path, name, field)


def cut_to_hold_out(files: tuple[File, ...]) -> tuple[File, ...]:
    """`files`, with shorter pieces if all are plain text, so that some can be held out."""
    texts = [file for file in files if isinstance(file, TextFile)]
    if len(texts) < len(files):
        return files
    longest = longest_piece([file.path for file in texts])
    return tuple(replace(file, longest=longest) for file in texts)


@dataclass(frozen=True, slots=True)
class FilteredFile:
    """A file of which the sentences are left that have `allowed` words alone."""

    file: File
    allowed: frozenset[str]

    @property
    def path(self) -> object:
        """What notes name it by."""
        return getattr(self.file, "path", self.file)

    @property
    def num_bytes(self) -> int:
        """The size of the file."""
        return self.file.num_bytes

    def documents(self, cleaner: TextCleaner) -> Iterator[Document]:
        """What is left of its documents; those of which nothing is are none."""
        for document in self.file.documents(cleaner):
            if text := filtered_text(document.text, self.allowed, cleaner.kept):
                yield replace(document, text=text)


def filtered(files: tuple[File, ...], allowed: frozenset[str] | None) -> tuple[File, ...]:
    """`files`, of whose text only what has `allowed` words is left; None allows all."""
    if allowed is None:
        return files
    return tuple(
        replace(file, allowed=allowed)
        if isinstance(file, embedded.Chapters)
        else FilteredFile(file, allowed)
        for file in files
    )


def fingerprint(text: str, field: str) -> list[object]:
    """The values that decide the documents of a source, known without reading documents."""
    if text in embedded.NAMES:
        return [embedded.installed_versions(), list(embedded.heldout_units())]
    if hub.is_id(text):
        return ["hub", text, field]
    root = existing(text)
    if is_tokenised(root):
        return ["tokens", tokens_sha256(root)]
    return [
        sha256_of(path) if path.suffix == ".txt" else f"{path.suffix} {field} {sha256_of(path)}"
        for path in paths_of(root)
    ]


def size_bytes(text: str) -> int:
    """Bytes of a source's files; 0 if unknown, or if it is not to be tokenised."""
    if _is_named(text) or is_tokenised(existing(text)):
        return 0
    return sum(path.stat().st_size for path in paths_of(existing(text)))


def paths_of(root: Path) -> list[Path]:
    """The text files at `root`, sorted.

    Raises:
        DataError: if there is none.
    """
    if root.is_file() and root.suffix not in SUFFIXES:
        raise DataError(f"{root} is not a {KINDS}")
    paths = [root] if root.is_file() else sorted(p for p in root.rglob("*") if p.is_file())
    files = [path for path in paths if path.suffix in SUFFIXES]
    if not files:
        raise DataError(f"no {KINDS} in {root.absolute()}")
    return files


def passed_over_notes(texts: Iterable[str]) -> list[str]:
    """A sentence on each folder of which files are not read: how many, and the first names."""
    notes = []
    for text in texts:
        root = resolve_path(text)
        if _is_named(text) or not root.is_dir() or is_tokenised(root):
            continue
        files = sorted(p.relative_to(root) for p in root.rglob("*") if p.is_file())
        visible = [f for f in files if not any(part.startswith(".") for part in f.parts)]
        if over := [str(file) for file in visible if file.suffix not in SUFFIXES]:
            names = ", ".join(over[:_NAMED]) + (", …" if len(over) > _NAMED else "")
            notes.append(f"{root.name}: {len(over)} files passed over, no {KINDS}: {names}")
    return notes


def existing(text: str) -> Path:
    """The path of an existing file or folder.

    Raises:
        DataError: if there is none; the message lists the kinds of sources.
    """
    path = resolve_path(text)
    if path.exists():
        return path
    if path.is_absolute() or text.startswith((".", "~")) or path.suffix in SUFFIXES:
        raise DataError(f"no corpus at {path.absolute()}: it must be a {KINDS} or a folder of them")
    raise DataError(
        f"text and tokenizer of {text!r} are not local; there are {', '.join(embedded.NAMES)}, a "
        f"path to a {KINDS}, or a data set of the hub as OWNER/NAME"
    )
