"""All that a sweep imports, yours too: the one module whose place and names stay.

from raydistill.api import B, Age, Scale, Sweep, TrialRequest, main
"""

from raydistill.cli.main import main
from raydistill.core.errors import UsageError
from raydistill.core.units import B, K, M
from raydistill.distillation.teacher_placement import DEFAULT_EXCERPT
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
    "main",
]
