"""Successive halving from its cells to its conclusions, with training that is a formula."""

import argparse
import dataclasses
import itertools

import pytest

from raydistill.cli.commands.rank_stability import rank_stability
from raydistill.core.errors import DataError
from raydistill.evaluation.document_split import half
from raydistill.evaluation.scoring import PERPLEXITY, score_key
from raydistill.planning.outcomes import finished_trials
from raydistill.planning.search.brackets import cut_jobs, open_halving, stop_at
from raydistill.planning.search.conclusions import halving_lines
from raydistill.planning.search.halving import DEFAULT_SHARES, halving_schedule
from raydistill.planning.search.rank_stability import grids, rung_qualities
from raydistill.runners.halving import run_halving
from raydistill.specs.results import UnitScores
from raydistill.storage.manifest import write_manifest
from raydistill.storage.store import Store
from support import finished

SETS = "none,input,middle,output,max-gap,random-1,random-3"
FLAGS = (
    "--age", "320B", "--location", SETS,
    "--search", "funnel", "--trials", "2",
)  # fmt: skip
END = {"none": 3.0, "input": 3.2, "middle": 3.3, "output": 3.4, "max-gap": 3.5}
"""Nats per token in the end; the two random sets are the worst."""


def nll(request, share):
    """Every set comes down in a straight line, the better ones from higher up."""
    end = END.get(request.location, 3.6)
    return end + (1 - share) * 2 * (end - 2.0) + 0.001 * request.seed


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path)
    finished.prepare(store)
    return store


def a_funnel(store, *flags, nll=nll, fails=()):
    plan = finished.plan("where_to_drop", store, *FLAGS, *flags)
    trainer = finished.Trainer(store, plan, nll, fails)
    trainer.cut_all()
    return open_halving(finished.prepared(plan, store)), trainer


def go(funnel, trainer):
    lines = []
    failures = run_halving(funnel, trainer.candidates, {"CPU": 1}, trainer.run, lines.append)
    return failures, lines


def finished_locations(funnel, trainer):
    done = [key for key in trainer.requests if funnel.prepared.store.trained(key) is not None]
    return sorted((trainer.requests[k].location, trainer.requests[k].seed) for k in done)


def test_a_funnel_trains_the_best_and_the_control_to_the_end_and_no_token_twice(store):
    funnel, trainer = a_funnel(store)
    failures, (narrowing, *_) = go(funnel, trainer)
    assert failures == {}
    assert finished_locations(funnel, trainer) == [("input", 1), ("middle", 1), ("none", 1)]
    assert funnel.is_done()
    for key in {key for key, _, _ in trainer.spent}:
        pieces = [(begun, ended) for name, begun, ended in trainer.spent if name == key]
        assert pieces[0][0] == 0
        assert all(a[1] == b[0] for a, b in itertools.pairwise(pieces))
    start = "smoke, age 320B, count 2: 6 → 4 → 3 → 2 layer sets, rungs at 5 %, 2"
    assert narrowing.startswith(start)
    assert "by default" in narrowing


def test_with_seeds_the_rungs_have_the_first_and_the_finalists_all(store):
    funnel, trainer = a_funnel(store, "--seed", "1,2,3")
    go(funnel, trainer)
    chosen = [("input", s) for s in (1, 2, 3)] + [("middle", s) for s in (1, 2, 3)]
    assert finished_locations(funnel, trainer) == [*chosen, *(("none", s) for s in (1, 2, 3))]


def test_a_set_without_a_rival_is_trained_to_the_end(store):
    plan = finished.plan(
        "where_to_drop", store, "--age", "320B", "--location", "none,input", *FLAGS[4:]
    )
    search = open_halving(finished.prepared(plan, store))
    assert search.brackets == ()
    assert [trial.cells[0].request.location for trial in search.alone] == ["none", "input"]


def test_a_funnel_without_its_control_is_not_done(store):
    funnel, trainer = a_funnel(store, fails=("none",))
    assert not funnel.is_done()
    go(funnel, trainer)
    assert finished_locations(funnel, trainer) == [("input", 1), ("middle", 1)]
    assert not funnel.is_done()


def test_a_schedule_is_for_the_sets_that_are_not_trained_yet(store):
    plan = finished.plan("where_to_drop", store, *FLAGS)
    trainer = finished.Trainer(store, plan, nll)
    first = [key for key, request in trainer.requests.items() if request.location != "none"][:2]
    for key in first:
        trainer.finish(trainer.candidates[key].job.spec, trainer.requests[key])
    ((_, schedule),) = open_halving(finished.prepared(plan, store)).brackets
    assert schedule.keeps == halving_schedule(4, 2).keeps != halving_schedule(6, 2).keeps


def test_sets_are_measured_untrained_four_at_a_time(store):
    funnel, _ = a_funnel(store)
    ((bracket, schedule),) = funnel.brackets
    jobs = cut_jobs(bracket, list(bracket.contenders), funnel.prepared)
    assert [len(job.layer_sets) for job in jobs] == [4, 2]
    assert sorted(layers for job in jobs for layers in job.layer_sets) == sorted(
        bracket.spec(name).plan.layers for name in bracket.contenders
    )
    name = next(iter(bracket.contenders))
    stops = [stop_at(bracket, schedule, name, stage)[1] for stage in range(4)]
    assert stops == [0, 512 + 1 * 512, 512 + 4 * 512, 512 + 8192]  # 5 % and 25 % of 16 steps


class KilledError(Exception):
    pass


@pytest.mark.parametrize("after", [1, 3, 5, 7, 8, 9])
def test_killed_anywhere_and_repeated_it_resumes_to_the_same_end(tmp_path, after):
    calm, killed = Store(tmp_path / "calm"), Store(tmp_path / "killed")
    for store in (calm, killed):
        finished.prepare(store)
    funnel, trainer = a_funnel(calm)
    go(funnel, trainer)

    funnel, first = a_funnel(killed)
    one_by_one = iter(range(after))

    def until_killed(candidates):
        for candidate in candidates:
            if next(one_by_one, None) is None:
                raise KilledError
            first.run([candidate])
        return {}

    with pytest.raises(KilledError):
        run_halving(funnel, first.candidates, {"CPU": 1}, until_killed, lambda _: None)
    funnel, second = a_funnel(killed)
    go(funnel, second)
    assert sorted(first.spent + second.spent) == sorted(trainer.spent)
    assert funnel.is_done()
    assert go(funnel, second)[1][1:] == []


def test_a_repeated_funnel_keeps_its_rungs_though_its_own_trials_are_evidence_now(store):
    funnel, trainer = a_funnel(store)
    go(funnel, trainer)
    again, trainer = a_funnel(store)
    assert again.brackets == funnel.brackets
    go(again, trainer)
    assert trainer.spent == []


def test_rungs_come_from_finished_trials_of_the_same_scale_and_budget(store):
    grid = finished.plan("where_to_drop", store, "--age", "80B", "--location", SETS)
    finished.finish_all(grid, store, nll)
    (evidence,) = grids(finished_trials(store))
    assert [row.tau for row in rung_qualities(evidence)] == [1.0] * 5
    funnel, _ = a_funnel(store)
    ((_, schedule),) = funnel.brackets
    assert schedule.shares == (0.05,) != DEFAULT_SHARES
    assert "finished layer sets settled" in schedule.origin


def test_a_set_trained_to_the_end_before_takes_part_at_no_cost(store):
    """It has no loss on the rungs, and goes on in addition to those kept there."""
    funnel, trainer = a_funnel(store)
    (output,) = [k for k, request in trainer.requests.items() if request.location == "output"]
    trainer.finish(trainer.candidates[output].job.spec, trainer.requests[output])
    go(funnel, trainer)
    assert output not in {key for key, _, _ in trainer.spent}
    assert finished_locations(funnel, trainer) == [
        ("input", 1), ("middle", 1), ("none", 1), ("output", 1),
    ]  # fmt: skip


def test_the_best_in_the_end_is_a_finalist_though_it_was_trained_before(store):
    """Untrained, `output` is the worst set, so that no rung would keep it."""

    def from_behind(request, share):
        behind = request.location == "output"
        return 3.1 + 9 * (1 - share) if behind else nll(request, share)

    funnel, trainer = a_funnel(store, "--seed", "1,2", nll=from_behind)
    (output,) = [
        key
        for key, request in trainer.requests.items()
        if (request.location, request.seed) == ("output", 1)
    ]
    trainer.finish(trainer.candidates[output].job.spec, trainer.requests[output])
    go(funnel, trainer)
    assert finished_locations(funnel, trainer) == [
        ("input", 1), ("input", 2), ("middle", 1), ("none", 1), ("none", 2),
        ("output", 1), ("output", 2),
    ]  # fmt: skip


def test_what_was_trained_beyond_a_rung_passes_it(store):
    funnel, trainer = a_funnel(store)
    (last,) = [k for k, request in trainer.requests.items() if request.location == "random-3"]
    checkpoint = store.path("trials", last, "checkpoints", "step-10")
    checkpoint.mkdir(parents=True)
    write_manifest(checkpoint)
    schedule = dataclasses.replace(funnel.brackets[0][1], keeps=(6, 3, 2))
    funnel = dataclasses.replace(funnel, brackets=((funnel.brackets[0][0], schedule),))
    go(funnel, trainer)
    assert ("random-3", 1) in finished_locations(funnel, trainer)
    assert len(finished_locations(funnel, trainer)) == 4


def test_one_that_fails_leaves_and_the_next_one_takes_its_place(store):
    funnel, trainer = a_funnel(store, fails=("input",))
    failures, _ = go(funnel, trainer)
    assert [trainer.requests[key].location for key in failures] == ["input"]
    assert finished_locations(funnel, trainer) == [("middle", 1), ("none", 1), ("output", 1)]


def test_other_ages_and_counts_are_other_brackets(store):
    plan = finished.plan(
        "search", store, "--search", "funnel", "--age", "80B,320B", "--count", "1,2",
        "--location", "input,middle,output", "--loss", "lm", "--lr_factor", "1",
    )  # fmt: skip
    funnel = open_halving(finished.prepared(plan, store))
    titles = [bracket.title for bracket, _ in funnel.brackets]
    assert titles == [f"smoke, age {a}, count {c}" for a in ("80B", "320B") for c in (1, 2)]
    trials = sum(len(bracket.contenders) for bracket, _ in funnel.brackets)
    assert trials == len(finished.prepared(plan, store).trials)


def test_the_conclusion_names_the_best_set(store):
    funnel, trainer = a_funnel(store, "--seed", "1,2,3", nll=lambda r, s: nll(r, s) * 1.0)
    go(funnel, trainer)
    first, second = halving_lines(funnel)
    assert first.startswith("smoke, age 320B, count 2: input, +0.2")
    assert first.endswith("nats per token against the base (seeds 1, 2, 3).")
    assert second == "  Nothing is tied with it: 1 other finalist is worse (Holm, 5 %)."


def test_one_that_is_worse_on_the_documents_not_selected_on_is_said_to_be(store):
    funnel, trainer = a_funnel(store, "--seed", "1,2,3")
    go(funnel, trainer)
    key = score_key(PERPLEXITY, finished.INFO, finished.EVALUATION.heldout_windows)
    for trial_id, request in trainer.requests.items():
        path = ("scores", trial_id * 4, f"{key}.json")
        if request.location == "input" and (nll := store.load(UnitScores, *path)):
            reported = set(half(nll, "report", nll.units).units)
            worse = [100.0 * (unit in reported) for unit in nll.units]
            sums = tuple(own + more for own, more in zip(nll.sums, worse, strict=True))
            store.save(dataclasses.replace(nll, sums=sums), *path)
    first, second = halving_lines(funnel)
    assert first.startswith("smoke, age 320B, count 2: input, +1.2")
    assert second == ("  On the documents that were not selected on, middle is better (Holm, 5 %).")


@pytest.mark.parametrize(
    ("seeds", "hint"),
    [
        ("1", "is not known: one data seed does not show how far another would lie"),
        ("1,2,3", "more seeds of each, "),
    ],
)
def test_the_conclusion_says_what_would_separate_a_tie(store, seeds, hint):
    """`input` and `middle` differ by less than two seeds of `input` do."""

    def close(request, share):
        wobble = {1: 0.0003, 2: 0.06, 3: -0.03}[request.seed] * (request.location == "input")
        return {"input": 3.2, "middle": 3.2}.get(request.location, 3.6) + 1 - share + wobble

    funnel, trainer = a_funnel(store, "--seed", seeds, nll=close)
    go(funnel, trainer)
    _, tied, how_to_separate = halving_lines(funnel)
    assert tied.startswith("  Not distinguishable from it: ")
    assert hint in how_to_separate


def test_the_command_reads_rungs_off_a_store_and_replays_the_funnel(store, capsys):
    flags = {"sweep": "some", "tolerance": 0.01}
    with pytest.raises(DataError, match="has no 3 finished layer sets of sweep 'some'"):
        rank_stability(store, argparse.Namespace(**flags, replay=False))
    grid = finished.plan("where_to_drop", store, "--age", "80B", "--location", SETS)
    finished.finish_all(grid, store, nll)
    assert rank_stability(store, argparse.Namespace(**flags, replay=False)) == 0
    assert "Rungs for a funnel: 5 % (regret at most 0.01 in every grid)" in capsys.readouterr().out
    assert rank_stability(store, argparse.Namespace(**flags, replay=True)) == 0
    assert "chose input: regret 0.0000 nats per token" in capsys.readouterr().out
