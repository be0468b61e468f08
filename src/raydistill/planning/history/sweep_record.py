"""The record of a sweep in the store, from which a report can be made at any time.

    sweeps/<name>/<scale>/asked.json     every cell ever requested, with the trial that it means

A command adds its cells to those of earlier ones. Results are not in it: they are with the trials.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from raydistill.core.errors import DataError
from raydistill.core.serialization import from_json, to_json
from raydistill.core.text.redaction import without_tokens
from raydistill.core.units import format_age
from raydistill.planning.artifacts import Artifacts, layer_request
from raydistill.planning.cell import ADDED, REFERENCE, Cell, axes_of
from raydistill.planning.lr_probe import (
    AT_EDGE,
    ArmKey,
    ProbedRate,
    arm_key,
    needs_probe,
    probed_rates,
    probing_s,
)
from raydistill.planning.prepared import PreparedSweep
from raydistill.planning.resolve import resolve
from raydistill.planning.search_settings import FUNNEL, TPE
from raydistill.pruning.layer_choice import LayerChoice
from raydistill.specs.flops import forward_flops_per_token, parameters
from raydistill.specs.results import TaughtBy
from raydistill.specs.trial import ExternalBase, NoTeacher, TrialSpec
from raydistill.storage.store import Store

SCHEMA = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class CellRequest:
    """A cell as it was requested, and as it was resolved."""

    cell: Cell
    spec: TrialSpec
    base_sha256: str  # what it is compared with
    choice: LayerChoice | None = None  # of layers, where a score made it
    remark: str = ""  # what chose its peak rate, where that was probed
    edge: str = ""  # where a rate that was not tried may be better
    taught_by: TaughtBy | None = None  # a teacher that is another model than its base


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepRecord:
    """A sweep at one scale: no function, no path, so that it can be stored."""

    name: str
    question: str
    axes: tuple[str, ...]  # its own, which have flags; cells may have more
    scale: str
    small_scale: bool
    searched: bool  # then reported on documents that were not selected on
    cells: tuple[CellRequest, ...]
    probing_s: float = 0.0  # device-seconds of what chose the peak rates
    price_per_hour: float | Literal["unknown"] = "unknown"
    schema: int = SCHEMA

    @property
    def every_axis(self) -> tuple[str, ...]:
        """Its own axes, and those that flags gave some of its cells."""
        return axes_of(self.axes, [request.cell for request in self.cells])


def record_of(prepared: PreparedSweep) -> SweepRecord:
    """The record of those cells of a sweep whose base, layers and peak rate are known by now."""
    plan, peaks = prepared.plan, probed_rates(prepared)
    searched = plan.options.search in (TPE, FUNNEL)
    cells: dict[str, CellRequest] = {}
    for index, cell in enumerate(plan.cells):
        request = _cell_request(cell, prepared.artifacts, peaks)
        if request is not None:
            # A search takes every trial once, under its first name.
            cells.setdefault(request.spec.trial_id if searched else str(index), request)
    return SweepRecord(
        name=plan.sweep.name,
        question=plan.sweep.question,
        axes=tuple(plan.sweep.axes),
        scale=plan.scale.name,
        small_scale=plan.scale.cheap,
        searched=searched,
        cells=tuple(cells.values()),
        probing_s=probing_s(prepared),
        price_per_hour=plan.options.price_per_hour,
    )


def _cell_request(
    cell: Cell, artifacts: Artifacts, peaks: Mapping[ArmKey, ProbedRate]
) -> CellRequest | None:
    spec, base = resolve(cell, artifacts), artifacts.bases.get(cell.base.key)
    if not isinstance(spec, TrialSpec) or base is None or cell.request.peak_lr == "probe":
        return None
    choice = peaks.get(arm_key(cell))
    at_edge = choice is not None and choice.at_edge and needs_probe(cell)
    return CellRequest(
        cell=cell,
        spec=spec,
        base_sha256=base.weights_sha256,
        choice=artifacts.layer_choices.get((cell.base.key, layer_request(cell.request))),
        remark=choice.sentence if choice else "",
        edge=f"peak rate {choice.peak_lr:g}: {AT_EDGE}" if choice and at_edge else "",
        taught_by=_taught_by(cell),
    )


def _taught_by(cell: Cell) -> TaughtBy | None:
    teacher = cell.teacher_beside
    if isinstance(teacher, NoTeacher):
        return None
    scale, model = teacher.scale, teacher.scale.model
    place = Path(scale.brought)
    return TaughtBy(
        name=teacher.name,
        model=(place.name if place.is_absolute() else scale.brought) or scale.name,
        revision=format_age(teacher.age),
        num_layers=model.num_layers,
        dim=model.dim,
        num_params=parameters(model),
        flops_per_token=forward_flops_per_token(model),
    )


def save_record(record: SweepRecord, store: Store) -> None:
    """Add the cells of a record to the store's record of that sweep; the newest come last."""
    record = from_json(SweepRecord, without_tokens(to_json(record)))  # of files, say
    stored = _stored(record, store)
    again = {_cell_of(cell) for cell in record.cells}
    cells = {
        _key(cell): cell
        for cell in (stored.cells if stored else ())
        if not (cell.spec.unchosen and _cell_of(cell) in again)  # that run was another try
    }
    for cell in record.cells:
        cells.pop(_key(cell), None)
        cells[_key(cell)] = cell
    probing = max(record.probing_s, stored.probing_s if stored else 0.0)
    merged = replace(record, cells=tuple(cells.values()), probing_s=probing)
    if merged != stored:
        store.save(merged, *_store_key(record))


def with_added(record: SweepRecord, store: Store) -> SweepRecord:
    """A record with its sweep's references, and the students added to the bases of its cells."""
    stored = _stored(record, store)
    starts = {_start(cell) for cell in record.cells}
    added = [
        cell
        for cell in (stored.cells if stored else ())
        if was_added(cell.spec) and (REFERENCE in cell.cell.values or _start(cell) in starts)
    ]
    return replace(record, cells=(*record.cells, *added))


def was_added(spec: TrialSpec) -> bool:
    """Whether `raydistill add` made it, not a command of a sweep."""
    base = spec.base
    return isinstance(base, ExternalBase) and base.name.startswith(f"{ADDED}: ")


def _start(request: CellRequest) -> tuple[str, str, str]:
    train = request.spec.train
    return request.base_sha256, train.corpus_sha256, train.tokenizer_sha256


def all_records(store: Store, names: Sequence[str] = ()) -> Iterator[SweepRecord]:
    """Every record in the store, or those of these sweeps, by name and scale.

    Raises:
        DataError: if one was written by a newer version.
    """
    for path in sorted(store.path("sweeps").glob("*/*/asked*.json")):
        record = _load(store, *path.relative_to(store.root).parts)
        if record is not None and (not names or record.name in names):
            yield record


def _stored(record: SweepRecord, store: Store) -> SweepRecord | None:
    return _load(store, *_store_key(record))


def _store_key(record: SweepRecord) -> tuple[str, ...]:
    file = "asked-searched.json" if record.searched else "asked.json"
    return "sweeps", record.name, record.scale, file


def _key(request: CellRequest) -> object:
    values, base_sha256 = _cell_of(request)
    if was_added(request.spec):  # replaced by other weights of that name
        return values, base_sha256 if ADDED in request.cell.values else ""
    return values, base_sha256, request.spec.trial_id


def _cell_of(request: CellRequest) -> tuple[object, str]:
    values = tuple(sorted((axis, str(value)) for axis, value in request.cell.values.items()))
    return values, request.base_sha256


def _load(store: Store, *store_key: str) -> SweepRecord | None:
    path = store.path(*store_key)
    try:
        record = store.load(SweepRecord, *store_key)
    except ValueError as error:
        raise DataError(
            f"{path} is not readable: it was changed, or is of another version; "
            "move it away and run the sweep's command again, which trains nothing anew"
        ) from error
    if record is not None and record.schema > SCHEMA:
        raise DataError(f"{path} was written by schema {record.schema}, this reads {SCHEMA}")
    return record
