"""Folders and files as people write them."""

from pathlib import Path

from raydistill.errors import SetupError, UsageError


def place(text: str | Path) -> Path:
    """The path that is meant, `~` and `~ada` being homes.

    Raises:
        UsageError: if nobody of that name has one.

    >>> place("~nobody-of-this-name/x")
    Traceback (most recent call last):
    raydistill.errors.UsageError: '~nobody-of-this-name/x': nobody here has that home
    """
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise UsageError(f"{str(text)!r}: nobody here has that home") from None


def folder_to_fill(text: str | Path) -> Path:
    """The folder that is meant, absolute; it is made, before anything is done that fills it.

    Raises:
        UsageError: as `place`.
        SetupError: if no folder can be there.
    """
    folder = place(text).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(f"{folder} cannot be a folder: {error.strerror}") from error
    return folder
