"""All that a sweep imports, and a part of your own: the one module whose place and names stay.

from raydistill.api import B, Age, Scale, Sweep, TrialRequest, main

What needs torch or numpy is imported when it is asked for: planning imports neither.
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from raydistill.cli.main import main
from raydistill.core.errors import UsageError
from raydistill.core.units import B, K, M
from raydistill.data.documents import Document, Passages
from raydistill.distillation.loss_name import has_teacher
from raydistill.distillation.teacher_placement import DEFAULT_EXCERPT
from raydistill.evaluation.probing.labelled_items import LabelledItem
from raydistill.evaluation.text_tasks import Item, sentences, shuffled_item
from raydistill.planning.axes.beside import fits_into_teacher
from raydistill.planning.axes.change import POINT, changed
from raydistill.planning.cell import Value
from raydistill.planning.search_settings import FUNNEL, GRID, RANDOM, TPE, SearchSettings
from raydistill.planning.sweep import Axes, Sweep
from raydistill.specs.locations import LOCATIONS, NONE, RANDOM_LOCATIONS
from raydistill.specs.model import FactorisedConfig, ModelConfig
from raydistill.specs.scale import Scale, load_scale
from raydistill.specs.trial import (
    CUT,
    FROM_BASE,
    SCRATCH,
    SCRATCH_WITH_AGE,
    TEACHER_FREE,
    Age,
    TrialRequest,
)

if TYPE_CHECKING:
    from raydistill.data.batches import Batch as Batch
    from raydistill.distillation.answers import Ask as Ask
    from raydistill.distillation.answers import LogProbs as LogProbs
    from raydistill.distillation.answers import TeacherAnswer as TeacherAnswer
    from raydistill.distillation.answers import token_mean as token_mean
    from raydistill.distillation.divergence import cross_entropy as cross_entropy
    from raydistill.distillation.loss import View as View
    from raydistill.laws.form import Form as Form
    from raydistill.laws.points import FloatArray as FloatArray
    from raydistill.models.attention import attend as attend
    from raydistill.models.decoder import Decoder as Decoder

__all__ = [
    "Age",
    "Axes",
    "B",
    "CUT",
    "DEFAULT_EXCERPT",
    "Document",
    "FROM_BASE",
    "FUNNEL",
    "FactorisedConfig",
    "GRID",
    "Item",
    "K",
    "LOCATIONS",
    "LabelledItem",
    "M",
    "ModelConfig",
    "NONE",
    "POINT",
    "Passages",
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
    "fits_into_teacher",
    "has_teacher",
    "load_scale",
    "main",
    "results",
    "sentences",
    "shuffled_item",
]

_OF_TENSORS = {
    "Ask": "distillation.answers",
    "Batch": "data.batches",
    "Decoder": "models.decoder",
    "FloatArray": "laws.points",
    "Form": "laws.form",
    "LogProbs": "distillation.answers",
    "TeacherAnswer": "distillation.answers",
    "View": "distillation.loss",
    "attend": "models.attention",
    "cross_entropy": "distillation.divergence",
    "token_mean": "distillation.answers",
}


def __getattr__(name: str) -> Any:
    if name not in _OF_TENSORS:
        raise AttributeError(f"raydistill.api has no {name}")
    return getattr(import_module(f"raydistill.{_OF_TENSORS[name]}"), name)


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
