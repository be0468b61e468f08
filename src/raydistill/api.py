"""All that a sweep imports, yours too: the one module whose place and names stay.

from raydistill.api import B, Age, Scale, Sweep, TrialRequest, main
"""

from pathlib import Path
from typing import Any, Literal

from raydistill.cli.main import main
from raydistill.core.errors import UsageError
from raydistill.core.units import B, K, M
from raydistill.distillation.teacher_placement import DEFAULT_EXCERPT
from raydistill.planning.axes.change import POINT, changed
from raydistill.planning.cell import Value
from raydistill.planning.search_settings import FUNNEL, GRID, RANDOM, TPE, SearchSettings
from raydistill.planning.sweep import Axes, Sweep
from raydistill.specs.locations import LOCATIONS, NONE, RANDOM_LOCATIONS
from raydistill.specs.scale import Scale
from raydistill.specs.trial import (
    FROM_BASE,
    SCRATCH,
    SCRATCH_WITH_AGE,
    TEACHER_FREE,
    Age,
    TrialRequest,
)

__all__ = [
    "Age",
    "Axes",
    "B",
    "DEFAULT_EXCERPT",
    "FROM_BASE",
    "FUNNEL",
    "GRID",
    "K",
    "LOCATIONS",
    "M",
    "NONE",
    "POINT",
    "RANDOM",
    "RANDOM_LOCATIONS",
    "SCRATCH",
    "SCRATCH_WITH_AGE",
    "Scale",
    "SearchSettings",
    "Sweep",
    "TEACHER_FREE",
    "TPE",
    "TrialRequest",
    "UsageError",
    "Value",
    "changed",
    "main",
    "results",
]


def results(
    storage: str | Path,
    sweep: str | None = None,
    *,
    form: Literal["pandas", "records"] | None = None,
) -> Any:
    """What sweeps found, as a table: a row for every cell on every data seed, failed ones too.

    `docs/results.md` says what each column is. Reads alone; imports no torch, Ray or MLflow.

    Args:
        storage: a folder, or the address of an object store (`s3://…`, `gs://…`).
        sweep: its name; None means every sweep of the storage.
        form: a pandas `DataFrame`, or a list of dicts with None where there is no value; by
            default pandas where it is installed.

    Raises:
        UsageError: if no sweep, or none of that name, was run in the storage.
        SetupError: if the storage cannot be read, or pandas is asked for and not installed.
    """
    from raydistill.reports.sources.results import read_results  # noqa: PLC0415  (numpy)

    return read_results(storage, sweep, form)
