"""Words of commands that are printed, as they hold on this machine and after this process."""

import re
from pathlib import Path

from raydistill.core.parts import own_folder
from raydistill.core.sweep_files import PACKAGED_SWEEPS, sweep_files

_SENT_WORKING_DIR = re.compile(r"/(?:[^\s,]*/)?_ray_pkg_[0-9a-f]+(/|(?=,|$))")


def sweep_command(name: str) -> list[str]:
    """The words that begin the command of one of the project's sweeps on this machine."""
    script = sweep_files().get(name, Path("sweeps", f"{name}.py"))
    if script.parent == PACKAGED_SWEEPS:
        return ["raydistill", "sweep", name]
    return ["python", str(script)]


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
