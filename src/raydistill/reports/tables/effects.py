"""An ablation's table: what each change of a point costs or saves, the greatest effect first."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from raydistill.core.units import format_tokens
from raydistill.evaluation.bootstrap import Missing, PairedBootstrap
from raydistill.evaluation.performance_drops import Drops, drops
from raydistill.planning.axes.change import CHANGE, POINT, field_of
from raydistill.planning.cell import Value
from raydistill.reports.results.caveats import joined
from raydistill.reports.results.cells import ReportCell
from raydistill.reports.results.comparison import Losses, excesses
from raydistill.reports.tables.grids import Section, with_interval
from raydistill.reports.tables.points import Point
from raydistill.specs.evaluation import words_of

ONE_BASE = ("scale", "age", "text")  # no change is compared across them


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Effect:
    """A change against its point, on the data seeds of both; positive is worse."""

    change: str
    fields: str  # what is other than at the point: `peak_lr 0.0006 → 0.0012`
    lost: Drops
    is_told_apart: bool

    @property
    def nats(self) -> float:
        """How far it moves the loss, either way; what is not known sorts last."""
        entry = self.lost.delta_nll
        return -1.0 if isinstance(entry, Missing) else abs(entry.value)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Ablation:
    """A point and the effects of what was changed around it, the greatest first."""

    centre: Point
    effects: tuple[Effect, ...]


def ablations(points: Sequence[Point], chance: Mapping[str, float]) -> list[Ablation]:
    """One for each point that was changed; none of other sweeps.

    Args:
        points: the rows of a report.
        chance: what guessing gives, by task of its table.
    """
    ablated = [point for point in points if CHANGE in point.fields]
    centres = [point for point in ablated if point.fields[CHANGE] == POINT and point.runs]
    every = [
        Ablation(centre=centre, effects=tuple(_effects(centre, _changes(centre, ablated), chance)))
        for centre in centres
    ]
    return [ablation for ablation in every if ablation.effects]


def _effects(centre: Point, changes: Sequence[Point], chance: Mapping[str, float]) -> list[Effect]:
    """Every change that shares a data seed with its point, the greatest effect first.

    Which are told apart is decided with Holm over all of them.
    """
    shared = {point.row.name: point for point in changes if centre.runs.keys() & point.runs.keys()}
    pairs = {n: (Losses(runs=centre.runs), Losses(runs=point.runs)) for n, point in shared.items()}
    signs = {name: excess.sign for name, excess in excesses(pairs).items()}
    every = [
        Effect(
            change=str(point.fields[CHANGE]),
            fields=", ".join(_differences(centre.cells[0], point.cells[0])),
            lost=_lost(centre, point, chance),
            is_told_apart=bool(signs.get(name)),
        )
        for name, point in shared.items()
    ]
    return sorted(every, key=lambda effect: -effect.nats)


def _changes(centre: Point, ablated: Sequence[Point]) -> list[Point]:
    """The rows that differ from a point in the field that they change, and in nothing else."""
    axes = {*ONE_BASE, *centre.cells[0].values} - {CHANGE, "seed"}
    return [
        point
        for point in ablated
        if point.fields[CHANGE] != POINT
        and all(
            point.fields[axis] == centre.fields.get(axis)
            for axis in axes - {field_of(str(point.fields[CHANGE]))}
            if axis in point.fields
        )
    ]


def _lost(centre: Point, point: Point, chance: Mapping[str, float]) -> Drops:
    seeds = sorted(centre.runs.keys() & point.runs.keys())
    before, after = ({seed: of.runs[seed] for seed in seeds} for of in (centre, point))
    bootstrap = PairedBootstrap.over([*before.values(), *after.values()])
    return drops(before, after, chance=chance, bootstrap=bootstrap)


def effect_table(ablation: Ablation) -> Section:
    """The effects as a table."""
    centre = ablation.centre
    seeds = f"data seed{'s' if len(centre.runs) > 1 else ''} {joined(sorted(centre.runs))}"
    own = with_interval(centre.row.against_base.delta_nll, 3)
    noise = "" if len(centre.runs) > 1 else "; training noise not included"
    return Section(
        title=f"Effect of each change, against the point itself ({centre.row.name}: {own} against "
        f"the base, {seeds}{noise}); + is worse; ! told apart from it (Holm, 5 %)",
        headers=(
            *("change", "delta_nll, nats/token"),
            *(words_of("perplexity, drop %", centre.row.loss), "downstream, drop %"),
            "from → to",
        ),
        rows=tuple(map(_row, ablation.effects)),
    )


def _row(effect: Effect) -> tuple[str, ...]:
    lost, mark = effect.lost, " !" if effect.is_told_apart else ""
    return (
        effect.change,
        with_interval(lost.delta_nll, 3) + mark,
        with_interval(lost.perplexity_drop_pct, 1),
        with_interval(lost.downstream_drop_pct, 1),
        effect.fields,
    )


def _differences(centre: ReportCell, changed: ReportCell) -> Iterator[str]:
    before, after = _settings(centre), _settings(changed)
    for name, value in before.items():
        if value != after[name]:
            yield f"{name} {_text(value)} → {_text(after[name])}"


def _settings(cell: ReportCell) -> dict[str, Value]:
    removal = {"location": cell.location, "layers removed": cell.count}
    training = {"gap_tokens": cell.gap_tokens, "loss": cell.train.loss}
    return {**removal, **training, **dataclasses.asdict(cell.train.recipe)}


def _text(value: Value) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return format_tokens(value) if isinstance(value, int) else value
