"""Where a model comes from, how it was trained and what it lost: `raydistill.json`."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata

from raydistill.core.units import format_age
from raydistill.evaluation.bootstrap import DocumentScores, PairedBootstrap
from raydistill.evaluation.performance_drops import Drops, drops
from raydistill.planning.cell import BaseRequest
from raydistill.planning.history.rerun_command import command_of
from raydistill.planning.history.sweep_record import CellRequest, SweepRecord
from raydistill.reports.results.cells import Measured, ReportCell, SweepReport
from raydistill.reports.results.common_tasks import table_tasks
from raydistill.reports.results.controls import control_of
from raydistill.specs.corpus import CorpusInfo
from raydistill.specs.flops import active_parameters, parameters
from raydistill.specs.results import Cost, MadeBy, Scores, TaughtBy, Trained
from raydistill.specs.trial import (
    CutBase,
    ExternalBase,
    NoTeacher,
    RandomBase,
    Recipe,
    Teacher,
    TrialSpec,
)
from raydistill.storage.store import Store

SCHEMA = 1
FILE = "raydistill.json"
_PACKAGES = ("raydistill", "torch", "transformers")


@dataclass(frozen=True, kw_only=True, slots=True)
class Speed:
    """Of one model, alone on a device, with one sequence at a time."""

    prefill_tokens_per_s: float
    decode_tokens_per_s: float
    kv_bytes_per_token: int  # keys and values of all layers


@dataclass(frozen=True, kw_only=True, slots=True)
class Speeds:
    """Of two models in one run, medians over the turns, with what they were measured on."""

    before: Speed
    after: Speed
    device: str
    threads: int  # of a CPU
    prompt_tokens: int
    new_tokens: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """A base: of a scale, or a checkpoint that the user gave."""

    name: str  # of its scale, or its folder or hub id
    revision: str
    weights_sha256: str
    num_layers: int
    num_params: int
    window_tokens: int = 0  # that perplexity is measured in; 0: not noted
    active_params: int = 0  # those that a token uses, of a mixture of experts; 0: not noted


@dataclass(frozen=True, kw_only=True, slots=True)
class Healing:
    """What a trial trained, and on what."""

    trial_id: str
    command: str  # that would train it again
    loss: str
    teacher: Teacher
    recipe: Recipe
    drops: tuple[tuple[int, int], ...]  # tokens trained when a layer left, and the layer
    seed: int
    corpus: CorpusInfo
    cost: Cost
    made_by: MadeBy
    taught_by: TaughtBy | None = None  # a teacher that is another model than the base


@dataclass(frozen=True, kw_only=True, slots=True)
class Lost:
    """Against the base and the control, on the held-out documents; means are over `tasks`.

    `limits` are sentences: which documents, if not all, and tasks that are at chance.
    """

    tasks: tuple[str, ...]
    against_base: Drops
    against_control: Drops | None  # none was finished with that schedule and seed
    limits: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Lineage:
    """Everything that a model card says of an exported model.

    `healing`, `before` and `lost` are None of a base that is exported as it is, `after` if it was
    never measured, and `speeds` with `--no-measure`.
    """

    base: Origin
    weights_sha256: str  # in the storage's own format
    kept: tuple[int, ...]  # layers of the base, or all of a model that began from scratch
    num_params: int
    dtype: str
    small_scale: bool
    from_scratch: bool = False  # not made from the base, only compared with it
    cut_from: Origin | None = None  # a larger model whose weights were cut: as from scratch
    healing: Healing | None = None
    before: Scores | None = None
    after: Scores | None = None
    lost: Lost | None = None
    speeds: Speeds | None = None
    active_params: int = 0  # as of the base
    versions: Mapping[str, str]
    schema: int = SCHEMA

    @property
    def removed(self) -> tuple[int, ...]:
        """The layers of the base that left, ascending."""
        if self.from_scratch or self.cut_from:
            return ()
        return tuple(layer for layer in range(self.base.num_layers) if layer not in self.kept)


def versions() -> dict[str, str]:
    """Of the packages that write a model."""
    return {name: metadata.version(name) for name in _PACKAGES}


def origin_of(base: BaseRequest, weights_sha256: str) -> Origin:
    """A base as a lineage names it."""
    scale = base.scale
    return Origin(
        name=scale.brought or scale.name,
        revision=format_age(base.age),
        weights_sha256=weights_sha256,
        num_layers=scale.model.num_layers,
        num_params=parameters(scale.model),
        active_params=active_parameters(scale.model),
        window_tokens=scale.model.context,
    )


def of_trial(
    report: SweepReport,
    cell: ReportCell,
    sweep: SweepRecord,
    request: CellRequest,
    corpus: CorpusInfo,
    store: Store,
) -> Lineage:
    """The lineage of a finished cell, whose `outcome` is Measured; its dtype is float32."""
    assert isinstance(cell.outcome, Measured), cell.outcome
    result = cell.outcome.result
    trained = result.trained
    return Lineage(
        base=origin_of(request.cell.base, request.base_sha256),
        weights_sha256=trained.weights_sha256,
        kept=trained.kept,
        num_params=parameters(trained.model, trained.removed),
        active_params=active_parameters(trained.model, trained.removed),
        dtype="float32",
        small_scale=sweep.small_scale,
        from_scratch=isinstance(trained.spec.base, RandomBase),
        cut_from=_cut_from(trained.spec, request.cell.teacher),
        healing=_healing(trained, request, command_of(sweep, request, store), corpus),
        before=result.before,
        after=result.after,
        lost=_lost(report, cell, cell.outcome.documents),
        versions=versions(),
    )


def _cut_from(spec: TrialSpec, teacher: BaseRequest | NoTeacher) -> Origin | None:
    """The teacher of a student that was cut from it."""
    if not isinstance(spec.base, CutBase) or isinstance(teacher, NoTeacher):
        return None
    assert isinstance(spec.base.base, ExternalBase), spec.base
    return origin_of(teacher, spec.base.base.weights_sha256)


def of_base(base: Origin, scores: Scores | None, *, small_scale: bool) -> Lineage:
    """The lineage of a base as it is."""
    return Lineage(
        base=base,
        weights_sha256=base.weights_sha256,
        kept=tuple(range(base.num_layers)),
        num_params=base.num_params,
        active_params=base.active_params,
        dtype="float32",
        small_scale=small_scale,
        after=scores,
        versions=versions(),
    )


def _healing(trained: Trained, request: CellRequest, command: str, corpus: CorpusInfo) -> Healing:
    spec = trained.spec
    return Healing(
        trial_id=trained.trial_id,
        command=command,
        loss=spec.train.loss,
        teacher=spec.teacher,
        recipe=spec.train.recipe,
        drops=tuple((drop.at_tokens, drop.layer) for drop in spec.plan.drops),
        seed=spec.train.seed,
        corpus=corpus,
        cost=trained.cost,
        made_by=trained.made_by,
        taught_by=request.taught_by,
    )


def is_teacher_free(healing: Healing) -> bool:
    """Whether the loss needed no teacher."""
    return isinstance(healing.teacher, NoTeacher)


def _lost(report: SweepReport, cell: ReportCell, documents: DocumentScores) -> Lost | None:
    """What the table says of this seed alone; None if its base was not measured."""
    tasks = table_tasks(report)
    chance, limits = tasks.chance, []
    if report.searched:
        limits.append("Measured on the half of these documents that the search did not select on.")
    if tasks.all_at_chance:
        limits.append("No task is above chance at every base: their means tell no order.")
    bases = (b.documents for b in report.bases if (b.scale, b.age) == (cell.scale, cell.age))
    base = next(bases, None)
    if base is None:
        return None
    measured_control = None if cell.role == "control" else control_of(cell, report.cells)
    control = measured_control.documents if measured_control else None
    bootstrap = PairedBootstrap.over([base, documents, *([control] if control else [])])

    def against(reference: DocumentScores) -> Drops:
        return drops({0: reference}, {0: documents}, chance=chance, bootstrap=bootstrap)

    return Lost(
        tasks=tuple(sorted(chance)),
        against_base=against(base),
        against_control=against(control) if control else None,
        limits=tuple(limits),
    )
