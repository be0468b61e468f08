"""How much `ray job submit --working-dir .` would upload, counted by Ray's own rules."""

import contextlib
import os
from pathlib import Path

from ray._private.ray_constants import (
    DASHBOARD_CLIENT_MAX_SIZE,
    RAY_RUNTIME_ENV_IGNORE_GITIGNORE,
    get_runtime_env_default_excludes,
)
from ray._private.runtime_env import packaging

from raydistill.runners.diagnostics.finding import Finding, Level, ok

LARGEST_SHOWN = 3


class _TooMuch(Exception):  # noqa: N818  (the end of a walk, no error)
    pass


def diagnose_upload(folder: Path) -> Finding:
    """The size of what is not ignored below `folder`, beside Ray's limit."""
    limit = min(
        packaging.GCS_STORAGE_MAX_SIZE, DASHBOARD_CLIENT_MAX_SIZE
    )  # the latter is the jobs API's
    sizes = _uploaded(folder, limit)
    total = sum(sizes.values())
    summary = f"ray job submit --working-dir . uploads {len(sizes)} files, {total / 2**20:.1f} MiB"
    if total < limit:
        return ok(f"{summary} of at most {limit / 2**20:.0f}")
    largest = sorted(sizes, key=lambda path: sizes[path], reverse=True)[:LARGEST_SHOWN]
    names = ", ".join(f"{p.relative_to(folder)} ({sizes[p] / 2**20:.0f} MiB)" for p in largest)
    what = f"more than {limit / 2**20:.0f} MiB would be uploaded, which Ray refuses: {names}"
    return Finding(Level.WRONG, what, "name them in .rayignore, or keep them elsewhere")


def _uploaded(folder: Path, limit: int) -> dict[Path, int]:
    """The size of every file, until they are more than `limit` together."""
    sizes: dict[Path, int] = {}
    room_bytes = limit

    def count(path: Path) -> None:
        nonlocal room_bytes
        if path.is_file():
            sizes[path] = path.stat().st_size
            room_bytes -= sizes[path]
            if room_bytes < 0:
                raise _TooMuch

    excludes = [packaging._get_excludes(folder, get_runtime_env_default_excludes())]
    gitignore = os.environ.get(RAY_RUNTIME_ENV_IGNORE_GITIGNORE, "0") != "1"
    with contextlib.suppress(_TooMuch):
        packaging._dir_travel(folder, excludes, count, gitignore, _Silent())
    return sizes


class _Silent:
    """A logger that drops what Ray logs on the way."""

    def info(self, text: str) -> None:
        """Nothing."""

    def error(self, text: str) -> None:
        """Nothing."""
