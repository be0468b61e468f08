"""A learning rate for each arm: three short trials, found by every sweep that asks for them."""

import math
import runpy
from dataclasses import replace
from pathlib import Path

import pytest

from raydistill.cli.arguments.sweep_flags import check_recipes, plan_of
from raydistill.cli.arguments.sweep_parser import sweep_parser
from raydistill.driver.session import is_finished
from raydistill.evaluation.scoring import PERPLEXITY, score_key
from raydistill.planning.history.state import read_state
from raydistill.planning.history.sweep_record import record_of
from raydistill.planning.lr_probe import (
    AT_EDGE,
    FACTORS,
    arms_of,
    needs_probe,
    peak_of,
    probe_cells,
    probed_rates,
    with_best_rates,
    with_probes,
)
from raydistill.planning.prepared import prepare
from raydistill.planning.preview.dry_run import describe
from raydistill.planning.resolve import distinct, resolve
from raydistill.reports.sources.from_state import report_of
from raydistill.specs.corpus import CorpusInfo
from raydistill.specs.results import TrialFailure, UnitScores
from raydistill.specs.scale import load_scale, scale_names
from raydistill.storage.store import Store
from support.planned import all_known, finished

SWEEPS = Path(__file__).parents[2] / "sweeps"
SMOKE = load_scale("smoke")
UNITS = tuple(f"GEN {i}" for i in range(1, 9))
CORPUS = CorpusInfo(
    name="smoke", corpus_sha256="c0" * 32, tokenizer_sha256="70" * 32, vocab_size=2048,
    token_bytes=2, train_tokens=1000, heldout_tokens=100, train_documents=9, heldout_documents=8,
)  # fmt: skip
KNOWN = all_known(SMOKE)


def a_plan(*flags, sweep="where_to_drop", scale="smoke", storage="/none"):
    made = runpy.run_path(str(SWEEPS / f"{sweep}.py"))["sweep"]
    argv = ["--scale", scale, "--storage", str(storage), "--lr-probe", *flags]
    return plan_of(made, sweep_parser(made).read(argv), "python some.py")


def ready(plan, store):
    return prepare(plan, store, KNOWN)


def measure(store, sha256, nll, cell):
    windows = cell.scale.evaluation.heldout_windows
    scores = UnitScores(units=UNITS, sums=(nll,) * 8, counts=(1,) * 8)
    store.save(scores, "scores", sha256, f"{score_key(PERPLEXITY, CORPUS, windows)}.json")


def finish(store, cell, nll):
    """Train a probe, as far as the store can tell: it ends at `nll`."""
    spec = resolve(cell, KNOWN)
    sha256 = f"{spec.trial_id:0>64}"
    trained = replace(finished(spec, SMOKE, train_s=1.0), weights_sha256=sha256)
    store.save(trained, "trials", spec.trial_id, "trained.json")
    measure(store, sha256, nll, cell)


def fail(store, cell):
    spec = resolve(cell, KNOWN)
    failure = TrialFailure(
        trial_id=spec.trial_id, where="training", message="diverged", traceback="", attempts=3
    )
    store.save(failure, "trials", spec.trial_id, "failure.json")


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path)
    store.save(CORPUS, "corpora", CORPUS.corpus_sha256, "corpus.json")
    for age in SMOKE.ages:
        cell = next(c for c in a_plan().cells if c.request.age == age)
        measure(store, KNOWN.bases[SMOKE.name, age].weights_sha256, 3.0, cell)
    return store


@pytest.fixture
def plan():
    return a_plan("--age", "80B", "--location", "none,input,output")


def test_an_arm_is_what_shares_start_count_and_loss(plan):
    assert [arm.name for arm in arms_of(plan.cells).values()] == [
        "lm, smoke 80B", "lm, smoke 80B, 2 layers out",
    ]  # fmt: skip


def test_each_value_of_another_setting_is_an_arm_of_its_own():
    flags = ("--age", "80B", "--location", "input,output")
    plan = a_plan(*flags, "--set", "weight_decay=0,0.1", "--set", "warmup_tokens=1024,2048")
    arms = arms_of(plan.cells).values()
    assert [arm.name.partition("out, ")[2] for arm in arms] == [
        "warmup_tokens 1024, weight_decay 0", "warmup_tokens 2048, weight_decay 0",
        "warmup_tokens 1024, weight_decay 0.1", "warmup_tokens 2048, weight_decay 0.1",
    ]  # fmt: skip
    probes = probe_cells(plan.cells)
    check_recipes(probes)
    recipes = [probe.scale.recipe(probe.request) for probe in probes]
    assert {recipe.weight_decay for recipe in recipes} == {0.0, 0.1}
    assert {recipe.warmup_tokens for recipe in recipes} == {512, 1024}
    assert len(distinct(probes, KNOWN)) == len(probes) == 3 * 4


def test_three_peaks_around_the_recipes_own_on_data_that_no_cell_draws(plan):
    for arm in arms_of(plan.cells).values():
        assert [peak_of(cell) for cell in arm.probes] == [f * SMOKE.heal.peak_lr for f in FACTORS]
        assert {cell.request.seed for cell in arm.probes} == {1000}
    used = a_plan("--seed", "1000,1001")
    assert {cell.request.seed for cell in probe_cells(used.cells)} == {1002}


@pytest.mark.parametrize("scale", sorted({*scale_names()} - {"honey"}))  # of one block
def test_a_probe_is_a_short_trial_of_its_own_whole_schedule(scale):
    plan = a_plan(scale=scale)
    whole, probes = plan.cells[0], probe_cells(plan.cells)
    check_recipes(probes)
    full = whole.scale.recipe(whole.request)
    least = max(0.25, plan.scale.min_steps_after_cut * full.batch_tokens / full.budget_tokens)
    for probe in probes:
        recipe = probe.scale.recipe(probe.request)
        assert recipe.budget_tokens == pytest.approx(least * full.budget_tokens, rel=0.05)
        assert 0 < recipe.warmup_tokens < full.warmup_tokens
        assert probe.scale.evaluation.tasks == ()


@pytest.mark.parametrize("name", ["teacher_free_vs_kd", "when_to_drop", "how_many_to_drop"])
def test_every_sweep_can_probe(name):
    plan = a_plan(sweep=name)
    probes = probe_cells(plan.cells)
    check_recipes(probes)
    assert len(distinct(probes, KNOWN)) == len(probes) == 3 * len(arms_of(plan.cells))


def test_what_is_not_trained_or_trains_as_long_as_a_base_has_no_rate_to_choose():
    cells = a_plan(sweep="teacher_free_vs_kd").cells
    left = {cell.values["arm"] for cell in cells if not needs_probe(cell)}
    assert left == {"base", "one-shot", "scratch-with-age"}


def test_one_location_more_asks_for_the_same_probes(plan):
    more = a_plan("--age", "80B", "--location", "middle,none,block-influence,input")
    assert {resolve(c, KNOWN).trial_id for c in probe_cells(more.cells)} == {
        resolve(c, KNOWN).trial_id for c in probe_cells(plan.cells)
    }


def test_each_arm_trains_at_the_peak_that_ends_lowest(store, plan):
    control, cut = arms_of(plan.cells).values()
    for arm, nlls in ((control, (3.1, 3.2, 3.3)), (cut, (3.6, 3.4, 3.5))):
        for cell, nll in zip(arm.probes, nlls, strict=True):
            finish(store, cell, nll)
    peaks = [peak_of(cell) for cell in with_best_rates(ready(plan, store)).plan.cells]
    assert peaks == [SMOKE.heal.peak_lr / 2, SMOKE.heal.peak_lr, SMOKE.heal.peak_lr]
    made = list(probed_rates(ready(plan, store)).values())
    assert [choice.at_edge for choice in made] == [True, False]
    assert made[0].sentence == (
        f"Peak rate of lm, smoke 80B: 0.0005* +0.1000, 0.001 +0.2000, 0.002 +0.3000 nats/token; "
        f"{AT_EDGE}."
    )


def test_settled_cells_have_the_same_arms_again(store, plan):
    for cell in probe_cells(plan.cells):
        finish(store, cell, 3.0)
    settled = with_best_rates(ready(plan, store))
    assert probe_cells(settled.plan.cells) == probe_cells(plan.cells)
    assert with_best_rates(settled) == settled


def test_until_all_probes_of_an_arm_are_done_its_trials_have_no_id(store, plan):
    first, *_ = probe_cells(plan.cells)
    finish(store, first, 3.0)
    settled = with_best_rates(ready(plan, store))
    assert {cell.request.peak_lr for cell in settled.plan.cells} == {"probe"}
    assert not any(trial.has_final_id for trial in settled.trials)
    assert read_state(record_of(settled), store).cells == ()


def test_a_peak_that_diverges_is_not_chosen_and_without_any_the_scales_own_is(store, plan):
    control, cut = arms_of(plan.cells).values()
    for cell in (control.probes[2], *cut.probes):
        fail(store, cell)
    for cell, nll in zip(control.probes[:2], (3.2, 3.1), strict=True):
        finish(store, cell, nll)
    low, none = probed_rates(ready(plan, store)).values()
    assert (low.peak_lr, low.delta_nlls[2], low.at_edge) == (SMOKE.heal.peak_lr, math.inf, False)
    assert (none.peak_lr, none.at_edge) == (SMOKE.heal.peak_lr, False)
    assert "0.002 failed" in low.sentence


def test_the_table_says_what_was_probed_and_flags_the_edge(store, plan):
    for cell, nll in zip(probe_cells(plan.cells), (3.1, 3.2, 3.3) * 2, strict=True):
        finish(store, cell, nll)
    settled = with_best_rates(ready(plan, store))
    for cell in settled.plan.cells:
        fail(store, cell)
    state = read_state(record_of(settled), store)
    assert state.asked.probing_s == 6 * 2.0
    report = report_of(state)
    assert len(report.remarks) == 2
    assert all(AT_EDGE in cell.note for cell in report.cells)


def test_a_dry_run_shows_the_probes_and_what_waits_for_them(tmp_path):
    plan = a_plan(storage=tmp_path)
    store = Store(tmp_path)
    text = " ".join(describe(prepare(plan, store), width=200).split())
    assert "the 12 with data seed 1000 come first: three peak rates for each of 4 arms" in text
    assert text.count("after probing") == 5
    without = replace(plan, options=replace(plan.options, lr_probe=False))
    assert "seed 1000" not in describe(prepare(without, store))


def test_a_sweep_that_is_repeated_trains_nothing(store, plan):
    for cell, nll in zip(probe_cells(plan.cells), (3.1, 3.2, 3.3) * 2, strict=True):
        finish(store, cell, nll)
    for cell in with_best_rates(ready(plan, store)).plan.cells:
        finish(store, replace(cell, scale=SMOKE), 3.2)
    no_tasks = replace(SMOKE, evaluation=replace(SMOKE.evaluation, tasks=()))
    sweep = ready(plan, store).with_cells([replace(cell, scale=no_tasks) for cell in plan.cells])
    assert not is_finished(sweep)
    assert is_finished(with_best_rates(sweep))


def test_without_the_flag_nothing_is_probed(store, plan):
    without = replace(plan, options=replace(plan.options, lr_probe=False))
    assert with_probes(ready(without, store)).plan.cells == plan.cells
