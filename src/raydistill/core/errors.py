"""Errors that a user can mend: a one-line message, and the exit code that goes with it.

Exit codes: 1 when trials failed, 2 for usage and configuration, 3 for data and checkpoints,
4 for the environment (cluster, storage, tracking server).
"""

import difflib
import traceback
from collections.abc import Iterable


class RaydistillError(Exception):
    """A mistake that the user can mend; the message is the whole explanation."""

    exit_code = 1


class UsageError(RaydistillError):
    """A flag, a name or a number that is not allowed."""

    exit_code = 2


class OwnCodeError(UsageError):
    """An error in a file of the user's own, with its file and line; trying again does not help."""


class DataError(RaydistillError):
    """A corpus, a tokenizer or a checkpoint that cannot be used."""

    exit_code = 3


class SetupError(RaydistillError):
    """A cluster, a storage or a tracking server that is not as it must be."""

    exit_code = 4


def error_in(file: str, error: BaseException, remark: str = "") -> UsageError:
    """The error that code of one's own in `file` ended with: one line, with the file and its line.

    Args:
        file: as its code objects name it.
        error: with the traceback that it was caught with.
        remark: what the code was doing, behind the message.
    """
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename == file] or frames
    file, line = (own[-1].filename, own[-1].lineno) if own else (file, 0)
    message = str(error) or "no message"
    if isinstance(error, SyntaxError) and error.filename:
        file, line, message = error.filename, error.lineno, error.msg
    kind = "" if isinstance(error, RaydistillError) else f"{type(error).__name__}: "
    return UsageError(f"{file}:{line}: {kind}{message}{remark}")


def unknown(kind: str, name: str, names: Iterable[str]) -> str:
    """The message for an unknown name: the nearest name, and all there are.

    >>> unknown("location", "midle", ["input", "middle"])
    "no location 'midle'. Did you mean 'middle'? There are: input, middle"
    """
    known = sorted(names)
    near = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"no {kind} {name!r}.{hint} There are: {', '.join(known)}"
