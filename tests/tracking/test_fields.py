"""What a run in MLflow holds, as plain values computed by hand."""

import dataclasses
import math

import pytest

from raydistill.core.units import B
from raydistill.specs.results import HeldoutPoint, Progress, Scores, TaskScore
from raydistill.tracking.fields import (
    cell_params,
    cost_metrics,
    curve_points,
    drop_metrics,
    hidden_tags,
    layers_text,
    own_axes,
    perplexity,
    requested_values,
    retention_metrics,
    run_name,
    score_metrics,
    sweep_metrics,
)
from support.tracked_samples import AGES, LATE, base, cell, failed, measured, sweep_of


def scores(nll, general_nll="not measured", **values):
    tasks = {
        name.replace("_", "-"): TaskScore(value=value, stderr=0.02, chance=0.25)
        for name, value in values.items()
    }
    return Scores(weights_sha256="a" * 64, nll=nll, tasks=tasks, general_nll=general_nll)


def test_a_model_that_diverged_has_the_worst_perplexity():
    assert perplexity(math.log(24.76)) == pytest.approx(24.76)
    assert perplexity(0.0) == 1.0
    assert perplexity(1e4) == math.inf
    assert score_metrics(scores(1e4), ())["perplexity"] == math.inf


def test_scores_are_every_task_and_the_mean_over_those_averaged():
    metrics = score_metrics(scores(math.log(8), math.log(9), piqa=0.7, boolq=0.5), ["piqa"])
    assert metrics == {
        "nll": math.log(8),
        "perplexity": pytest.approx(8),
        "general_nll": math.log(9),
        "general_perplexity": pytest.approx(9),
        "downstream": 0.7,
        "task.piqa": 0.7,
        "task.piqa.stderr": 0.02,
        "task.boolq": 0.5,
        "task.boolq.stderr": 0.02,
    }
    alone = score_metrics(scores(1.0, piqa=0.7), ["boolq"])
    assert alone.keys() == {"nll", "perplexity", "task.piqa", "task.piqa.stderr"}


def test_another_metric_of_the_same_items_has_its_own_name():
    task = TaskScore(value=0.7, stderr=0.02, chance=0.25, beside=(("acc_norm,none", 0.8),))
    metrics = score_metrics(dataclasses.replace(scores(1.0), tasks={"arc easy": task}), ())
    assert metrics["task.arc easy.acc_norm_none"] == 0.8


def test_drops_are_positive_where_the_cell_is_worse():
    before = scores(math.log(10), math.log(20), piqa=0.8, boolq=0.4)
    after = scores(math.log(15), math.log(40), piqa=0.6, boolq=0.3)
    assert drop_metrics(before, after, "_vs_control") == {
        "delta_nll_vs_control": pytest.approx(math.log(1.5)),
        "perplexity_drop_pct_vs_control": pytest.approx(50),
        "general_delta_nll_vs_control": pytest.approx(math.log(2)),
        "downstream_drop_pct_vs_control": pytest.approx(25),
    }


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (scores(1.0, piqa=0.0), scores(1.0, 1.0, piqa=0.6)),
        (scores(1.0, 1.0, piqa=0.8), scores(1.0)),
        (scores(1.0), scores(1.0, piqa=0.8)),
    ],
)
def test_what_cannot_drop_has_no_drop(before, after):
    assert drop_metrics(before, after).keys() == {"delta_nll", "perplexity_drop_pct"}


def test_retention_is_the_share_kept_above_chance():
    """0.85 and 0.45 are 0.6 and 0.2 above 0.25; 0.55 and 0.35 keep half of each."""
    before = scores(1.0, piqa=0.85, boolq=0.45, rte=0.25, cb=0.9)
    after = scores(1.0, piqa=0.55, boolq=0.35, rte=0.5)
    assert retention_metrics(before, after, ["piqa", "rte"]) == {
        "task.piqa.retention": pytest.approx(0.5),
        "task.boolq.retention": pytest.approx(0.5),
        "retention": pytest.approx((0.3 + 0.25) / 0.6),
    }
    assert retention_metrics(scores(1.0, rte=0.25), after, ["rte"]) == {}


def test_a_cost_has_its_speed_unless_nothing_was_trained():
    cost = measured(LATE, "input").result.trained.cost
    metrics = cost_metrics(dataclasses.replace(cost, tokens=3000, train_s=1.5))
    assert metrics["tokens_per_s"] == 2000
    assert metrics["peak_bytes"] == 300_000_000
    assert metrics["flops_exact"] == 12e13
    assert "tokens_per_s" not in cost_metrics(dataclasses.replace(cost, train_s=0.0))
    assert cost_metrics(dataclasses.replace(cost, train_s=0.5))["tokens_per_s"] > 0


def test_the_curves_are_of_the_training_loss_the_rate_the_layers_and_the_heldout_loss():
    points = curve_points(
        (Progress(tokens=10, loss=3.5, lr=1e-3, num_layers=8),),
        (HeldoutPoint(tokens=20, nll=3.25),),
    )
    assert list(points) == [
        ("train_loss", 10, 3.5), ("lr", 10, 1e-3), ("num_layers", 10, 8.0),
        ("heldout_nll", 20, 3.25),
    ]  # fmt: skip


VALUES = {"age": "80B", "location": "input", "count": "4"}


@pytest.mark.parametrize(
    ("role", "values", "name"),
    [
        ("cell", VALUES, "input age=80B count=4"),
        ("control", VALUES, "control age=80B"),
        ("base", {"age": "80B"}, "base age=80B"),
        ("cell", {"age": "80B", "count": "4"}, "cell age=80B count=4"),
        ("reference", VALUES | {"reference": "smoke@80B"}, "reference smoke@80B"),
        ("added", VALUES | {"added": "mine"}, "added: mine"),
    ],
)
def test_a_run_is_named_by_what_tells_it_apart(role, values, name):
    assert run_name(role, values, ("age", "location", "count", "size")) == name


def test_where_nothing_leaves_no_count_and_no_gap_is_asked_for():
    removes_none = requested_values(cell(LATE, "none", failed(LATE, "none")))
    assert removes_none == {"age": "320B", "location": "none", "count": "0", "gap": "0"}
    assert requested_values(base(320 * B)) == removes_none
    removes_some = requested_values(cell(LATE, "input", failed(LATE, "input")))
    assert removes_some == {"age": "320B", "location": "input", "count": "4", "gap": "0"}


def test_the_layers_of_a_cell_are_those_that_leave():
    removes_some = cell(LATE, "both", failed(LATE, "both"))
    params = cell_params(sweep_of(), removes_some)
    assert layers_text(removes_some) == "1 2 9 10"
    assert (params["seed"], params["age_tokens"]) == ("0", str(AGES[LATE]))
    assert all(isinstance(value, str) for value in params.values())
    assert layers_text(cell(LATE, "none", failed(LATE, "none"))) == "none"


def test_hashes_are_no_parameters_and_are_searched_by_tags_that_pages_hide():
    removes_some = cell(LATE, "both", measured(LATE, "both"))
    assert not [n for n in cell_params(sweep_of(), removes_some) if "sha256" in n]
    assert hidden_tags(removes_some)["mlflow.raydistill.corpus_sha256"] == "c" * 64


def test_own_axes_are_those_in_which_cells_differ_in_the_order_of_the_sweep():
    one, other = (cell(LATE, name, measured(LATE, name)) for name in ("input", "middle"))
    learned = [
        dataclasses.replace(each, values={**each.values, "lr": lr})
        for each, lr in ((one, 1e-4), (other, 3e-4))
    ]
    assert own_axes(sweep_of(one)) == {"age": ("320B",), "location": ("input",)}
    assert own_axes(sweep_of(one, other)) == {"location": ("input", "middle")}
    assert own_axes(sweep_of(*learned))["lr"] == ("0.0001", "0.0003")
    control = cell(LATE, "none", measured(LATE, "none"))
    assert list(own_axes(sweep_of(one, control))) == ["age", "location"]
    assert list(own_axes(sweep_of(one, other), ("laptop", "smoke"))) == ["scale", "location"]


def test_a_sweep_is_summed_up_by_its_cells_and_the_least_that_any_lost():
    ended = [cell(LATE, name, measured(LATE, name)) for name in ("none", "input", "both", "output")]
    sweep = sweep_of(*ended, cell(LATE, "middle", failed(LATE, "middle")))
    before, after = (
        {c.spec.trial_id: getattr(c.outcome.result, side) for c in ended}
        for side in ("before", "after")
    )
    lost = [after[c.spec.trial_id].nll - before[c.spec.trial_id].nll for c in ended[1:]]
    metrics = sweep_metrics(sweep)
    assert (metrics["num_cells"], metrics["num_finished"], metrics["num_failed"]) == (5, 4, 1)
    assert metrics["best_delta_nll"] == min(lost)
    assert metrics["best_perplexity_drop_pct"] == pytest.approx(100 * math.expm1(min(lost)))
    assert metrics["train_s"] == 4 * 41.5
    assert "best_delta_nll" not in sweep_metrics(sweep_of())
