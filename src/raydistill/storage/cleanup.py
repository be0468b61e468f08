"""Removal of drafts that a killed process left half-written in a storage.

`Store.making`, checkpoints and `write_text` write a draft beside its final path, under a name that
begins with a dot, and rename it when it is complete: so a draft never counts, and only takes room.
Its age is told by the clock that dates the storage's files: this machine's may go wrong.
"""

import os
import re
import shutil
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

IDLE_S = 3600.0  # without a write for so long, a draft has no writer

# SQLite puts files of its own beside a database that is being made.
_DRAFT = re.compile(r"\.(\S+\.|probe-)?[0-9a-f]{32}(-journal|-wal|-shm)?")
_FOREIGN_FOLDERS = ("mlartifacts", "ray")  # at the root, where other programs write


def remove_leftovers(root: Path) -> str:
    """Delete the drafts below `root` that nobody has written to for an hour.

    Returns:
        a line to show; empty if there were none.
    """
    drafts = idle_drafts(_drafts(root), root)
    if not drafts:
        return ""
    files = (file for path in drafts for file in (path, *path.rglob("*")) if file.is_file())
    size = sum(file.stat().st_size for file in files)
    remove_drafts(drafts)
    return f"swept up {len(drafts)} half-written leftover(s) of killed runs, {size / 1e6:.1f} MB"


def idle_drafts(drafts: Iterable[Path], folder: Path) -> list[Path]:
    """Those of the drafts in `folder` that nobody has written to for an hour."""
    drafts = list(drafts)
    if not drafts:
        return []
    now_s = file_server_time_s(folder)
    return [path for path in drafts if now_s - _last_written_s(path, now_s) > IDLE_S]


def remove_drafts(drafts: Iterable[Path]) -> None:
    """Delete files and folders, whether or not others delete them too."""
    for path in drafts:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def file_server_time_s(folder: Path) -> float:
    """The time by the clock that dates the files of a folder, which may be another machine's."""
    probe = folder / f".probe-{uuid.uuid4().hex}"
    try:
        probe.touch()
        return probe.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)


def _drafts(root: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(root):
        names = [name for name in (*folders, *files) if _DRAFT.fullmatch(name)]
        yield from (Path(parent, name) for name in names)
        ignored = (*names, *(_FOREIGN_FOLDERS if Path(parent) == root else ()))
        folders[:] = [name for name in folders if name not in ignored]


def _last_written_s(path: Path, now_s: float) -> float:
    """The time of the last write in a draft; now, if its writer has just finished it."""
    try:
        return max(entry.lstat().st_mtime for entry in (path, *path.rglob("*")))
    except FileNotFoundError:
        return now_s
