"""Folders and files as people write them."""

import functools
import re
import uuid
from pathlib import Path

from raydistill.core.errors import SetupError, UsageError
from raydistill.core.parts import own_folder

_PACKAGED_SWEEPS = Path(__file__).parents[1] / "sweeps"
_REPOSITORY_SWEEPS = Path(__file__).parents[3] / "sweeps"
_SENT_WORKING_DIR = re.compile(r"/(?:[^\s,]*/)?_ray_pkg_[0-9a-f]+(/|(?=,|$))")


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


def sweep_files() -> dict[str, Path]:
    """The files of the project's sweeps by name, and of those among one's own parts.

    The project's are one folder, `sweeps/` of the repository; a wheel holds it as
    `raydistill/sweeps/`.

    Raises:
        UsageError: if one of one's own has the name of another.
    """
    files = _project_sweeps()
    own = own_folder()
    for path in sorted(own.glob("sweeps/[!_]*.py")) if own else ():
        if path.stem in files:
            raise UsageError(f"{path}: there is another sweep {path.stem!r}, rename yours")
        files[path.stem] = path
    return files


def check_sweep_name(name: str, file: Path) -> None:
    """Refuse a sweep in a file of one's own that has the name of one of the project's.

    Their cells would be one sweep in a storage, its tables and its reports.

    Raises:
        UsageError: if it has.
    """
    ours = _project_sweeps().get(name)
    if ours and file.is_file() and ours.read_bytes() != file.read_bytes():
        raise UsageError(f"{file}: there is another sweep {name!r}: give yours another `name`")


@functools.cache
def is_project_sweep(file: Path) -> bool:
    """Whether a file is one of the project's sweeps."""
    folders = (_PACKAGED_SWEEPS, _REPOSITORY_SWEEPS)
    return file.resolve().parent in [folder.resolve() for folder in folders]


def sweep_command(name: str) -> list[str]:
    """The words that begin the command of one of the project's sweeps on this machine."""
    script = sweep_files().get(name, Path("sweeps", f"{name}.py"))
    if script.parent == _PACKAGED_SWEEPS:
        return ["raydistill", "sweep", name]
    return ["python", str(script)]


def _project_sweeps() -> dict[str, Path]:
    folder = _PACKAGED_SWEEPS if _PACKAGED_SWEEPS.is_dir() else _REPOSITORY_SWEEPS
    return {path.stem: path for path in sorted(folder.glob("*.py"))}


def parts_flag() -> tuple[str, ...]:
    """The words of a printed command that name the folder of one's own parts, if any."""
    own = own_folder()
    return ("--parts", as_submitted(str(own))) if own else ()


def as_submitted(word: str) -> str:
    """A word of a command, with paths in the folder that Ray brought a job as they were submitted.

    Ray's copy of the folder of `--working-dir` goes with its session.

    >>> as_submitted("/tmp/ray/session_1/_ray_pkg_0a1f/my/mine.py"), as_submitted("/data/x")
    ('my/mine.py', '/data/x')
    """
    return _SENT_WORKING_DIR.sub(lambda match: "" if match[1] else ".", word)


def is_sent(path: str) -> bool:
    """Whether a path is in the folder that Ray brought a job by `--working-dir`."""
    return _SENT_WORKING_DIR.search(path) is not None
