"""Folders and files as people write them."""

import uuid
from pathlib import Path

from raydistill.core.errors import SetupError, UsageError


def resolve_path(text: str | Path) -> Path:
    """`text` as a path, with `~` and `~ada` expanded.

    Raises:
        UsageError: if there is no such home.

    >>> resolve_path("~nobody-of-this-name/x")
    Traceback (most recent call last):
    raydistill.core.errors.UsageError: '~nobody-of-this-name/x': nobody here has that home
    """
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise UsageError(f"{str(text)!r}: nobody here has that home") from None


def check_writable(folder: Path, what: str) -> None:
    """Make a folder, and check that it can be written.

    Args:
        folder: absolute.
        what: begins the message, such as "/data cannot be filled".

    Raises:
        SetupError: if that fails.
    """
    probe = folder / f".probe-{uuid.uuid4().hex}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise SetupError(f"{what}: {error.strerror}") from error
