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


def sweep_script(name: str) -> str:
    """The script of one of the project's sweeps, for a command: absolute where there is one."""
    script = Path(__file__).parents[3] / "sweeps" / f"{name}.py"
    return str(script) if script.is_file() else f"sweeps/{name}.py"
