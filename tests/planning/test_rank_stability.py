"""How early a ranking settles, on curves that are made up."""

import dataclasses

import pytest

from raydistill.core.units import B
from raydistill.planning.outcomes import finished_trials
from raydistill.planning.search.halving import DEFAULT_SHARES, HalvingSchedule, halving_schedule
from raydistill.planning.search.rank_stability import (
    SHARES,
    Grid,
    HealingCurve,
    grids,
    propose_rungs,
    replay,
    rung_qualities,
)
from raydistill.reports.rank_stability import replay_lines, settling_lines
from raydistill.storage.store import Store
from support import finished


def healed(end, **early):
    """A set that is where it ends from the start, but for `early` points such as `at_5=3.0`."""
    points = {share: early.get(f"at_{100 * share:.0f}", end) for share in (0.0, *SHARES, 1.0)}
    return HealingCurve(by_share=points, selection=end, report=end)


def grid(*sets, seeds=(1,)):
    """Named by their layers `1`, `2`, …"""
    return Grid(
        title="a grid", scale="smoke", num_layers=12, warm_tokens=0, budget_tokens=1000,
        sets={str(n): dict.fromkeys(seeds, curve) for n, curve in enumerate(sets, start=1)},
    )  # fmt: skip


STILL = grid(healed(3.0), healed(3.1), healed(3.2), healed(3.4))
CROSSING = grid(
    healed(3.0, at_0=9.0, at_5=9.0, at_10=9.0), healed(3.1), healed(3.2), healed(3.4)
)  # the best in the end is the last until a quarter of the budget


def test_an_order_that_never_changes_is_settled_at_once():
    for row in rung_qualities(STILL):
        assert (row.tau, row.best_regret, row.half_regret) == (1.0, 0.0, 0.0)
    assert propose_rungs([STILL]) == (0.05,)


def test_curves_that_cross_cost_regret_until_they_have_crossed():
    rows = {row.share: row for row in rung_qualities(CROSSING)}
    assert rows[0.05].best_regret == pytest.approx(0.1)
    assert rows[0.05].half_regret == pytest.approx(0.1)
    assert rows[0.05].tau == pytest.approx(0.0)
    assert rows[0.25].best_regret == 0.0
    assert propose_rungs([CROSSING]) == (0.25,)


def test_halving_may_come_before_choosing_one():
    close = grid(healed(3.0, at_5=3.15), healed(3.1), healed(3.2), healed(3.4))
    assert propose_rungs([close]) == (0.05, 0.1)


@pytest.mark.parametrize(("sets", "regret"), [(5, 0.0), (6, 0.0), (4, 0.1)])
def test_the_better_half_is_half_of_the_sets_rounded_up(sets, regret):
    """The best in the end is the third at 5 %."""
    ends = [3.0, 3.1, 3.2, 3.4, 3.5, 3.6][:sets]
    third = grid(healed(3.0, at_5=3.3), *map(healed, ends[1:]))
    assert rung_qualities(third)[0].half_regret == pytest.approx(regret)


def test_rungs_are_as_late_as_the_latest_grid_needs_them():
    assert propose_rungs([STILL, CROSSING]) == (0.25,)


def test_a_larger_tolerance_gives_earlier_rungs_and_no_evidence_gives_none():
    assert propose_rungs([CROSSING], tolerance=0.2) == (0.05,)
    assert propose_rungs([]) == ()


def test_without_a_cheap_rung_there_is_none():
    late = {f"at_{100 * share:.0f}": 9.0 for share in (0.0, *SHARES)}
    assert propose_rungs([grid(healed(3.0, **late), healed(3.1), healed(3.2), healed(3.4))]) == ()


def test_a_replay_counts_the_tokens_of_every_prefix():
    result = replay(STILL, HalvingSchedule(shares=(0.05, 0.25), keeps=(3, 2, 1), finalists=1))
    assert result.chosen == ("1",)
    assert (result.regret, result.worst_regret) == (0.0, 0.0)
    assert result.token_share == pytest.approx((3 * 50 + 2 * 200 + 1 * 750) / 4000)


def test_a_replay_with_seeds_trains_the_finalists_with_all_of_them():
    result = replay(
        grid(healed(3.0), healed(3.1), healed(3.2), healed(3.4), seeds=(1, 2, 3)),
        HalvingSchedule(shares=(0.25,), keeps=(2, 1), finalists=1),
    )
    assert result.token_share == pytest.approx((2 * 250 + 750 + 2 * 1000) / 12000)


def test_a_replay_says_what_the_unluckiest_seed_costs():
    """With seed 2 the best set in the end looks worst at the only rung, and leaves."""
    best = {seed: healed(3.0, at_25=9.0 if seed == 2 else 3.0) for seed in (1, 2, 3, 4)}
    rivals = (dict.fromkeys(best, healed(end)) for end in (3.2, 3.4))
    sets = {name: dict(by_seed) for name, by_seed in zip("123", (best, *rivals), strict=True)}
    seeded = dataclasses.replace(STILL, sets=sets)
    result = replay(seeded, HalvingSchedule(shares=(0.25,), keeps=(3, 1), finalists=1))
    assert result.chosen == ("1", "2", "1", "1")
    assert result.worst_regret == pytest.approx(0.2)
    assert result.regret == pytest.approx(0.2 / 4)


def test_a_replay_pays_for_the_warm_phase_once():
    warm = dataclasses.replace(STILL, warm_tokens=1000)
    result = replay(warm, HalvingSchedule(shares=(0.5,), keeps=(4, 1), finalists=1))
    assert result.token_share == pytest.approx((4 * 1500 + 500) / 8000)


def test_a_replay_loses_what_its_rungs_lose():
    result = replay(CROSSING, halving_schedule(4, 1, DEFAULT_SHARES))
    assert result.regret == pytest.approx(0.1)
    assert replay(CROSSING, halving_schedule(4, 4, DEFAULT_SHARES)).regret == 0.0


def test_the_choice_is_made_on_one_half_of_the_documents_and_reported_on_the_other():
    lucky = dataclasses.replace(healed(3.05), selection=2.0)
    result = replay(grid(healed(3.0), lucky, healed(3.2)), halving_schedule(3, 3, (0.5,)))
    assert result.chosen == ("2",)
    assert result.regret == pytest.approx(0.05)


def test_the_text_has_every_share_the_rungs_and_the_price():
    text = "\n".join([*settling_lines([CROSSING], 0.01), *replay_lines([CROSSING], 0.01)])
    assert "a grid: 4 layer sets, 1 seed, 1K tokens" in text
    for share in ("5%", "10%", "25%", "50%", "100%"):
        assert f" {share} " in text
    assert "Rungs for a funnel: 25 % (regret at most 0.01 in every grid)" in text
    assert "read off these same trials" in text
    assert max(map(len, text.splitlines())) <= 100


SETS = "none,input,middle,output,max-gap,random-1,random-3"


def nll(request, share):
    """Every set comes down by 2 nats, to another end."""
    return 3.0 + 0.1 * SETS.split(",").index(request.location) + 2 * (1 - share)


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path)
    finished.prepare(store)
    return store


def test_finished_trials_are_ranked_among_their_like_only(store):
    """By base, loss, budget and count; two sets alone are no grid."""
    for flags in ("", "--age 320B", "--loss kd", "--budget 40B", "--count 3"):
        words = ["--age", "80B", "--location", SETS, *flags.split()]
        finished.finish_all(finished.plan("where_to_drop", store, *words), store, nll)
    two_sets = ("--location", "input,middle", "--count", "1")
    finished.finish_all(finished.plan("where_to_drop", store, *two_sets), store, nll)
    short, double = (finished.SMOKE.train_tokens(budget * B) for budget in (20, 40))
    alike = grids(finished_trials(store))
    assert sorted((grid.title, grid.budget_tokens, len(grid.sets)) for grid in alike) == [
        ("smoke, age some, count 2", short, 6), ("smoke, age some, count 2", short, 6),
        ("smoke, age some, count 2", double, 6), ("smoke, age some, count 2, loss kd", short, 6),
        ("smoke, age some, count 3", short, 4),  # middle and random-3 are input
    ]  # fmt: skip


def test_trials_that_waited_or_were_not_watched_are_no_evidence(store):
    """At a share of the budget, layers that have not left yet say nothing."""
    plan = finished.plan("when_to_drop", store, "--age", "80B", "--gap", "1B", "--location", SETS)
    finished.finish_all(plan, store, nll)
    assert grids(finished_trials(store)) == ()
    finished.finish_all(
        finished.plan("where_to_drop", store, "--age", "80B", "--location", SETS), store, nll
    )
    (evidence,) = grids(finished_trials(store))
    curves = [by_seed[1] for by_seed in evidence.sets.values()]
    assert [set(curve.by_share) for curve in curves] == [{0.0, *SHARES, 1.0}] * 6
    for trial in list(finished_trials(store)):
        trained = trial.result.trained
        rare = dataclasses.replace(trained, heldout_curve=trained.heldout_curve[::2])
        store.save(rare, "trials", trained.trial_id, "trained.json")
    assert grids(finished_trials(store)) == ()
