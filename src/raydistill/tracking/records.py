"""What is shown in MLflow, as plain values: a sweep, its bases and its cells."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from raydistill.planning.cell import Value
from raydistill.specs.results import NoControl, Outcome, Scores, UnitScores
from raydistill.specs.trial import TrialSpec

Role = Literal["cell", "taught", "control", "reference", "added"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackedCell:
    """One point of a sweep: what was requested, what was run, and its outcome."""

    values: Mapping[
        str, Value
    ]  # as requested: age, location, count, gap, ... in the paper's tokens
    as_run: Mapping[str, Value]  # age_tokens, gap_tokens, ... at this scale
    role: Role
    spec: TrialSpec
    layer_map: str  # one box a layer, as the plan prints it
    outcome: Outcome
    control: Scores | NoControl = field(default_factory=NoControl)
    figures: Mapping[str, float] = field(default_factory=dict)  # more metrics, such as utilisation
    record: str = ""  # JSON that a report is made from; empty until the cell has ended


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackedBase:
    """A base, measured as it is loaded: the reference of every drop."""

    values: Mapping[str, Value]  # its age, as requested
    as_run: Mapping[str, Value]
    layer_map: str
    scores: Scores
    documents: Mapping[str, UnitScores]
    probes: Mapping[str, UnitScores] = field(default_factory=dict)
    record: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackedSweep:
    """A sweep as it is now; syncing an equal one again writes nothing."""

    name: str
    question: str
    scale: str
    axes: tuple[str, ...]  # the names that vary
    command: str
    owner: str
    running: bool  # whether trials may still come
    complete: bool = True  # whether no cell is missing that it would have trained
    tasks_averaged: tuple[str, ...]  # that every downstream mean is over, of cells and bases
    environment: Mapping[str, str]  # git state and versions: `driver.environment()`
    bases: tuple[TrackedBase, ...]
    cells: tuple[TrackedCell, ...]
    files: Mapping[str, str]  # tables by file name; `table.md` is shown on the sweep's page
