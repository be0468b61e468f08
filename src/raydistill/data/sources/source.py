"""What `--corpus` names: one source of text or several with shares, and the files of each."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from raydistill.core.errors import DataError, UsageError
from raydistill.core.paths import resolve_path
from raydistill.data.documents import Document
from raydistill.data.sources import embedded, hub
from raydistill.data.sources.cleaning import TextCleaner
from raydistill.data.sources.jsonl import JsonlFile
from raydistill.data.sources.parquet import ParquetFile
from raydistill.data.sources.plain_text import TextFile, longest_piece
from raydistill.data.sources.pretokenized import is_tokenised, tokens_sha256
from raydistill.storage.manifest import sha256_of
from raydistill.storage.store import Store

SUFFIXES = (".txt", ".jsonl", ".parquet")

KINDS = ".txt, .jsonl or .parquet file"


@dataclass(frozen=True, slots=True)
class Source:
    """A text of a corpus, and its share of the training tokens, 0 to 1."""

    text: str
    share: float = 1.0

    @property
    def name(self) -> str:
        """What people call it: a path's last part."""
        return self.text if _is_named(self.text) else Path(self.text).name


class File(Protocol):
    """Text that is read from its beginning to its end."""

    def documents(self, mended: TextCleaner) -> Iterator[Document]:
        """The documents in order; what had to be mended is counted."""
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


def name_of(corpus: str) -> str:
    """A corpus as people call it: without the folders that its files lie in."""
    sources = sources_of(corpus)
    if len(sources) == 1:
        return sources[0].name
    return ",".join(f"{source.name}={source.share:g}" for source in sources)


def absolute(corpus: str) -> str:
    """`corpus` with the absolute path of every file and folder that is there."""
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
    """The files of a source; a data set of the hub is fetched into the store first.

    Raises:
        DataError: if there is no such text.
    """
    if hub.is_id(text):
        return (JsonlFile(hub.fetch(text, field, store), text, hub.FIELD),)
    return local_files(text, field)


def local_files(text: str, field: str) -> tuple[File, ...]:
    """The files of a source that is here.

    Raises:
        DataError: if it is not.
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
    """Files of plain text alone in pieces short enough that some can be held out."""
    texts = [file for file in files if isinstance(file, TextFile)]
    if len(texts) < len(files):
        return files
    longest = longest_piece([file.path for file in texts])
    return tuple(replace(file, longest=longest) for file in texts)


def fingerprint(text: str, field: str) -> list[object]:
    """What decides the documents of a source, known without reading them."""
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
    """Bytes of a source's files; 0 where that is not known, or of no matter."""
    if _is_named(text) or is_tokenised(existing(text)):
        return 0
    return sum(path.stat().st_size for path in paths_of(existing(text)))


def paths_of(root: Path) -> list[Path]:
    """The files of text at `root`, sorted.

    Raises:
        DataError: if there is none.
    """
    if root.is_file() and root.suffix not in SUFFIXES:
        raise DataError(f"{root} is not a {KINDS}")
    found = [root] if root.is_file() else sorted(p for p in root.rglob("*") if p.is_file())
    files = [path for path in found if path.suffix in SUFFIXES]
    if not files:
        raise DataError(f"no {KINDS} in {root.absolute()}")
    return files


def existing(text: str) -> Path:
    """The file or folder of that name.

    Raises:
        DataError: saying what was looked for, and what there is.
    """
    path = resolve_path(text)
    if path.exists():
        return path
    looks_like_a_path = path.is_absolute() or text.startswith((".", "~"))
    if looks_like_a_path or path.suffix in SUFFIXES:
        raise DataError(f"no corpus at {path.absolute()}: it must be a {KINDS} or a folder of them")
    raise DataError(
        f"text and tokenizer of {text!r} are not local; there are {', '.join(embedded.NAMES)}, a "
        f"path to a {KINDS}, or a data set of the hub as OWNER/NAME"
    )
