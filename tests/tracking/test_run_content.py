"""What a run in MLflow says of a cell, a base and a sweep."""

import dataclasses
import math

from raydistill.specs.results import UnitScores
from raydistill.tracking.run_content import base_content
from support.tracked_runs import deliver, runs_of, the_run
from support.tracked_samples import (
    AGES,
    LATE,
    STEP_TOKENS,
    before_of,
    cell,
    fourteen_cells,
    measured,
    spec_of,
    sweep_of,
)


def test_a_cell_is_shown_as_requested_and_as_run(store):
    deliver(store, sweep_of(cell(LATE, "input", measured(LATE, "input"))))
    data = the_run(store, "tags.role = 'cell'").data
    requested = {"age": "320B", "location": "input", "count": "4", "gap": "0", "loss": "lm"}
    as_run = {"age_tokens": str(AGES[LATE]), "peak_lr": "0.0006"}
    sweep = {"sweep": "where_to_drop", "scale": "laptop"}
    assert data.params.items() >= (requested | as_run | sweep).items()
    assert data.tags["layers"] == "1 2 3 4"


def test_the_control_is_logged_with_nothing_removed(store):
    deliver(store, sweep_of(cell(LATE, "none", measured(LATE, "none"))))
    run = the_run(store, "tags.role = 'control'")
    assert (run.data.params["count"], run.data.params["gap"]) == ("0", "0")
    assert run.info.run_name == "control age=320B"


def test_drops_are_against_the_base_and_against_the_control(store):
    control = measured(LATE, "none").result.after
    outcome = measured(LATE, "input")
    deliver(store, sweep_of(cell(LATE, "input", outcome, control)))
    metrics = the_run(store, "tags.role = 'cell'").data.metrics
    before, after = before_of(LATE), outcome.result.after
    assert metrics["delta_nll"] == round(after.nll - before.nll, 4)
    assert metrics["perplexity_drop_pct"] == round(100 * math.expm1(after.nll - before.nll), 4)
    ratio = after.downstream / control.downstream
    assert metrics["downstream_drop_pct_vs_control"] == round(100 * (1 - ratio), 4)
    assert metrics["tokens"] == 20 * STEP_TOKENS


def test_every_mean_is_over_the_tasks_of_the_sweep_and_a_tag_names_them(store):
    """Of those, guessing gives 0.25 in one and 0.5 in the other."""
    control, outcome = measured(LATE, "none").result.after, measured(LATE, "input")
    averaged = ("continuation", "word-order")
    input_cell = cell(LATE, "input", outcome, control)
    deliver(store, sweep_of(input_cell, tasks_averaged=averaged))
    data = the_run(store, "tags.role = 'cell'").data
    before, after, at_control = (
        sum(scores.tasks[task].value for task in averaged) / 2
        for scores in (before_of(LATE), outcome.result.after, control)
    )
    assert data.tags["tasks_averaged"] == "continuation, word-order"
    assert data.metrics["downstream"] == round(after, 4)
    assert data.metrics["downstream_drop_pct"] == round(100 * (1 - after / before), 4)
    assert data.metrics["downstream_drop_pct_vs_control"] == round(
        100 * (1 - after / at_control), 4
    )
    assert data.metrics["retention"] == round((after - 0.375) / (before - 0.375), 4)
    assert "task.last-word" in data.metrics
    level = the_run(store, "tags.role = 'base'").data.metrics["downstream"]
    assert level == round(before, 4)


def test_the_base_has_drops_of_zero(store):
    deliver(store, sweep_of())
    metrics = the_run(store, "tags.role = 'base'").data.metrics
    drops = [metrics[f"{name}_drop_pct"] for name in ("perplexity", "downstream")]
    assert [*drops, metrics["delta_nll"]] == [0, 0, 0]


def test_two_cells_that_share_a_trial_are_two_runs(store):
    one = cell(LATE, "input", measured(LATE, "input"))
    same = dataclasses.replace(one, values={**one.values, "location": "1-4"})
    deliver(store, sweep_of(one, same))
    runs = runs_of(store, f"tags.trial_id = '{spec_of(LATE, 'input').trial_id}'")
    assert {run.data.params["location"] for run in runs} == {"input", "1-4"}
    assert {run.data.tags["trained_in"] for run in runs} == {"how_many"}


def test_a_secret_in_a_parameter_or_the_command_does_not_reach_mlflow(store):
    clean = cell(LATE, "input", measured(LATE, "input"))
    leaky = dataclasses.replace(clean, as_run={"HF_TOKEN": "hf_secret", "num_tokens": 5})
    deliver(store, sweep_of(leaky, command="HF_TOKEN=hf_secret python x.py"))
    assert b"hf_secret" not in (store.root / "mlflow.db").read_bytes()
    assert the_run(store, "tags.role = 'cell'").data.params["num_tokens"] == "5"


def test_runs_side_by_side_have_the_same_parameters_and_metrics(store):
    deliver(store, fourteen_cells())
    trained = runs_of(store, "tags.trial_id LIKE '%'")
    assert len({frozenset(run.data.params) for run in trained}) == 1
    finished = [run for run in trained if run.info.status == "FINISHED"]
    assert len({frozenset(run.data.metrics) for run in finished}) == 1
    for run in runs_of(store, "tags.role != 'sweep'"):
        assert run.data.tags.keys() >= {"sweep", "age", "role", "layer_map", "owner"}
        assert run.data.params.keys() >= {"sweep", "age", "location", "count", "gap", "scale"}


def test_a_base_has_the_mean_accuracies_of_its_probes_and_no_mean_over_tasks_has_them(store):
    sweep = sweep_of()
    (plain,) = sweep.bases
    rights = {
        "book-kind pretrained 1": 3.0, "book-kind pretrained 2": 4.0, "book-kind fresh 1": 1.0,
        "book-kind fresh 2": 2.0,
    }  # fmt: skip
    probes = {n: UnitScores(units=("GEN 1",), sums=(x,), counts=(5,)) for n, x in rights.items()}
    before = base_content(sweep, plain, str(store.root))
    after = base_content(sweep, dataclasses.replace(plain, probes=probes), str(store.root))
    more = {"probe.book-kind.pretrained": 0.7, "probe.book-kind.fresh": 0.3}
    assert after.finals == {**before.finals, **more}
    assert "book-kind fresh 2" in after.files["scores_by_document.json"]
