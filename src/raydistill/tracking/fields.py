"""What one MLflow run holds: parameters, metrics, tags and a note, from plain values.

Plain names are against the base, `..._vs_control` against the control; positive is worse
(METHOD 1). Names repeat on every run, because MLflow's page filters runs one by one.
"""

import dataclasses
import math
import re
from collections.abc import Collection, Iterator, Mapping

from raydistill.core.units import ratio_drop_pct, ratio_rise_pct
from raydistill.planning.cell import ADDED, REFERENCE, format_value
from raydistill.planning.preview.trial_table import KEPT, REMOVED
from raydistill.specs.evaluation import (
    LOSSES,
    PERPLEXITY,
    metric_of,
    read_probe_score,
)
from raydistill.specs.recipe import field_named, is_setting
from raydistill.specs.results import (
    NOT_KNOWN,
    Cost,
    Finished,
    HeldoutPoint,
    Outcome,
    Progress,
    Scores,
    TrialFailure,
    UnitScores,
)
from raydistill.tracking.records import TrackedBase, TrackedCell, TrackedSweep

HIDDEN = "mlflow.raydistill."  # begins tags that MLflow's pages do not show
_CANDIDATES = ("cell", "taught")  # the roles of what a sweep compares


def requested_values(cell: TrackedCell | TrackedBase) -> dict[str, str]:
    """The values that a sweep asked for; at location `none` nothing leaves (METHOD 3)."""
    values = {name: format_value(name, value) for name, value in cell.values.items()}
    if isinstance(cell, TrackedBase) or values.get("location") == "none":
        values |= {"location": "none", "count": "0", "gap": "0"}
    return values


def run_name(role: str, values: Mapping[str, str], axes: tuple[str, ...]) -> str:
    """A short name that tells the runs of one sweep apart.

    >>> run_name("cell", {"age": "80B", "location": "input", "count": "4"}, ("age", "location"))
    'input age=80B'
    """
    if role == ADDED:
        return f"added: {values[ADDED]}"
    first = values.get("location", role) if role == "cell" else role
    if role == REFERENCE:
        return f"{role} {values[REFERENCE]}"
    hidden = {"location"} if role == "cell" else {"location", "count", "gap"}
    rest = [f"{axis}={values[axis]}" for axis in axes if axis in values and axis not in hidden]
    return " ".join([first, *rest])


def cell_params(sweep: TrackedSweep, cell: TrackedCell) -> dict[str, str]:
    """A cell's parameters, as requested and as run; a field that is an axis, by the axis's name."""
    train = cell.spec.train
    as_run = {"loss": train.loss, "seed": train.seed, **train.recipe.named_fields}
    as_axes = {field_named(name) for name in cell.values if is_setting(name)}
    params = {name: str(value) for name, value in as_run.items() if name not in as_axes}
    params |= _common_params(sweep, cell)
    if is_known(cell.outcome):
        return params
    training = ("location", "count", "gap", "gap_tokens", "budget", *as_run)
    return params | {name: NOT_KNOWN for name in training if name in params}


def layers_text(cell: TrackedCell | TrackedBase) -> str:
    """The layers that left, as far as its map shows them."""
    removed = " ".join(str(layer) for layer, box in enumerate(cell.layer_map) if box == REMOVED)
    return removed or ("none" if KEPT in cell.layer_map else NOT_KNOWN)


def hidden_tags(cell: TrackedCell) -> dict[str, str]:
    """Hashes, to search by: pages show no tag of MLflow's own prefix."""
    train = cell.spec.train
    hashes = {"corpus_sha256": train.corpus_sha256, "tokenizer_sha256": train.tokenizer_sha256}
    return {f"{HIDDEN}{name}": value for name, value in hashes.items()}


def own_axes(sweep: TrackedSweep, scales: Collection[str] = ()) -> dict[str, tuple[str, ...]]:
    """The parameters in which its cells differ as requested, with their values, as it orders them.

    Those of a sweep that has begun no second cell are its axes. Before them comes the scale, if
    there are runs at several `scales`.
    """
    cells = [cell for cell in sweep.cells if cell.role in _CANDIDATES]
    requested = [{**requested_values(c), "seed": str(c.spec.train.seed)} for c in cells]
    names = dict.fromkeys([*sweep.axes, *(name for values in requested for name in values)])
    values = {n: tuple(dict.fromkeys(v[n] for v in requested if n in v)) for n in names}
    several = {name: texts for name, texts in values.items() if len(texts) > 1}
    by_scale = {"scale": tuple(sorted(scales))} if len(scales) > 1 else {}
    return by_scale | (several or {name: values[name] for name in sweep.axes})


def is_known(outcome: Outcome) -> bool:
    """Whether it is known how a cell was trained: not of a student from elsewhere."""
    return not isinstance(outcome, Finished) or outcome.result.trained.made_by.is_known


def base_params(sweep: TrackedSweep, base: TrackedBase) -> dict[str, str]:
    """A base's parameters, under the same names as those of the cells that start from it."""
    return _common_params(sweep, base)


def _common_params(sweep: TrackedSweep, item: TrackedCell | TrackedBase) -> dict[str, str]:
    as_run = {name: str(value) for name, value in item.as_run.items()}
    return {"sweep": sweep.name, "scale": sweep.scale, **requested_values(item), **as_run}


def curve_points(
    curve: tuple[Progress, ...], heldout: tuple[HeldoutPoint, ...]
) -> Iterator[tuple[str, int, float]]:
    """The curves as (name, tokens, value)."""
    for step in curve:
        yield "train_loss", step.tokens, step.loss
        yield "lr", step.tokens, step.lr
        yield "num_layers", step.tokens, float(step.num_layers)
    for point in heldout:
        yield "heldout_nll", point.tokens, point.nll


def score_metrics(scores: Scores, averaged: Collection[str]) -> dict[str, float]:
    """The scores of one set of weights: every task, and the mean over those `averaged`."""
    loss = scores.loss
    metrics = {"nll": scores.nll, metric_of(PERPLEXITY, loss): perplexity(scores.nll)}
    if not isinstance(scores.general_nll, str):
        general = scores.general_nll
        name = f"general_{metric_of(PERPLEXITY, loss)}"
        metrics |= {"general_nll": general, name: perplexity(general)}
    if (mean := scores.over(averaged)).tasks:
        metrics["downstream"] = mean.downstream
    for name, task in scores.tasks.items():
        metrics[task_metric(name)] = task.value
        metrics[task_metric(name, "stderr")] = task.stderr
        metrics |= {task_metric(name, other): value for other, value in task.beside}
        if not isinstance(task.truncation, str):
            metrics[task_metric(name, "items")] = float(task.truncation.items)
            metrics[task_metric(name, "truncated_items")] = float(task.truncation.truncated)
    return metrics


def probe_metrics(accuracies: Mapping[str, UnitScores]) -> dict[str, float]:
    """The accuracy of each probe from each start, as the mean over the seeds of fine-tuning."""
    by_start: dict[str, list[float]] = {}
    for name, scores in accuracies.items():
        probe, start, _ = read_probe_score(name)
        by_start.setdefault(_metric("probe", probe, start), []).append(scores.value)
    return {name: sum(values) / len(values) for name, values in by_start.items()}


def task_metric(*parts: str) -> str:
    """A metric's name in the letters that MLflow allows.

    >>> task_metric("acc,none", "stderr")
    'task.acc_none.stderr'
    """
    return _metric("task", *parts)


def _metric(*parts: str) -> str:
    return ".".join(re.sub(r"[^\w\-/: ]", "_", part) for part in parts)


def drop_metrics(before: Scores, after: Scores, suffix: str = "") -> dict[str, float]:
    """What was lost from `before` to `after`; a score that was 0 before has no drop."""
    drops = {
        "delta_nll": after.nll - before.nll,
        metric_of("perplexity_drop_pct", after.loss): ratio_rise_pct(
            perplexity(before.nll), perplexity(after.nll)
        ),
    }
    if not isinstance(before.general_nll, str) and not isinstance(after.general_nll, str):
        drops["general_delta_nll"] = after.general_nll - before.general_nll
    if before.tasks and after.tasks and before.downstream > 0:
        drops["downstream_drop_pct"] = ratio_drop_pct(before.downstream, after.downstream)
    return {f"{name}{suffix}": value for name, value in drops.items()}


def retention_metrics(before: Scores, after: Scores, averaged: Collection[str]) -> dict[str, float]:
    """The share of a score above chance that is kept, (after − chance)/(before − chance).

    Of every task, and of the mean over those `averaged`, as in the table (METHOD 1). Scores that
    were not above chance before have nothing to retain and are left out.
    """
    shared = [name for name in before.tasks if name in after.tasks]
    groups = {task_metric(name, "retention"): [name] for name in shared}
    groups["retention"] = [name for name in shared if name in averaged]
    retention = {}
    for metric, names in groups.items():
        first = sum(before.tasks[name].value - before.tasks[name].chance for name in names)
        if first > 0:
            last = sum(after.tasks[name].value - before.tasks[name].chance for name in names)
            retention[metric] = last / first
    return retention


def sweep_metrics(sweep: TrackedSweep) -> dict[str, float]:
    """What a sweep's own run says of it: its cells that have begun, and the least that any lost."""
    cells = [cell for cell in sweep.cells if cell.role in (*_CANDIDATES, "control")]
    finished = [cell.outcome.result for cell in cells if isinstance(cell.outcome, Finished)]
    metrics = {
        "num_cells": float(len(cells)),
        "num_finished": float(len(finished)),
        "num_failed": float(sum(isinstance(cell.outcome, TrialFailure) for cell in cells)),
        "train_s": sum({r.trained.trial_id: r.trained.cost.train_s for r in finished}.values()),
    }
    averaged, lost = sweep.tasks_averaged, []
    for cell in cells:
        if cell.role in _CANDIDATES and isinstance(cell.outcome, Finished):
            result = cell.outcome.result
            lost.append(drop_metrics(result.before.over(averaged), result.after.over(averaged)))
    names = [metric_of("perplexity_drop_pct", loss) for loss in LOSSES]
    for name in ("delta_nll", *names, "downstream_drop_pct"):
        values = [of_cell[name] for of_cell in lost if math.isfinite(of_cell.get(name, math.nan))]
        metrics |= {f"best_{name}": min(values)} if values else {}
    return metrics


def cost_metrics(cost: Cost) -> dict[str, float]:
    """What a trial cost, and its speed."""
    metrics = {name: float(value) for name, value in dataclasses.asdict(cost).items()}
    metrics = {n: v for n, v in metrics.items() if v or n not in ("held_bytes", "expected_bytes")}
    speed = {"tokens_per_s": cost.tokens / cost.train_s} if cost.train_s > 0 else {}
    return metrics | speed


def perplexity(nll: float) -> float:
    """exp(nll), and infinity where that is too large for a float."""
    try:
        return math.exp(nll)
    except OverflowError:
        return math.inf
