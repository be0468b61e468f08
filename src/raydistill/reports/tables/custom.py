"""Tables with rows and columns of one's own: `--rows location --cols count --metric delta_nll`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from raydistill.core.errors import UsageError, unknown
from raydistill.evaluation.bootstrap import Estimate, Missing
from raydistill.planning.cell import shown
from raydistill.reports.results.cells import SweepReport
from raydistill.reports.tables.grids import ABSENT, Section, with_interval, with_sign
from raydistill.reports.tables.points import (
    LOST,
    MEASURED,
    VS_CONTROL,
    Point,
    in_order,
    number,
    points,
    varying,
)
from raydistill.reports.tables.table import build_table

SEEDS = ("mean±ci", "interval", "mean", "each")
"""A mean with half the width of its 95 % interval, with both its ends, alone; a table a seed."""

APART = ("sweep", "scale", "age", "budget", "text")
"""Numbers that differ in these are not put into one table, but for the arms of a comparison."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """What is in the rows, the columns and the cells of a table."""

    rows: str
    cols: str
    metric: str = "delta_nll"
    seeds: str = "mean±ci"
    where: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.seeds not in SEEDS:
            raise UsageError(unknown("--seeds", self.seeds, SEEDS))


@dataclass(frozen=True, kw_only=True, slots=True)
class FreeTable:
    """A grid, and the sentence that a reader needs below it."""

    grid: Section
    caption: str


def free_tables(reports: Sequence[SweepReport], ask: Ask) -> list[FreeTable]:
    """The tables that `ask` means: one for each combination of what else must not be mixed.

    Raises:
        UsageError: if a field or the metric is unknown, or no row has what is asked.
    """
    found = [point for report in _split(reports, ask) for point in _points(report)]
    fields = list(dict.fromkeys(name for point in found for name in point.fields))
    for name in (ask.rows, ask.cols, *ask.where):
        if name not in fields:
            raise UsageError(unknown("field", name, fields))
    kept = [p for p in found if all(p.text(name) == text for name, text in ask.where.items())]
    placed = [p for p in kept if ask.rows in p.fields and ask.cols in p.fields]
    if not placed:
        raise UsageError(f"no cell has a {ask.rows} and a {ask.cols} where {_where(ask)}")
    apart = _apart(placed, ask)
    panels: dict[tuple[str, ...], list[Point]] = {}
    for point in placed:
        panels.setdefault(tuple(point.text(name) for name in apart), []).append(point)
    return [_table(some, ask) for some in panels.values()]


def _where(ask: Ask) -> str:
    return " and ".join(f"{name} is {text}" for name, text in ask.where.items()) or "asked"


def _split(reports: Sequence[SweepReport], ask: Ask) -> Iterator[SweepReport]:
    """The reports as they are, or one for each data seed."""
    for report in reports:
        seeds = sorted({cell.train.seed for cell in report.cells})
        if ask.seeds != "each":
            yield report
            continue
        for seed in seeds:
            cells = (cell for cell in report.cells if cell.train.seed == seed)
            named = (replace(c, values={**c.values, "data seed": seed}) for c in cells)
            yield replace(report, cells=tuple(named))


def _points(report: SweepReport) -> list[Point]:
    return points(report, build_table(report))


def _apart(found: Sequence[Point], ask: Ask) -> list[str]:
    """Fields that differ within one place of the grid, or must not differ at all."""
    places: dict[tuple[str, str], list[Point]] = {}
    for point in found:
        places.setdefault((point.text(ask.rows), point.text(ask.cols)), []).append(point)
    within = {name for some in places.values() for name in varying(some)}
    by_design = {"budget"} if any(point.cells[0].own_budget for point in found) else set()
    strict = () if "arm" in (ask.rows, ask.cols) else set(APART) - by_design
    return [
        name
        for name in varying(found)
        if name not in (ask.rows, ask.cols, *by_design) and (name in within or name in strict)
    ]


def _table(found: Sequence[Point], ask: Ask) -> FreeTable:
    rows, cols = (in_order([p.fields[name] for p in found]) for name in (ask.rows, ask.cols))
    there = {(p.fields[ask.rows], p.fields[ask.cols]): p for p in found}
    reasons: dict[str, int] = {}
    lines = tuple(
        (shown(ask.rows, r), *(_entry(there.get((r, c)), ask, reasons) for c in cols)) for r in rows
    )
    headers = (f"{ask.rows} \\ {ask.cols}", *(shown(ask.cols, col) for col in cols))
    grid = Section(title=f"{ask.metric} by {ask.rows} and {ask.cols}", headers=headers, rows=lines)
    return FreeTable(grid=grid, caption=_caption(found, ask, tuple(reasons)))


def _entry(point: Point | None, ask: Ask, reasons: dict[str, int]) -> str:
    if point is None:
        return ""
    entry = number(point, ask.metric)
    if isinstance(entry, Missing):
        reasons.setdefault(entry.reason, len(reasons))
        return ABSENT
    if ask.metric in MEASURED or ask.metric.startswith("task:"):
        return f"{entry.value:.4g}"
    digits = 1 if "_pct" in ask.metric else 3
    return _with_noise(entry, digits, ask.seeds)


def _with_noise(entry: Estimate, digits: int, seeds: str) -> str:
    if seeds == "mean":
        return with_sign(entry, digits)
    if seeds == "mean±ci":
        return f"{with_sign(entry, digits)} ± {(entry.high - entry.low) / 2:.{digits}f}"
    return with_interval(entry, digits)


def _caption(found: Sequence[Point], ask: Ask, reasons: Sequence[str]) -> str:
    """What a reader must know: what is measured, where, over which seeds, what is missing."""
    differ = [name for name in varying(found) if name not in (ask.rows, ask.cols)]
    told = ("sweep", "scale", "age", "location", "count", "budget", "data seed")
    same = [
        f"{name} {found[0].text(name)}"
        for name in told
        if name not in (ask.rows, ask.cols, *differ) and name in found[0].fields
    ]
    parts = [f"{_meaning(ask.metric)}, by {ask.rows} and {ask.cols}: {', '.join(same)}."]
    parts += [_noise(found, ask)]
    parts += [f"Not the same everywhere: {_values(found, name)}." for name in differ]
    parts += [f"{ABSENT} {reason}." for reason in reasons]
    return " ".join(part for part in parts if part)


def _meaning(metric: str) -> str:
    name = metric.removesuffix(VS_CONTROL)
    if name in LOST:
        against = "the control" if metric.endswith(VS_CONTROL) else "the base"
        worse = "" if name == "retention" else "; positive is worse"
        said = f"{LOST[name]} against {against}{worse}"
    else:
        said = MEASURED.get(metric, f"score on {metric.removeprefix('task:')}")
    return said[0].upper() + said[1:]


def _noise(found: Sequence[Point], ask: Ask) -> str:
    seeds = sorted({seed for point in found for seed in point.row.seeds})
    over = f"data seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
    if not seeds:
        return ""
    if ask.metric in MEASURED or ask.metric.startswith("task:") or ask.seeds == "mean":
        return f"Mean over {over}."
    what = "half the width of the" if ask.seeds == "mean±ci" else "in brackets the"
    if len(seeds) == 1:
        return (
            f"Over {over}; {what} 95 % interval of a paired bootstrap over held-out documents; "
            "training noise not included."
        )
    return (
        f"Mean over {over}; {what} 95 % interval of a bootstrap over seeds and held-out documents."
    )


def _values(found: Sequence[Point], name: str) -> str:
    values = in_order([point.fields[name] for point in found if name in point.fields])
    return f"{name} ({', '.join(shown(name, value) for value in values)})"
