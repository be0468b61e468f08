"""Where a trial stands, as a value."""

from collections.abc import Mapping
from dataclasses import dataclass

from raydistill.spec import HeldoutPoint, Progress, TrialFailure, TrialResult, UnitScores

Documents = Mapping[str, UnitScores]


@dataclass(frozen=True, kw_only=True, slots=True)
class Unfinished:
    """A trial that is not trained or not measured yet: its curves so far."""

    curve: tuple[Progress, ...] = ()
    heldout_curve: tuple[HeldoutPoint, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """A trial that is trained and measured, with every score split by document."""

    result: TrialResult
    before: Documents
    after: Documents


Outcome = Finished | Unfinished | TrialFailure
