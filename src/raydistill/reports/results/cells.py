"""What a report is made from: bases, cells and what was measured on them.

`reports/sources/` makes them from a storage, `driver/from_mlflow.py` from MLflow.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from raydistill.distillation.loss_name import had_teacher
from raydistill.evaluation.bootstrap import DocumentScores
from raydistill.planning.cell import ADDED, REFERENCE, Value, compares_shapes, compares_teachers
from raydistill.pruning.layer_choice import LayerChoice
from raydistill.reports.results.spending import Spending
from raydistill.specs.corpus import TextFacts
from raydistill.specs.locations import NONE
from raydistill.specs.model import HubConfig
from raydistill.specs.results import Scores, TaughtBy, TrialFailure, TrialResult
from raydistill.specs.trial import (
    FROM_BASE,
    OWN,
    Age,
    CachedTeacher,
    ExternalBase,
    TrainSpec,
)

CONTROL = NONE  # the location of the control: nothing leaves, the same training (METHOD 1)


def is_control(location: str, budget: int, start: str) -> bool:
    """Whether a cell is the whole base, trained on `budget` tokens (METHOD 1); unless `is_taught`.

    By a teacher too, where layers leave others: both have the schedule and the teacher.
    """
    return location == CONTROL and budget > 0 and start == FROM_BASE


def is_taught(location: str, budget: int, loss: str, values: Mapping[str, Value]) -> bool:
    """Whether a cell is a student of a teacher, of a sweep that compares teachers (METHOD 8)."""
    trained = location == CONTROL and budget > 0
    return trained and compares_teachers(values) and had_teacher(loss)


# A reference (a base, another model) is only shown beside candidates and students of teachers.
Role = Literal["candidate", "taught", "control", "reference"]
CANDIDATES: tuple[Role, ...] = ("candidate", "taught")  # that may be the best


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """A finished cell: its result, and the scores of its weights by document."""

    result: TrialResult
    documents: DocumentScores


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportBase:
    """The checkpoint that the cells of one scale and age start from."""

    scale: str
    age: Age
    age_tokens: int  # seen in pretraining, as run
    num_params: int
    scores: Scores
    documents: DocumentScores
    window_tokens: int = 0  # that its perplexity is measured in; 0: not noted
    mask_share: float = 0.0  # of a window, the masked targets of its loss; 0: every next token
    text: TextFacts | None = None  # that it is measured on, where they were counted
    masked_unigram_nats: float | None = None  # of a masked loss, by the same targets; None: unknown

    @property
    def tokens_per_parameter(self) -> float:
        """Of pretraining; about 20 is compute-optimal, models of a hub have thousands."""
        return self.age_tokens / self.num_params


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportCell:
    """One cell of a sweep, as requested, with its outcome. The data seed is `train.seed`.

    `layers` is empty for the control, and where a score failed to choose `unchosen` layers.
    `for_every_seed`: no data seed changes it, as it is not trained, or trained once like a base.
    `probed`: its peak rate is its arm's best of three. `note` is what a reader must know about the
    location ("alt-input, 7 of 8 alternate"); mostly empty. `choice` holds the scores behind a
    data-driven location, else None.
    """

    scale: str
    num_params: int  # of the model before anything leaves
    location: str
    age: Age
    values: Mapping[str, Value]  # every axis of the sweep
    layers: tuple[int, ...]
    num_layers: int  # of the base
    layer_map: str  # one box a layer
    gap_tokens: int
    train: TrainSpec
    outcome: Measured | TrialFailure
    start: str = FROM_BASE  # one of `specs.trial.STARTS`
    probed: bool = False
    for_every_seed: bool = False
    note: str = ""
    choice: LayerChoice | None = None
    heldout_windows: int = 0  # that its loss is measured on; 0: not known
    curve_windows: int = 0  # and the points of its curve
    budget_paper_tokens: int | Literal["not noted"] = "not noted"  # as requested
    gap_paper_tokens: int | Literal["not noted"] = "not noted"
    unchosen: int = 0
    taught_by: TaughtBy | None = None  # a teacher that is another model than its base
    recipe_differs: tuple[str, ...] = ()  # fields by which recipes of a report differ, by no axis

    @property
    def count(self) -> int:
        """How many layers leave."""
        return len(self.layers) or self.unchosen

    @property
    def trial_id(self) -> str:
        """The id of its trial."""
        outcome = self.outcome
        return (outcome if isinstance(outcome, TrialFailure) else outcome.result.trained).trial_id

    @property
    def teacher(self) -> str:
        """What its loss was taught by: `own`, an age of its base, or the name of another model."""
        if self.taught_by is not None:
            return self.taught_by.name
        if isinstance(self.outcome, TrialFailure):
            return OWN
        result = self.outcome.result
        teacher = result.trained.spec.teacher
        base = teacher.base if isinstance(teacher, CachedTeacher) else teacher
        if not isinstance(base, ExternalBase):
            return OWN
        return OWN if base.weights_sha256 == result.before.weights_sha256 else base.revision

    @property
    def text(self) -> str:
        """What it was trained and measured on: the first digits of corpus and tokenizer."""
        return f"{self.train.corpus_sha256[:8]}/{self.train.tokenizer_sha256[:8]}"

    @property
    def is_known(self) -> bool:
        """Whether it is known how it was trained: not of a student from elsewhere."""
        outcome = self.outcome
        return isinstance(outcome, TrialFailure) or outcome.result.trained.made_by.is_known

    @property
    def arm(self) -> str:
        """Its arm of a comparison of methods (METHOD 7); empty in other sweeps."""
        return str(self.values.get("arm", ""))

    @property
    def reference(self) -> str:
        """`SCALE@AGE` of a reference model, evaluated only; else empty."""
        return str(self.values.get(REFERENCE, ""))

    @property
    def added(self) -> str:
        """The name of a student trained elsewhere, evaluated only; else empty."""
        return str(self.values.get(ADDED, ""))

    @property
    def own_recipe(self) -> tuple[tuple[str, object], ...]:
        """What tells its recipe from others of the report; a probed peak rate is each arm's own."""
        return tuple(
            (name, "probed" if name == "peak_lr" and self.probed else self.values[name])
            for name in self.recipe_differs
        )

    @property
    def beside(self) -> str:
        """The name of a reference or of a student trained elsewhere; else empty."""
        return f"added: {self.added}" if self.added else self.reference

    @property
    def role(self) -> Role:
        """Candidate, student of a teacher, control or reference."""
        budget = self.train.recipe.budget_tokens
        if is_taught(self.location, budget, self.train.loss, self.values):
            return "taught"
        if is_control(self.location, budget, self.start):
            return "control"
        is_base = self.location == CONTROL and not budget
        return "reference" if self.beside or is_base else "candidate"

    @property
    def own_budget(self) -> bool:
        """Whether its tokens are meant to differ from those it is compared with."""
        by_design = self.arm or self.beside or compares_teachers(self.values)
        return bool(by_design) or self.values.get("equal") == "flops"


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepReport:
    """A sweep and all its outcomes; `small_scale` says laptop or smoke."""

    sweep: str
    question: str
    scale: str
    small_scale: bool
    searched: bool = False  # then the scores are those of documents not selected on
    bases: tuple[ReportBase, ...]
    cells: tuple[ReportCell, ...]
    remarks: tuple[str, ...] = ()  # to read before the table
    gone_tasks: tuple[str, ...] = ()  # measured, and left out as their files are not here
    spending: Spending = field(default_factory=Spending)
    unfinished: int = 0  # cells without a result yet


def is_of_shapes(report: SweepReport) -> bool:
    """Whether a sweep is of bases as they are, by size and age alone, no checkpoints among them.

    A row of each against its base would say nothing: `reports/reduced_scale/` is its page.
    """
    outcomes = [cell.outcome for cell in report.cells]
    models = [one.result.trained.model for one in outcomes if isinstance(one, Measured)]
    return (
        bool(models)
        and all(compares_shapes(cell.values) for cell in report.cells)
        and not any(isinstance(model, HubConfig) for model in models)
    )
