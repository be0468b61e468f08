"""Tables by rows and columns of choice: `--rows location --cols count --metric delta_nll`."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from raydistill.core.errors import UsageError, unknown
from raydistill.evaluation.bootstrap import Estimate, Missing
from raydistill.planning.cell import format_value
from raydistill.reports.results.caveats import joined
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
from raydistill.specs.evaluation import LOSSES, PERPLEXITY, loss_of_metrics, metric_of, words_of
from raydistill.specs.recipe import axis_name

# A mean with half the width of its 95 % interval, with both its ends, alone; a table a seed.
SEEDS = ("mean±ci", "interval", "mean", "each")
# Numbers that differ in these are not in one table, except for the arms of a comparison.
SEPARATE_FIELDS = ("sweep", "scale", "age", "budget", "text")


@dataclass(frozen=True, kw_only=True, slots=True)
class TableRequest:
    """The fields in the rows and columns of a table, the metric in its cells, and which rows."""

    rows: str
    cols: str
    metric: str = "delta_nll"
    seeds: str = "mean±ci"
    where: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.seeds not in SEEDS:
            raise UsageError(unknown("--seeds", self.seeds, SEEDS))


@dataclass(frozen=True, kw_only=True, slots=True)
class CustomTable:
    """A grid and its caption."""

    grid: Section
    caption: str


def custom_tables(reports: Sequence[SweepReport], ask: TableRequest) -> list[CustomTable]:
    """The tables of a request: one for each combination of other fields that must not be mixed.

    Raises:
        UsageError: if a field or the metric is unknown, both are one, or no row has both fields.
    """
    every = [point for r in _split(reports, ask) for point in points(r, build_table(r))]
    fields = list(dict.fromkeys(name for point in every for name in point.fields))
    if ask.rows == ask.cols:
        raise UsageError(f"--rows and --cols are both {ask.rows}: name two fields")
    for name in (ask.rows, ask.cols, *ask.where):
        if name not in fields:
            raise UsageError(unknown("field", name, fields))
    selected = [p for p in every if all(_has(p, name, text) for name, text in ask.where.items())]
    selected = [p for p in selected if ask.rows in p.fields and ask.cols in p.fields]
    if not selected:
        raise UsageError(f"no cell has a {ask.rows} and a {ask.cols} where {_where(ask)}")
    separate = _separate_fields(selected, ask)
    panels: dict[tuple[str, ...], list[Point]] = {}
    for point in selected:
        panels.setdefault(tuple(point.text(name) for name in separate), []).append(point)
    return [_table(panel, ask) for panel in panels.values()]


def _has(point: Point, name: str, text: str) -> bool:
    """Whether a point has that value, however a number is written: `3e-4` is 0.0003."""
    value = point.fields.get(name, "")
    if point.text(name) == text or isinstance(value, str):
        return point.text(name) == text
    try:
        return float(text) == value
    except ValueError:
        return False


def _where(ask: TableRequest) -> str:
    return " and ".join(f"{name} is {text}" for name, text in ask.where.items()) or "asked"


def _split(reports: Sequence[SweepReport], ask: TableRequest) -> Iterator[SweepReport]:
    """The reports as they are, or one for each data seed."""
    for report in reports:
        seeds = sorted({cell.train.seed for cell in report.cells})
        if ask.seeds != "each":
            yield report
            continue
        for seed in seeds:
            cells = (cell for cell in report.cells if cell.train.seed == seed)
            with_seed = (replace(c, values={**c.values, "data seed": seed}) for c in cells)
            yield replace(report, cells=tuple(with_seed))


def _separate_fields(selected: Sequence[Point], ask: TableRequest) -> list[str]:
    """Fields that differ within one cell of the grid, or must not differ at all."""
    grid: dict[tuple[str, str], list[Point]] = {}
    for point in selected:
        grid.setdefault((point.text(ask.rows), point.text(ask.cols)), []).append(point)
    conflicting = {name for group in grid.values() for name in varying(group)}
    by_design = {"budget"} if any(point.cells[0].own_budget for point in selected) else set()
    strict = () if "arm" in (ask.rows, ask.cols) else set(SEPARATE_FIELDS) - by_design
    recipes = {name for point in selected for name in point.cells[0].recipe_differs}
    return [
        name
        for name in varying(selected)
        if name not in (ask.rows, ask.cols, *by_design)
        and name in {*conflicting, *strict, *recipes}
    ]


def _table(panel: Sequence[Point], ask: TableRequest) -> CustomTable:
    rows, cols = (in_order([p.fields[name] for p in panel]) for name in (ask.rows, ask.cols))
    by_field = {(p.fields[ask.rows], p.fields[ask.cols]): p for p in panel}
    reasons: dict[str, None] = {}  # in order
    lines = tuple(
        (
            format_value(ask.rows, row),
            *(_entry(by_field.get((row, col)), ask, reasons) for col in cols),
        )
        for row in rows
    )
    headers = (f"{ask.rows} \\ {ask.cols}", *(format_value(ask.cols, col) for col in cols))
    grid = Section(title=f"{ask.metric} by {ask.rows} and {ask.cols}", headers=headers, rows=lines)
    return CustomTable(grid=grid, caption=_caption(panel, ask, tuple(reasons)))


def _entry(point: Point | None, ask: TableRequest, reasons: dict[str, None]) -> str:
    if point is None:
        return ""
    entry = number(point, ask.metric)
    if isinstance(entry, Missing):
        reasons[entry.reason] = None
        return ABSENT
    if _is_measured(ask.metric):
        return f"{entry.value:.4g}"
    digits = 1 if "_pct" in ask.metric else 3
    return _with_noise(entry, digits, ask.seeds)


def _is_measured(metric: str) -> bool:
    """Whether a metric is a measurement itself, not a loss against base or control."""
    names = {metric_of(name, loss) for name in MEASURED for loss in LOSSES}
    return metric in names or metric.startswith("task:")


def _with_noise(entry: Estimate, digits: int, seeds: str) -> str:
    if seeds == "mean":
        return with_sign(entry, digits)
    if seeds == "mean±ci":
        return f"{with_sign(entry, digits)} ± {(entry.high - entry.low) / 2:.{digits}f}"
    return with_interval(entry, digits)


def _caption(panel: Sequence[Point], ask: TableRequest, reasons: Sequence[str]) -> str:
    """The metric, the fields in common, the seeds, the fields that differ, and what is missing."""
    differ = [name for name in varying(panel) if name not in (ask.rows, ask.cols)]
    same = [
        f"{name} {panel[0].text(name)}"
        for name in panel[0].fields
        if name not in (ask.rows, ask.cols, *differ)
    ]
    same += _recipe(panel, panel[0].fields)
    parts = [f"{_meaning(ask.metric)}, by {ask.rows} and {ask.cols}: {', '.join(same)}."]
    parts += [_noise(panel, ask)]
    parts += [f"Not the same everywhere: {_values(panel, name)}." for name in differ]
    parts += [f"{ABSENT} {reason}." for reason in reasons]
    return " ".join(part for part in parts if part)


def _recipe(panel: Sequence[Point], named: Iterable[str]) -> list[str]:
    """The fields of the recipe that all cells have in common, but for those `named`."""
    recipes = [asdict(cell.train.recipe) for point in panel for cell in point.cells]
    return [
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in recipes[0].items()
        if name not in _BY_BUDGET
        and not {name, axis_name(name)} & set(named)
        and all(other[name] == value for other in recipes)
    ]


_BY_BUDGET = ("budget_tokens", "micro_batches")


def _meaning(metric: str) -> str:
    loss = loss_of_metrics([metric])
    metric = metric.replace(metric_of(PERPLEXITY, loss), PERPLEXITY)
    name = metric.removesuffix(VS_CONTROL)
    if name in LOST:
        against = "the control" if metric.endswith(VS_CONTROL) else "the base"
        worse = "" if name == "retention" else "; positive is worse"
        meaning = f"{LOST[name]} against {against}{worse}"
    else:
        meaning = MEASURED.get(metric, f"score on {metric.removeprefix('task:')}")
    meaning = words_of(meaning, loss)
    return meaning[0].upper() + meaning[1:]


def _noise(panel: Sequence[Point], ask: TableRequest) -> str:
    seeds = sorted({seed for point in panel for seed in point.row.seeds})
    over = f"data seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
    if not seeds:
        return ""
    if several := _several_seeds(panel):
        over = several
    if _is_measured(ask.metric) or ask.seeds == "mean":
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


def _several_seeds(panel: Sequence[Point]) -> str:
    """The data seeds of each cell, where they differ."""
    numbers = Counter(point.row.seeds for point in panel if point.row.seeds)
    if len(numbers) < 2:
        return ""
    parts = [f"{joined(seeds)} in {number}" for seeds, number in numbers.most_common()]
    alone = any(len(seeds) == 1 for seeds in numbers)
    noise = "; of one seed, training noise is not included" if alone else ""
    return f"each cell's own data seeds ({joined(parts)} of {numbers.total()} cells{noise})"


def _values(panel: Sequence[Point], name: str) -> str:
    values = in_order([point.fields[name] for point in panel if name in point.fields])
    return f"{name} ({', '.join(format_value(name, value) for value in values)})"
