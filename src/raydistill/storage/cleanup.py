"""What a killed process left half-written in a storage: drafts that nobody fills any more.

`Store.making`, checkpoints and `write_text` write beside the place of what they make, under a name
that begins with a dot, and rename what is whole: so a draft never counts, and only takes room.
"""

import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

IDLE_S = 3600.0
"""A draft in which nothing was written for so long has no writer."""

# SQLite puts files of its own beside a database that is being made.
_DRAFT = re.compile(r"\.(\S+\.|probe-)?[0-9a-f]{32}(-journal|-wal|-shm)?")

_OF_OTHERS = ("mlartifacts", "ray")
"""Folders at the root where others write."""


def remove_leftovers(root: Path) -> str:
    """Delete the drafts below `root` that nobody has written to for an hour.

    Returns:
        a line to show; empty if there were none.
    """
    found = [path for path in _drafts(root) if time.time() - _last_written_s(path) > IDLE_S]
    size = sum(file.stat().st_size for path in found for file in _files(path))
    for path in found:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    if not found:
        return ""
    return f"swept up {len(found)} half-written leftover(s) of killed runs, {size / 1e6:.1f} MB"


def _drafts(root: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        here = Path(folder)
        drafts = [name for name in (*folders, *files) if _DRAFT.fullmatch(name)]
        yield from (here / name for name in drafts)
        left_out = (*drafts, *(_OF_OTHERS if here == root else ()))
        folders[:] = [name for name in folders if name not in left_out]


def _files(path: Path) -> Iterator[Path]:
    return (each for each in (path, *path.rglob("*")) if each.is_file())


def _last_written_s(path: Path) -> float:
    """When something in it was last written; now, if its writer is just done with it."""
    try:
        return max(each.lstat().st_mtime for each in (path, *path.rglob("*")))
    except FileNotFoundError:
        return time.time()
