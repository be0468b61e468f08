"""What `raydistill doctor` says of one thing that it looked at."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    NOTE = "note"  # works, and could be better
    WRONG = "wrong"  # a sweep would fail


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found out about an area, and what helps."""

    level: Level
    what: str  # without secrets
    remedy: str = ""  # what to do about it, most often a command; empty if it is fine


def ok(what: str) -> Finding:
    """A finding that needs nothing.

    >>> ok("8 CPUs").remedy
    ''
    """
    return Finding(Level.OK, what)
