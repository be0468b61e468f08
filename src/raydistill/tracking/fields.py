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
from raydistill.specs.recipe import is_setting
from raydistill.specs.results import (
    NOT_KNOWN,
    Cost,
    Finished,
    HeldoutPoint,
    Outcome,
    Progress,
    Scores,
)
from raydistill.specs.trial import TrialSpec
from raydistill.tracking.records import TrackedBase, TrackedCell, TrackedSweep


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
    """A cell's parameters, as requested and as run."""
    loss = {"loss": cell.spec.train.loss}
    common = _common_params(sweep, cell)
    recipe_axes = {name: common[name] for name in cell.values if is_setting(name)}
    params = {**loss, **common, **_spec_params(cell.spec), **recipe_axes}
    if is_known(cell.outcome):
        return params
    recipe = [field.name for field in dataclasses.fields(cell.spec.train.recipe)]
    training = ("location", "count", "gap", "gap_tokens", "budget", "loss", "seed", *recipe)
    removed = " ".join(str(layer) for layer, box in enumerate(cell.layer_map) if box == REMOVED)
    layers = removed or ("none" if KEPT in cell.layer_map else NOT_KNOWN)
    return params | {name: NOT_KNOWN for name in training if name in params} | {"layers": layers}


def is_known(outcome: Outcome) -> bool:
    """Whether it is known how a cell was trained: not of a student from elsewhere."""
    return not isinstance(outcome, Finished) or outcome.result.trained.made_by.is_known


def base_params(sweep: TrackedSweep, base: TrackedBase) -> dict[str, str]:
    """A base's parameters, under the same names as those of the cells that start from it."""
    return {**_common_params(sweep, base), "layers": "none"}


def _common_params(sweep: TrackedSweep, item: TrackedCell | TrackedBase) -> dict[str, str]:
    as_run = {name: str(value) for name, value in item.as_run.items()}
    return {"sweep": sweep.name, "scale": sweep.scale, **requested_values(item), **as_run}


def _spec_params(spec: TrialSpec) -> dict[str, str]:
    recipe = {name: str(value) for name, value in dataclasses.asdict(spec.train.recipe).items()}
    return {
        "layers": " ".join(map(str, spec.plan.layers)) or "none",
        "seed": str(spec.train.seed),
        "corpus_sha256": spec.train.corpus_sha256,
        "tokenizer_sha256": spec.train.tokenizer_sha256,
        **recipe,
    }


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
    metrics = {"nll": scores.nll, "perplexity": perplexity(scores.nll)}
    if not isinstance(scores.general_nll, str):
        general = scores.general_nll
        metrics |= {"general_nll": general, "general_perplexity": perplexity(general)}
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


def task_metric(*parts: str) -> str:
    """A metric's name in the letters that MLflow allows.

    >>> task_metric("acc,none", "stderr")
    'task.acc_none.stderr'
    """
    return ".".join(["task", *(re.sub(r"[^\w\-/: ]", "_", part) for part in parts)])


def drop_metrics(before: Scores, after: Scores, suffix: str = "") -> dict[str, float]:
    """What was lost from `before` to `after`; a score that was 0 before has no drop."""
    drops = {
        "delta_nll": after.nll - before.nll,
        "perplexity_drop_pct": ratio_rise_pct(perplexity(before.nll), perplexity(after.nll)),
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


def cost_metrics(cost: Cost) -> dict[str, float]:
    """What a trial cost, and its speed."""
    metrics = {name: float(value) for name, value in dataclasses.asdict(cost).items()}
    speed = {"tokens_per_s": cost.tokens / cost.train_s} if cost.train_s > 0 else {}
    return metrics | speed


def perplexity(nll: float) -> float:
    """exp(nll), and infinity where that is too large for a float."""
    try:
        return math.exp(nll)
    except OverflowError:
        return math.inf
