"""The sweeps that there are: the project's files by name, and those among one's own parts."""

import functools
from pathlib import Path

from raydistill.core.errors import UsageError
from raydistill.core.parts import own_folder

PACKAGED_SWEEPS = Path(__file__).parents[1] / "sweeps"
_REPOSITORY_SWEEPS = Path(__file__).parents[3] / "sweeps"


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
    folders = (PACKAGED_SWEEPS, _REPOSITORY_SWEEPS)
    return file.resolve().parent in [folder.resolve() for folder in folders]


def _project_sweeps() -> dict[str, Path]:
    folder = PACKAGED_SWEEPS if PACKAGED_SWEEPS.is_dir() else _REPOSITORY_SWEEPS
    return {path.stem: path for path in sorted(folder.glob("*.py"))}
