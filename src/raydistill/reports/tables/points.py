"""The rows of a table as points of the space that was swept: fields by name, and their numbers.

Figures over an axis and tables by rows and columns of choice are drawn from these.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raydistill.core.errors import UsageError, unknown
from raydistill.evaluation.bootstrap import Entry, Estimate, Missing
from raydistill.evaluation.performance_drops import Runs
from raydistill.planning.cell import format_value
from raydistill.reports.results import paper_numbers as paper
from raydistill.reports.results.blocks import RowCells, row_blocks
from raydistill.reports.results.cells import CONTROL, Measured, ReportCell, SweepReport
from raydistill.reports.tables.table import Row, Table
from raydistill.specs.evaluation import (
    PERPLEXITY,
    item_limit,
    loss_of_metrics,
    metric_of,
    words_of,
)
from raydistill.specs.results import NOT_KNOWN, TrialResult

Value = str | int | float

# Metrics of a row against the base; `…_vs_control` is against the control.
LOST = {
    "delta_nll": "nats per token lost",
    "perplexity_drop_pct": "perplexity gained, %",
    "downstream_drop_pct": "mean task score lost, %",
    "retention": "task score above chance that is kept, as a share",
}
# Metrics of its trials, averaged over seeds; `task:NAME` is the score of one task.
MEASURED = {
    "nll": "held-out nats per token",
    "perplexity": "held-out perplexity",
    "downstream": "mean task score",
    "tokens": "tokens trained",
    "flops_paper": "training FLOPs by the paper's rule",
    "flops_exact": "training FLOPs, exactly",
    "train_s": "seconds of training",
    "tokens_per_s": "tokens trained a second",
    "peak_bytes": "peak memory, bytes",
}
TRAINING = ("tokens", "flops_paper", "flops_exact", "train_s", "tokens_per_s", "peak_bytes")
VS_CONTROL = "_vs_control"


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One row of a table, its fields, and the cells behind it (one a seed)."""

    fields: Mapping[str, Value]
    label: str  # of its block
    tasks: tuple[str, ...]  # of the table: every mean is over them
    row: Row
    cells: tuple[ReportCell, ...]
    runs: Runs  # by data seed

    def text(self, field: str) -> str:
        """A field as people write it; empty where the row has none."""
        return format_value(field, self.fields.get(field, ""))

    @property
    def results(self) -> list[TrialResult]:
        """The results of the cells that finished."""
        return [c.outcome.result for c in self.cells if isinstance(c.outcome, Measured)]


def points(report: SweepReport, table: Table) -> list[Point]:
    """Every row of the `table` that was built from `report`; a control of several blocks once."""
    by_cell: dict[int, Point] = {}
    for row_block, block in zip(row_blocks(report.cells), table.blocks, strict=True):
        for row_cells, row in zip(row_block.rows, block.rows, strict=True):
            point = Point(
                fields=_fields(report, row_cells),
                label=block.label,
                tasks=table.tasks,
                row=row,
                cells=row_cells.cells,
                runs=row_cells.runs,
            )
            by_cell.setdefault(id(row_cells.first), point)
    return list(by_cell.values())


def _fields(report: SweepReport, row: RowCells) -> dict[str, Value]:
    cell = row.first
    fields: dict[str, Value] = {"sweep": report.sweep, "scale": cell.scale, "age": cell.age}
    fields |= {"location": cell.location}
    if cell.count:
        fields |= {"count": cell.count, "gap_tokens": cell.gap_tokens}
    fields |= {
        "loss": cell.train.loss,
        "budget": cell.train.recipe.budget_tokens,
        "text": cell.text,
    }
    outcome = cell.outcome
    limit = item_limit(outcome.result.after.tasks) if isinstance(outcome, Measured) else 0
    if limit:
        fields["limit"] = f"{limit} items a task"
    if not cell.is_known:
        fields["loss"] = NOT_KNOWN
        fields = {n: value for n, value in fields.items() if n not in ("budget", "gap_tokens")}
    hidden = ["seed", "budget"]  # the axis is in the paper's tokens
    hidden += ["count", "gap", "order"] if row.role in ("control", "taught") else []
    return {**fields, **{axis: v for axis, v in cell.values.items() if axis not in hidden}}


def number(point: Point, metric: str) -> Entry:
    """The value of a metric for a row; an `Estimate` without width where its noise is unknown.

    Raises:
        UsageError: if there is no such metric.
    """
    if metric.startswith("task:"):
        return _task(point, metric.removeprefix("task:"))
    plain = metric.replace(metric_of(PERPLEXITY, loss_of_metrics([metric])), PERPLEXITY)
    if metric != metric_of(plain, point.row.loss):
        return Missing(reason=f"its held-out loss is a {words_of(PERPLEXITY, point.row.loss)}")
    metric = plain
    if metric in TRAINING and not all(cell.is_known for cell in point.cells):
        return Missing(reason=f"trained elsewhere: {NOT_KNOWN}")
    if metric in MEASURED:
        return _mean([_measured(result, metric, point.tasks) for result in point.results])
    row, name = point.row, metric.removesuffix(VS_CONTROL)
    if name not in LOST:
        known = [*LOST, *(f"{loss}{VS_CONTROL}" for loss in LOST), *MEASURED, "task:NAME"]
        raise UsageError(unknown("metric", metric, known))
    drops = row.against_control if metric.endswith(VS_CONTROL) else row.against_base
    entry: Entry = getattr(drops, name)
    return entry


def _task(point: Point, task: str) -> Entry:
    names = {name for result in point.results for name in result.after.tasks}
    if names and task not in names:
        raise UsageError(unknown("task", task, names))
    return _mean([r.after.tasks[task].value for r in point.results if task in r.after.tasks])


def _measured(result: TrialResult, metric: str, tasks: Sequence[str]) -> float:
    cost, after = result.trained.cost, result.after.over(tasks)
    values = {
        "nll": after.nll,
        "perplexity": math.exp(min(after.nll, 700)),
        "downstream": after.downstream if after.tasks else math.nan,
        "tokens": cost.tokens,
        "flops_paper": cost.flops_paper,
        "flops_exact": cost.flops_exact,
        "train_s": cost.train_s,
        "tokens_per_s": cost.tokens / cost.train_s if cost.train_s else math.nan,
        "peak_bytes": cost.peak_bytes,
    }
    return float(values[metric])


def _mean(values: Sequence[float]) -> Entry:
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return Missing(reason="not measured")
    mean = statistics.fmean(finite)
    return Estimate(value=mean, low=mean, high=mean)


def in_order(values: Sequence[Value]) -> list[Value]:
    """Distinct values: numbers ascending, the paper's locations in its order, other names after."""
    distinct = list(dict.fromkeys(values))
    numbers = sorted(value for value in distinct if not isinstance(value, str))
    names = [value for value in distinct if isinstance(value, str)]
    return [*numbers, *sorted(names, key=_location_order)]


def _location_order(name: str) -> int:
    if name == CONTROL:
        return len(paper.LOCATIONS) + 1
    return paper.LOCATIONS.index(name) if name in paper.LOCATIONS else len(paper.LOCATIONS)


def varying(points: Sequence[Point]) -> list[str]:
    """The fields in which points differ, among the points that have them."""
    names = dict.fromkeys(name for point in points for name in point.fields)
    return [n for n in names if len({p.fields[n] for p in points if n in p.fields}) > 1]
