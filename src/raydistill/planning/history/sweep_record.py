"""What was ever asked of a sweep, as the store keeps it: a report is made from it at any moment.

    sweeps/<name>/<scale>/asked.json     every cell, with the trial that it means

A command adds its cells to those of earlier ones. Results are not in it: they lie with the trials.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from raydistill.core.errors import DataError
from raydistill.planning.artifacts import Artifacts, layer_request
from raydistill.planning.cell import ADDED, REFERENCE, Cell
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
from raydistill.specs.trial import ExternalBase, TrialSpec
from raydistill.storage.store import Store

SCHEMA = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class CellRequest:
    """A cell as it was asked, and as it was resolved."""

    cell: Cell
    spec: TrialSpec
    base_sha256: str  # what it is compared with
    choice: LayerChoice | None = None  # of layers, where a score made it
    remark: str = ""  # what chose its peak rate, where that was probed
    edge: str = ""  # where a rate that was not tried may be better


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepRecord:
    """A sweep at one scale: no function, no path, so that it can be kept."""

    name: str
    question: str
    axes: tuple[str, ...]
    scale: str
    small_scale: bool
    searched: bool  # then reported on documents that were not selected on
    cells: tuple[CellRequest, ...]
    probing_s: float = 0.0  # device-seconds of what chose the peak rates
    price_per_hour: float | Literal["unknown"] = "unknown"
    schema: int = SCHEMA


def record_of(prepared: PreparedSweep) -> SweepRecord:
    """The cells of a sweep whose base, layers and peak rate are known by now."""
    plan, peaks = prepared.plan, probed_rates(prepared)
    searched = plan.options.search in (TPE, FUNNEL)
    cells: dict[str, CellRequest] = {}
    for place, cell in enumerate(plan.cells):
        asked = _asked(cell, prepared.artifacts, peaks)
        if asked is not None:
            # A search takes every trial once, under its first name.
            cells.setdefault(asked.spec.trial_id if searched else str(place), asked)
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


def _asked(
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
    )


def keep(asked: SweepRecord, store: Store) -> None:
    """Add the cells of `asked` to what the store keeps of that sweep; the newest stand last."""
    place = _place(asked.name, asked.scale, searched=asked.searched)
    before = _load(store, *place)
    together = {_key(cell): cell for cell in (before.cells if before else ())}
    for cell in asked.cells:
        together.pop(_key(cell), None)
        together[_key(cell)] = cell
    probing = max(asked.probing_s, before.probing_s if before else 0.0)
    merged = replace(asked, cells=tuple(together.values()), probing_s=probing)
    if merged != before:
        store.save(merged, *place)


def with_added(asked: SweepRecord, store: Store) -> SweepRecord:
    """The same with the references of that sweep, and the students added beside such cells."""
    kept = _load(store, *_place(asked.name, asked.scale, searched=asked.searched))
    starts = {_start(cell) for cell in asked.cells}
    beside = [
        cell
        for cell in (kept.cells if kept else ())
        if was_added(cell.spec) and (REFERENCE in cell.cell.values or _start(cell) in starts)
    ]
    return replace(asked, cells=(*asked.cells, *beside))


def was_added(spec: TrialSpec) -> bool:
    """Whether `raydistill add` made it, and no command of a sweep asked for it."""
    base = spec.base
    return isinstance(base, ExternalBase) and base.name.startswith(f"{ADDED}: ")


def _start(asked: CellRequest) -> tuple[str, str, str]:
    train = asked.spec.train
    return asked.base_sha256, train.corpus_sha256, train.tokenizer_sha256


def all_records(store: Store, names: Sequence[str] = ()) -> Iterator[SweepRecord]:
    """Every sweep that the store keeps, or those of these names, by name and scale.

    Raises:
        DataError: if one was written by a newer version.
    """
    root = store.path("sweeps")
    for path in sorted(root.glob("*/*/asked*.json")):
        found = _load(store, *path.relative_to(store.root).parts)
        if found is not None and (not names or found.name in names):
            yield found


def _place(name: str, scale: str, *, searched: bool) -> tuple[str, ...]:
    return "sweeps", name, scale, "asked-searched.json" if searched else "asked.json"


def _key(asked: CellRequest) -> object:
    values = tuple(sorted((axis, str(value)) for axis, value in asked.cell.values.items()))
    if was_added(asked.spec):  # other weights of that name take its place
        return values, asked.base_sha256 if ADDED in asked.cell.values else ""
    return values, asked.base_sha256, asked.spec.trial_id


def _load(store: Store, *place: str) -> SweepRecord | None:
    try:
        found = store.load(SweepRecord, *place)
    except ValueError as error:
        raise DataError(
            f"{store.path(*place)} is not readable: it was changed, or is of another version; "
            "move it away and run the sweep's command again, which trains nothing anew"
        ) from error
    if found is not None and found.schema > SCHEMA:
        raise DataError(
            f"{store.path(*place)} was written by schema {found.schema}, this reads {SCHEMA}"
        )
    return found
