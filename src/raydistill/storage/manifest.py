"""Manifests: every file of a folder with its size and sha256; and atomic writes.

A manifest is written last: a folder with one is complete, and a folder without one does not count.
Neither safetensors nor torch notices a flipped bit; the checksum does.
"""

import hashlib
import json
import os
import re
import uuid
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from raydistill.core.errors import DataError
from raydistill.core.progress import streamed

MANIFEST = "manifest.json"
SCHEMA = 1
_READ_BYTES = 1 << 20


def sha256_of(path: Path) -> str:
    """The sha256 of a file, in hex."""
    hashed = hashlib.sha256()
    with path.open("rb") as file:
        blocks = iter(partial(file.read, _READ_BYTES), b"")
        total = path.stat().st_size
        for block in streamed(blocks, "hashing", "bytes", total, len, aside=True):
            hashed.update(block)
    return hashed.hexdigest()


def write_manifest(folder: Path, sums: Mapping[str, str] | None = None) -> None:
    """Write the manifest of `folder`, once all its files are on disk.

    Args:
        folder: with every file of it.
        sums: the sha256 of those files, by name, that need not be read for it.
    """
    known = sums or {}
    files = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            os.fsync(file.fileno())
        if path.name != MANIFEST:
            name = str(path.relative_to(folder))
            sha256 = known.get(name) or sha256_of(path)
            files[name] = {"bytes": path.stat().st_size, "sha256": sha256}
    write_text(folder / MANIFEST, json.dumps({"schema": SCHEMA, "files": files}, indent=1))


class NewerError(DataError):
    """A folder that a later version of this package wrote."""


def is_whole(folder: Path) -> bool:
    """Whether `folder` is complete; its checksums are not verified."""
    return (folder / MANIFEST).is_file()


def steps_of(checkpoints: Path) -> list[int]:
    """The steps of the complete checkpoints in a folder, newest first."""
    folders = [p for p in checkpoints.glob("step-*") if re.fullmatch(r"step-\d+", p.name)]
    return sorted((int(p.name.removeprefix("step-")) for p in folders if is_whole(p)), reverse=True)


def verify(folder: Path) -> None:
    """Check every file against the manifest.

    Raises:
        DataError: if the manifest is missing, of a newer schema (`NewerError`), or a file differs.
    """
    for name, entry in files_of(folder).items():
        file = folder / name
        if not file.is_file():
            raise DataError(f"{file} is missing ({entry['bytes']} bytes in the manifest)")
        if file.stat().st_size != entry["bytes"]:
            raise DataError(f"{file} has {file.stat().st_size} bytes, not {entry['bytes']}")
        if sha256_of(file) != entry["sha256"]:
            raise DataError(f"{file} does not have the sha256 of its manifest: {entry['sha256']}")


def files_of(folder: Path) -> dict[str, dict[str, Any]]:
    """The size and sha256 of every file in the manifest of a folder, by its name there.

    Raises:
        DataError: if the manifest is missing, of a newer schema (`NewerError`), damaged, or names a
            file that is elsewhere.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise DataError(f"{folder} has no {MANIFEST}: it was not finished, or is not a checkpoint")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        schema = int(manifest["schema"])
        entries = {
            str(name): {"bytes": int(entry["bytes"]), "sha256": str(entry["sha256"])}
            for name, entry in manifest["files"].items()
        }
    except (ArithmeticError, AttributeError, KeyError, RecursionError, TypeError, ValueError):
        raise DataError(f"{path} is damaged") from None
    if schema > SCHEMA:
        raise NewerError(f"{path.parent} was written by schema {schema}, this reads {SCHEMA}")
    for name in entries:
        if Path(name).is_absolute() or ".." in Path(name).parts or (folder / name).is_symlink():
            raise DataError(f"{path} names {name}, which is not in its folder")
    return entries


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically, as UTF-8."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically: a reader sees all of it or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:  # on a full disk, what could be written makes room again
        draft.unlink(missing_ok=True)
        raise


def write_new(path: Path, text: str) -> None:
    """Write `text` to `path` unless it exists; of several writers at once, the first one wins.

    On a file system without hard links, the last one does.
    """
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    write_text(draft, text)
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        pass
    except OSError:
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
