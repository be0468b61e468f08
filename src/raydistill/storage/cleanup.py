"""Removal of drafts that a killed process left half-written in a storage.

`Store.making`, checkpoints and `write_text` write a draft beside its final path, under a name that
begins with a dot, and rename it when it is complete: so a draft never counts, and only takes room.
"""

import os
import re
import shutil
import time
from collections.abc import Iterator
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
    drafts = [path for path in _drafts(root) if time.time() - _last_written_s(path) > IDLE_S]
    if not drafts:
        return ""
    files = (file for path in drafts for file in (path, *path.rglob("*")) if file.is_file())
    size = sum(file.stat().st_size for file in files)
    for path in drafts:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return f"swept up {len(drafts)} half-written leftover(s) of killed runs, {size / 1e6:.1f} MB"


def _drafts(root: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(root):
        names = [name for name in (*folders, *files) if _DRAFT.fullmatch(name)]
        yield from (Path(parent, name) for name in names)
        ignored = (*names, *(_FOREIGN_FOLDERS if Path(parent) == root else ()))
        folders[:] = [name for name in folders if name not in ignored]


def _last_written_s(path: Path) -> float:
    """The time of the last write in a draft; now, if its writer has just finished it."""
    try:
        return max(entry.lstat().st_mtime for entry in (path, *path.rglob("*")))
    except FileNotFoundError:
        return time.time()
