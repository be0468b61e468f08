"""Every trial of a report as a row of plain values by column: what `api.results` returns.

A row is a cell on one data seed. Names hold their unit; `_paper_tokens` are the paper's numbers, as
flags and sweeps have them, `_tokens` what they are at the scale. A missing value is None.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence

from raydistill.evaluation.bootstrap import DocumentScores, Estimate, PairedBootstrap
from raydistill.evaluation.performance_drops import drops
from raydistill.reports.results.cells import Measured, ReportBase, ReportCell, SweepReport
from raydistill.reports.results.common_tasks import table_tasks
from raydistill.reports.results.comparison import failure_reason
from raydistill.reports.results.controls import control_of
from raydistill.reports.tables.lengths import window_tokens
from raydistill.reports.tables.points import LOST, VS_CONTROL
from raydistill.specs.evaluation import metric_of
from raydistill.specs.results import Scores, TaskScore, TrialFailure, loss_of
from raydistill.specs.trial import MEMORY_FIELDS, Recipe

Value = str | int | float | bool | None
Row = dict[str, Value]

_WITH_UNITS = {"nll": "nll_nats", "delta_nll": "delta_nll_nats", "tokens": "train_tokens"}
_COSTS = ("train_s", "evaluate_s", "tokens_per_s", "flops_paper", "flops_exact", "peak_bytes")
_NO_COLUMN = {"budget_tokens", *MEMORY_FIELDS}
_RECIPE = tuple(f.name for f in dataclasses.fields(Recipe) if f.name not in _NO_COLUMN)


def trial_rows(reports: Sequence[SweepReport]) -> list[Row]:
    """The rows of reports, all with the same columns in the same order."""
    rows = [row for report in reports for row in _rows(report)]
    names = dict.fromkeys(name for row in rows for name in row)
    return [{name: row.get(name) for name in names} for row in rows]


def column(metric: str) -> str:
    """The column of a metric of reports; it names the unit.

    >>> column("delta_nll_vs_control"), column("train_s")
    ('delta_nll_nats_vs_control', 'train_s')
    """
    name = metric.removesuffix(VS_CONTROL)
    return _WITH_UNITS.get(name, name) + metric.removeprefix(name)


def token_columns(cell: ReportCell, base: ReportBase | None) -> Row:
    """Age, budget and gap in the paper's tokens and in those of the scale, where they are known."""
    noted = {"budget": cell.budget_paper_tokens, "gap": cell.gap_paper_tokens}
    paper = {name: None if isinstance(value, str) else value for name, value in noted.items()}
    return {
        "age_paper_tokens": None if isinstance(cell.age, str) else cell.age,
        "age_tokens": (base.age_tokens or None) if base else None,
        "budget_paper_tokens": paper["budget"] if cell.is_known else None,
        "budget_tokens": cell.train.recipe.budget_tokens if cell.is_known else None,
        "gap_paper_tokens": paper["gap"] if cell.is_known else None,
        "gap_tokens": cell.gap_tokens if cell.is_known else None,
    }


def _rows(report: SweepReport) -> Iterator[Row]:
    bases = {(base.scale, base.age): base for base in report.bases}
    chance = table_tasks(report).chance
    measured = [cell.outcome for cell in report.cells if isinstance(cell.outcome, Measured)]
    documents = [*(base.documents for base in report.bases), *(run.documents for run in measured)]
    bootstrap = PairedBootstrap.over(documents)
    controls = [cell for cell in report.cells if cell.role == "control"]
    for cell in report.cells:
        base, control = bases.get((cell.scale, cell.age)), control_of(cell, controls)
        scores = {
            "": cell.outcome.result.after if isinstance(cell.outcome, Measured) else None,
            "base_": base.scores if base else None,
            "control_": control.result.after if control else None,
        }
        row = _request(report, cell) | _ending(cell)
        row |= _lost(cell, base.documents if base else None, chance, bootstrap, "")
        row |= _lost(cell, control.documents if control else None, chance, bootstrap, VS_CONTROL)
        for prefix, of in scores.items():
            row |= _levels(prefix, of, tuple(chance))
        row["control_trial_id"] = control.result.trained.trial_id if control else None
        for prefix, of in scores.items():
            row |= {f"{prefix}task:{name}": t.value for name, t in _tasks(of)}
        row |= {f"task_stderr:{name}": task.stderr for name, task in _tasks(scores[""])}
        row |= token_columns(cell, base) | _cost(cell) | _setting(cell)
        loss = loss_of(filter(None, scores.values()))
        yield {metric_of(name, loss): value for name, value in row.items()}


def _request(report: SweepReport, cell: ReportCell) -> Row:
    """What was asked for; an axis that has no column by its name gets one."""
    row: Row = {
        "sweep": report.sweep,
        "scale": cell.scale,
        "trial_id": cell.trial_id,
        "searched": report.searched,
        "role": cell.role,
        "location": cell.location,
        "age": cell.age,
        "count": cell.count,
        "loss": cell.train.loss if cell.is_known else None,
        "seed": cell.train.seed if cell.is_known else None,
    }
    elsewhere = {*row, "budget", "gap"}  # as `budget_paper_tokens`, `gap_paper_tokens`
    own = {axis: value for axis, value in cell.values.items() if axis not in elsewhere}
    return row | own | {"layers": " ".join(map(str, cell.layers))}


def _ending(cell: ReportCell) -> Row:
    if isinstance(cell.outcome, TrialFailure):
        return {"status": "failed", "failure": failure_reason(cell.outcome)}
    return {"status": "finished", "failure": None}


def _cost(cell: ReportCell) -> Row:
    """What the trial took, and who ran it on what."""
    row: Row = dict.fromkeys(("train_tokens", *_COSTS, "owner", "device"))
    if isinstance(cell.outcome, TrialFailure):
        return row
    cost, made_by = cell.outcome.result.trained.cost, cell.outcome.result.trained.made_by
    if not made_by.is_known:
        return row | {"evaluate_s": cost.evaluate_s}
    costs = {
        **dataclasses.asdict(cost),
        "tokens_per_s": cost.tokens / cost.train_s if cost.train_s else None,
    }
    row |= {"train_tokens": cost.tokens} | {name: costs[name] for name in _COSTS}
    return row | {"owner": made_by.owner or None, "device": made_by.device}


def _setting(cell: ReportCell) -> Row:
    """The recipe as it was run, the model, and the text."""
    train = cell.train
    row: Row = {name: getattr(train.recipe, name) if cell.is_known else None for name in _RECIPE}
    return row | {
        "num_params": cell.num_params,
        "num_layers": cell.num_layers,
        "window_tokens": window_tokens([cell]) or None,
        "text": cell.text,
        "note": cell.note or None,
    }


def _levels(prefix: str, scores: Scores | None, averaged: Sequence[str]) -> Row:
    """The losses of one set of weights, and the mean over the tasks of the table."""
    row: Row = dict.fromkeys(
        f"{prefix}{name}" for name in ("nll_nats", "perplexity", "general_nll_nats", "downstream")
    )
    if scores is None:
        return row
    row[f"{prefix}nll_nats"] = scores.nll
    row[f"{prefix}perplexity"] = math.exp(min(scores.nll, 700))
    if not isinstance(scores.general_nll, str):
        row[f"{prefix}general_nll_nats"] = scores.general_nll
    if averaged and set(averaged) <= scores.tasks.keys():
        row[f"{prefix}downstream"] = scores.over(averaged).downstream
    return row


def _tasks(scores: Scores | None) -> Iterator[tuple[str, TaskScore]]:
    yield from sorted(scores.tasks.items()) if scores else ()


def _lost(
    cell: ReportCell,
    reference: DocumentScores | None,
    chance: Mapping[str, float],
    bootstrap: PairedBootstrap,
    suffix: str,
) -> Row:
    """What was lost against one reference, each with its 95 % interval over documents."""
    columns = [column(f"{metric}{suffix}") for metric in LOST]
    row: Row = dict.fromkeys(f"{name}{end}" for name in columns for end in ("", "_low", "_high"))
    if reference is None or not isinstance(cell.outcome, Measured):
        return row
    lost = drops({0: reference}, {0: cell.outcome.documents}, chance=chance, bootstrap=bootstrap)
    for metric, name in zip(LOST, columns, strict=True):
        entry = getattr(lost, metric)
        if isinstance(entry, Estimate):
            row |= {name: entry.value, f"{name}_low": entry.low, f"{name}_high": entry.high}
    return row
