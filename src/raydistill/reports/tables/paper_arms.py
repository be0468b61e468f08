"""Tables 3 and 4 of the paper, drawn where a sweep has an axis `arm`."""

import math
from collections.abc import Sequence

from raydistill.core.units import format_tokens
from raydistill.evaluation.bootstrap import Missing
from raydistill.reports.results import paper_numbers as paper
from raydistill.reports.results.caveats import joined, recipe_text
from raydistill.reports.results.cells import ReportBase, SweepReport
from raydistill.reports.tables.grids import ABSENT, Section
from raydistill.reports.tables.points import Point, number
from raydistill.reports.tables.table import Table
from raydistill.specs.evaluation import PERPLEXITY, metric_of, words_of

ARM = "arm"
CHEAPEST = "teacher-free"  # the arm that ratios of cost are against, as in Table 4


def paper_tables(report: SweepReport, table: Table, points: Sequence[Point]) -> list[Section]:
    """Tables 3 and 4, or none where no row is an arm."""
    arms = [point for point in points if point.cells[0].arm]
    if not arms:
        return []
    return [_table_3(report, table, arms), _table_4(arms)]


def _model(point: Point) -> str:
    return f"{point.fields['scale']}-{point.text('age')}"


def _table_3(report: SweepReport, table: Table, arms: Sequence[Point]) -> Section:
    bases = {(base.scale, base.age): base for base in report.bases}
    rows: list[tuple[str, ...]] = []
    for model in dict.fromkeys(map(_model, arms)):
        of_model = [point for point in arms if _model(point) == model]
        base = bases.get((str(of_model[0].fields["scale"]), of_model[0].cells[0].age))
        rows += [_base_scores(model, base, table.tasks)] if base else []
        rows += [_scores(point, table.tasks) for point in of_model]
        rows += _printed_scores(of_model[0].text("age"), table.tasks)
    level = words_of(PERPLEXITY, arms[0].row.loss)
    return Section(
        title=f"As Table 3 of the paper: zero-shot scores, their mean and {level}{_windows(arms)}",
        headers=("method", "model", *table.tasks, "mean", level),
        rows=tuple(rows),
    )


def _windows(arms: Sequence[Point]) -> str:
    sizes = sorted({point.row.window_tokens for point in arms} - {0})
    return f" (ours in windows of {joined(sizes)} tokens)" if sizes else ""


def _base_scores(model: str, base: ReportBase, tasks: Sequence[str]) -> tuple[str, ...]:
    scores = base.scores
    values = [scores.tasks[task].value if task in scores.tasks else math.nan for task in tasks]
    averaged = scores.over(tasks)
    mean = averaged.downstream if averaged.tasks else math.nan
    perplexity = math.exp(min(scores.nll, 700))
    return ("before removal", model, *map(_score, [*values, mean]), _level(perplexity))


def _scores(point: Point, tasks: Sequence[str]) -> tuple[str, ...]:
    entries = [number(point, f"task:{task}") for task in tasks]
    entries.append(number(point, "downstream"))
    values = [math.nan if isinstance(entry, Missing) else entry.value for entry in entries]
    perplexity = number(point, metric_of(PERPLEXITY, point.row.loss))
    level = ABSENT if isinstance(perplexity, Missing) else _level(perplexity.value)
    return (_method(point), _model(point), *map(_score, values), level)


def _score(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else ABSENT


def _level(value: float) -> str:
    return f"{value:.4g}"


def _printed_scores(age: str, tasks: Sequence[str]) -> list[tuple[str, ...]]:
    """The paper's lines for a checkpoint of that age, over those of our tasks that it has."""
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
        of_model = [point for point in arms if _model(point) == model]
        rows += [_cost(point, _cheapest(point, of_model)) for point in of_model]
    rows += [_printed_cost(line) for line in paper.TABLE_4]
    return Section(
        title="As Table 4 of the paper: FLOPs and wall-clock time of each method",
        headers=(
            *("method", "model", "tokens", "FLOPs, paper's rule", "ratio"),
            *("FLOPs, exact", "ratio", "wall-clock", "ratio", "devices"),
        ),
        rows=tuple(rows),
    )


def _method(point: Point) -> str:
    """The arm, with what tells rows of one arm apart: a location, a recipe."""
    recipe = recipe_text(point.cells[0])
    return (
        point.row.name if not recipe or recipe in point.row.name else f"{point.row.name}, {recipe}"
    )


def _cheapest(point: Point, of_model: Sequence[Point]) -> Point | None:
    """The teacher-free arm of the same recipe; of any, for what heals no base."""
    rivals = [other for other in of_model if other.fields[ARM] == CHEAPEST]
    alike = [r for r in rivals if r.cells[0].own_recipe == point.cells[0].own_recipe]
    return next(iter(alike or rivals), None)


def _cost(point: Point, reference: Point | None) -> tuple[str, ...]:
    columns: list[str] = []
    for metric in ("flops_paper", "flops_exact", "train_s"):
        cost = number(point, metric)
        if isinstance(cost, Missing):
            columns += [ABSENT, ""]
            continue
        text = f"{cost.value:.3g}" if metric != "train_s" else f"{cost.value:.1f} s"
        columns += [text, _ratio(cost.value, reference, metric)]
    kinds = {(r.trained.made_by.world_size, r.trained.made_by.device) for r in point.results}
    devices = ", ".join(f"{count} x {device}" for count, device in sorted(kinds)) or ABSENT
    tokens = number(point, "tokens")
    trained = ABSENT if isinstance(tokens, Missing) else format_tokens(round(tokens.value))
    return (_method(point), _model(point), trained, *columns, devices)


def _ratio(value: float, reference: Point | None, metric: str) -> str:
    cheapest = number(reference, metric) if reference else Missing(reason="no teacher-free arm")
    if isinstance(cheapest, Missing) or not cheapest.value:
        return ""
    return f"{value / cheapest.value:.2f}x"


def _printed_cost(line: paper.PaperCost) -> tuple[str, ...]:
    cheapest = next(r for r in paper.TABLE_4 if (r.method, r.model) == (CHEAPEST, line.model))
    hours = line.wall_clock_hours
    return (
        *(f"paper, {line.method}", line.model, "20B"),
        *(f"{line.flops:.4g}", f"{line.flops / cheapest.flops:.2f}x", "", ""),
        *(f"~{hours:g} hrs", f"{hours / cheapest.wall_clock_hours:.2f}x"),
        f"{line.devices} x A100",
    )
