"""Errors that a user can mend: a one-line message, and the exit code that goes with it.

Exit codes: 1 when trials failed, 2 for usage and configuration, 3 for data and checkpoints,
4 for the environment (cluster, storage, tracking server).
"""

import difflib
from collections.abc import Iterable


class RaydistillError(Exception):
    """A mistake that the user can mend; the message is the whole explanation."""

    exit_code = 1


class UsageError(RaydistillError):
    """A flag, a name or a number that is not allowed."""

    exit_code = 2


class DataError(RaydistillError):
    """A corpus, a tokenizer or a checkpoint that cannot be used."""

    exit_code = 3


class SetupError(RaydistillError):
    """A cluster, a storage or a tracking server that is not as it must be."""

    exit_code = 4


def unknown(kind: str, name: str, names: Iterable[str]) -> str:
    """The message for an unknown name: the nearest name, and all there are.

    >>> unknown("location", "midle", ["input", "middle"])
    "no location 'midle'. Did you mean 'middle'? There are: input, middle"
    """
    known = sorted(names)
    near = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"no {kind} {name!r}.{hint} There are: {', '.join(known)}"
