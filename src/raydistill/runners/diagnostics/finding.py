"""One thing that was looked at."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    NOTE = "note"
    """Works, and could be better."""
    WRONG = "wrong"
    """Something that a sweep would stumble over."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was seen of an area, and what helps.

    Attributes:
        level: how much it matters.
        what: in words, without secrets.
        remedy: what to do about it, most often a command; empty if it is fine.
    """

    level: Level
    what: str
    remedy: str = ""


def ok(what: str) -> Finding:
    """A finding that needs nothing.

    >>> ok("8 CPUs").remedy
    ''
    """
    return Finding(Level.OK, what)
