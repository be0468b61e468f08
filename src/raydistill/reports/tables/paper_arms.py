"""Tables 3 and 4 of the paper, drawn where a sweep has an axis `arm`."""

import math
from collections.abc import Sequence

from raydistill.core.units import format_tokens
from raydistill.evaluation.bootstrap import Missing
from raydistill.reports.results import paper_numbers as paper
from raydistill.reports.results.cells import ReportBase, SweepReport
from raydistill.reports.tables.grids import ABSENT, Section
from raydistill.reports.tables.points import Point, number
from raydistill.reports.tables.table import Table

ARM = "arm"

CHEAPEST = "teacher-free"
"""The arm that ratios of cost are against, as in Table 4."""


def paper_tables(report: SweepReport, table: Table, found: Sequence[Point]) -> list[Section]:
    """Tables 3 and 4, or none where no row is an arm."""
    arms = [point for point in found if point.cells[0].arm]
    if not arms:
        return []
    return [_table_3(report, table, arms), _table_4(arms)]


def _model(point: Point) -> str:
    return f"{point.fields['scale']}-{point.text('age')}"


def _table_3(report: SweepReport, table: Table, arms: Sequence[Point]) -> Section:
    bases = {(base.scale, base.age): base for base in report.bases}
    rows: list[tuple[str, ...]] = []
    for model in dict.fromkeys(map(_model, arms)):
        some = [point for point in arms if _model(point) == model]
        base = bases.get((str(some[0].fields["scale"]), some[0].cells[0].age))
        rows += [_before(model, base, table.tasks)] if base else []
        rows += [_scored(point, table.tasks) for point in some]
        rows += _printed_scores(some[0].text("age"), table.tasks)
    return Section(
        title="As Table 3 of the paper: zero-shot scores, their mean and perplexity",
        headers=("method", "model", *table.tasks, "mean", "perplexity"),
        rows=tuple(rows),
    )


def _before(model: str, base: ReportBase, tasks: Sequence[str]) -> tuple[str, ...]:
    scores = base.scores
    values = [scores.tasks[task].value if task in scores.tasks else math.nan for task in tasks]
    averaged = scores.over(tasks)
    mean = averaged.downstream if averaged.tasks else math.nan
    perplexity = math.exp(min(scores.nll, 700))
    return ("before removal", model, *map(_score, [*values, mean]), _level(perplexity))


def _scored(point: Point, tasks: Sequence[str]) -> tuple[str, ...]:
    entries = [number(point, f"task:{task}") for task in tasks]
    entries.append(number(point, "downstream"))
    values = [math.nan if isinstance(entry, Missing) else entry.value for entry in entries]
    perplexity = number(point, "perplexity")
    level = ABSENT if isinstance(perplexity, Missing) else _level(perplexity.value)
    return (str(point.fields[ARM]), _model(point), *map(_score, values), level)


def _score(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else ABSENT


def _level(value: float) -> str:
    return f"{value:.4g}"


def _printed_scores(age: str, tasks: Sequence[str]) -> list[tuple[str, ...]]:
    """The paper's lines for a checkpoint of that age, under the tasks of ours that it has."""
    return [
        (
            f"paper, {line.method}",
            line.model,
            *(_printed(line, task) for task in tasks),
            f"{line.downstream:.4f}",
            _level(line.perplexity),
        )
        for line in paper.TABLE_3
        if line.model.endswith(f"-{age}")
    ]


def _printed(line: paper.PaperScores, task: str) -> str:
    return f"{line.tasks[paper.TASKS.index(task)]:.4f}" if task in paper.TASKS else ""


def _table_4(arms: Sequence[Point]) -> Section:
    rows = []
    for model in dict.fromkeys(map(_model, arms)):
        some = [point for point in arms if _model(point) == model]
        rows += [_cost(point, _cheapest(some)) for point in some]
    rows += [_printed_cost(line) for line in paper.TABLE_4]
    return Section(
        title="As Table 4 of the paper: FLOPs and wall-clock time of each method",
        headers=(
            *("method", "model", "tokens", "FLOPs, paper's rule", "ratio"),
            *("FLOPs, exact", "ratio", "wall-clock", "ratio", "devices"),
        ),
        rows=tuple(rows),
    )


def _cheapest(some: Sequence[Point]) -> Point | None:
    return next((point for point in some if point.fields[ARM] == CHEAPEST), None)


def _cost(point: Point, reference: Point | None) -> tuple[str, ...]:
    columns: list[str] = []
    for metric in ("flops_paper", "flops_exact", "train_s"):
        mine = number(point, metric)
        if isinstance(mine, Missing):
            columns += [ABSENT, ""]
            continue
        said = f"{mine.value:.3g}" if metric != "train_s" else f"{mine.value:.1f} s"
        columns += [said, _ratio(mine.value, reference, metric)]
    made = {(r.trained.made_by.world_size, r.trained.made_by.device) for r in point.results}
    devices = ", ".join(f"{count} x {device}" for count, device in sorted(made)) or ABSENT
    tokens = number(point, "tokens")
    trained = ABSENT if isinstance(tokens, Missing) else format_tokens(round(tokens.value))
    return (str(point.fields[ARM]), _model(point), trained, *columns, devices)


def _ratio(value: float, reference: Point | None, metric: str) -> str:
    theirs = number(reference, metric) if reference else Missing(reason="no teacher-free arm")
    if isinstance(theirs, Missing) or not theirs.value:
        return ""
    return f"{value / theirs.value:.2f}x"


def _printed_cost(line: paper.PaperCost) -> tuple[str, ...]:
    ours = next(r for r in paper.TABLE_4 if (r.method, r.model) == (CHEAPEST, line.model))
    hours = line.wall_clock_hours
    return (
        *(f"paper, {line.method}", line.model, "20B"),
        *(f"{line.flops:.4g}", f"{line.flops / ours.flops:.2f}x", "", ""),
        *(f"~{hours:g} hrs", f"{hours / ours.wall_clock_hours:.2f}x"),
        f"{line.devices} x A100",
    )
