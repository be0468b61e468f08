"""Successive halving decides who goes on, whatever the losses are."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raydistill.core.errors import UsageError
from raydistill.planning.search.halving import (
    BracketState,
    HalvingSchedule,
    advance,
    finish,
    halving_schedule,
    rung_tokens,
)
from raydistill.specs.trial import DropPlan, LayerDrop, Recipe

NAMES = [f"set-{n}" for n in range(12)]
FLAT = dict.fromkeys(NAMES, 1.0)

losses = st.fixed_dictionaries({name: st.integers(0, 5).map(float) for name in NAMES})
stages = st.lists(losses, min_size=3, max_size=3)
some = st.sets(st.sampled_from(NAMES))


def run_through(known, keeps, passed=(), start=None):
    """Measure what is missing until the last stage; what was measured, and the last state."""
    known_losses = start or [{} for _ in keeps]
    requests = []
    while (now := advance(NAMES, keeps, known_losses, [passed] * len(keeps))).missing:
        requests += [(now.stage, name) for name in now.missing]
        known_losses[now.stage] |= {name: known[now.stage][name] for name in now.missing}
    return requests, now, known_losses


@given(st.integers(1, 500), st.integers(1, 20))
def test_a_schedule_narrows_to_the_finalists(contenders, finalists):
    keeps = halving_schedule(contenders, finalists).keeps
    assert list(keeps) == sorted(keeps, reverse=True)
    assert keeps[0] <= contenders
    assert keeps[-1] == min(finalists, contenders)


@pytest.mark.parametrize("shares", [(0.25, 0.05), (0.0, 0.5), (0.5, 1.0), (0.1, 0.1)])
def test_rungs_that_do_not_ascend_within_the_budget_are_refused(shares):
    with pytest.raises(UsageError, match="ascending shares"):
        halving_schedule(8, 2, shares)


@given(stages)
def test_each_stage_keeps_its_best_and_measures_nothing_twice(known):
    keeps = halving_schedule(len(NAMES), 3).keeps
    requests, end, _ = run_through(known, keeps)
    assert len(requests) == len(set(requests)) == len(NAMES) + sum(keeps[:-1])
    assert len(end.members) == 3
    at_last_rung = {name for stage, name in requests if stage == 2}
    assert set(end.members) <= at_last_rung
    best = min(known[2][name] for name in at_last_rung)
    assert known[2][end.members[0]] == best


@given(stages, st.integers(0, 30))
def test_a_search_that_is_killed_resumes_alike_and_measures_only_the_rest(known, num_known):
    keeps = halving_schedule(len(NAMES), 3).keeps
    requests, end, _ = run_through(known, keeps)
    known_losses = [{} for _ in keeps]
    for stage, name in requests[:num_known]:
        known_losses[stage][name] = known[stage][name]
    rest, again, _ = run_through(known, keeps, start=known_losses)
    assert rest == requests[num_known:]
    assert again == end


@given(stages, some)
def test_contenders_trained_further_go_on_in_addition_to_those_kept(known, passed):
    keeps = halving_schedule(len(NAMES), 3).keeps
    requests, end, _ = run_through(known, keeps, passed)
    assert not {name for _, name in requests} & passed
    assert passed <= set(end.members)
    assert len(set(end.members) - passed) == min(3, len(NAMES) - len(passed))


def test_stages_begin_with_all_contenders():
    first = advance(["a", "b"], (1, 1), [{"a": 2.0}, {}])
    assert first == BracketState(stage=0, members=("a", "b"), missing=("b",))
    second = advance(["a", "b"], (1, 1), [{"a": 2.0, "b": 1.0}, {}])
    assert second == BracketState(stage=1, members=("b",), missing=("b",))


def test_a_contender_that_fails_leaves():
    failed = FLAT | {"set-0": math.inf}
    _, end, _ = run_through([failed, FLAT, FLAT], (12, 12, 12))
    assert end.members == tuple(NAMES[1:])


def test_finalists_are_the_best_in_the_end_of_all_that_were_trained():
    """`d` was trained before, `c` failed; the finalists' other seeds are a stage of their own."""
    trained = BracketState(stage=3, members=("a", "b", "c"), missing=())
    ends = {"a": 3.3, "b": 3.2, "c": math.inf, "d": 3.1}
    assert finish(trained, ends, 2) == BracketState(stage=4, members=("d", "b"), missing=())
    assert finish(trained, ends, 9).members == ("d", "b", "a")
    waiting = finish(trained, {"b": 3.2, "d": 3.1}, 2)
    assert waiting == BracketState(stage=3, members=("a", "b", "c", "d"), missing=("a", "c"))


def test_a_schedule_counts_whole_budgets():
    """Half a budget for 4, the other half for 2."""
    schedule = HalvingSchedule(shares=(0.5,), keeps=(4, 2), finalists=2)
    assert (schedule.trainings, schedule.final_stage) == (3.0, 2)


RECIPE = Recipe(
    peak_lr=1e-3, budget_tokens=1000, batch_tokens=10, micro_batches=1, warmup_tokens=0,
    warm_phase_tokens=100,
)  # fmt: skip


def drops(*at_tokens):
    return DropPlan(
        drops=tuple(LayerDrop(at_tokens=at, layer=n + 1) for n, at in enumerate(at_tokens))
    )


@pytest.mark.parametrize(
    ("plan", "share", "tokens"),
    [
        (drops(100, 100), 0.05, 150),
        (drops(100, 100), 0.25, 350),
        (drops(), 0.25, 350),
        (drops(100, 500), 0.25, 650),
        (drops(100), 0.0001, 110),
        (drops(100), 0.9999, 1090),
    ],
)
def test_a_rung_is_a_share_of_what_follows_the_last_removal(plan, share, tokens):
    assert rung_tokens(plan, RECIPE, share) == tokens
