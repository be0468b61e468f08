"""Folders and files as people write them."""

import uuid
from pathlib import Path

from raydistill.core.errors import SetupError, UsageError


def resolve_path(text: str | Path) -> Path:
    """The path that is meant, `~` and `~ada` being homes.

    Raises:
        UsageError: if nobody of that name has one.

    >>> place("~nobody-of-this-name/x")
    Traceback (most recent call last):
    raydistill.core.errors.UsageError: '~nobody-of-this-name/x': nobody here has that home
    """
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise UsageError(f"{str(text)!r}: nobody here has that home") from None


def folder_to_fill(text: str | Path) -> Path:
    """The folder that is meant, absolute; it is made and written to before any work.

    Raises:
        UsageError: as `resolve_path`.
        SetupError: if it cannot be written.
    """
    folder = resolve_path(text).absolute()
    check_writable(folder, f"{folder} cannot be filled")
    return folder


def check_writable(folder: Path, what: str) -> None:
    """Make a folder and write into it.

    Args:
        folder: absolute.
        what: cannot be done otherwise; the message begins with it.

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
