"""A funnel, as the driver runs it: score without training, climb the rungs, train the rest."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from raydistill.planning.search.brackets import Bracket, Funnel, cut_jobs, stop_at
from raydistill.planning.search.halving import BracketState, HalvingSchedule, percents
from raydistill.runners.cluster.connection import Need
from raydistill.runners.cluster.tasks import run_each_once
from raydistill.runners.cluster.work import Candidate
from raydistill.runners.stages import Say, measure_cuts_of
from raydistill.specs.results import Finished, TrialFailure
from raydistill.training.jobs import StopAt, TrialJob

Run = Callable[[Sequence[Candidate]], dict[str, TrialFailure]]
"""Runs candidates as far as their jobs say; returns those that failed."""


def run_funnel(
    funnel: Funnel, candidates: Mapping[str, Candidate], need: Need, run: Run, say: Say
) -> dict[str, TrialFailure]:
    """Run what the store lacks of a funnel, stage by stage; the contests go side by side.

    Args:
        funnel: whose.
        candidates: every trial, by id, to be trained to the end.
        need: what one device is.
        run: trains.
        say: shows one line to the user.

    Returns:
        The trials that failed, by id.
    """
    failures: dict[str, TrialFailure] = {}
    for contest, ladder in funnel.contests:
        say(f"{contest.title}: {_narrowing(contest, ladder)}")
    while work := _missing(funnel, failures):
        unscored = [each for each in work if each.climb.stage == 0]
        if unscored:
            _score(funnel, unscored, need, say)
        else:
            failures |= run([job for each in work for job in _stopping(each, candidates, say)])
    last = funnel.last(funnel.climbs(failures))
    left = [each.trial_id for each in last if not isinstance(funnel.outcome(each), Finished)]
    return failures | run([candidates[trial_id] for trial_id in left])


@dataclass(frozen=True, slots=True)
class OpenBracket:
    """A contest whose present stage is not done."""

    contest: Bracket
    ladder: HalvingSchedule
    climb: BracketState


def _missing(funnel: Funnel, failed: Mapping[str, TrialFailure]) -> list[OpenBracket]:
    climbs = funnel.climbs(failed)
    found = [
        OpenBracket(contest, ladder, climb)
        for (contest, ladder), climb in zip(funnel.contests, climbs, strict=True)
    ]
    return [each for each in found if each.climb.missing]


def _stopping(
    work: OpenBracket, candidates: Mapping[str, Candidate], say: Say
) -> Iterator[Candidate]:
    """The trials of a stage, each as far as it goes there."""
    climb, to_the_end = work.climb, work.climb.stage == work.ladder.to_the_end
    share = "the end" if to_the_end else f"{_share(work)} of the budget"
    say(
        f"{work.contest.title}: {len(climb.missing)} of {len(climb.members)} layer sets "
        f"train to {share}"
    )
    for name in climb.missing:
        candidate = candidates[name]
        assert isinstance(candidate.job, TrialJob), candidate
        if to_the_end:
            yield candidate
            continue
        _, tokens = stop_at(work.contest, work.ladder, name, climb.stage)
        yield replace(candidate, job=replace(candidate.job, until=StopAt(tokens=tokens)))


def _share(work: OpenBracket) -> str:
    return percents((work.ladder.shares[work.climb.stage - 1],))


def _score(funnel: Funnel, work: Sequence[OpenBracket], need: Need, say: Say) -> None:
    jobs = [
        job for each in work for job in cut_jobs(each.contest, each.climb.missing, funnel.prepared)
    ]
    sets = sum(len(job.layer_sets) for job in jobs)
    say(f"scoring {sets} layer sets without training")
    run_each_once(measure_cuts_of, need, jobs)


def _narrowing(contest: Bracket, ladder: HalvingSchedule) -> str:
    widths = " → ".join(map(str, (len(contest.contenders), *ladder.keeps)))
    return (
        f"{widths} layer sets, rungs at {percents(ladder.shares)} of the budget ({ladder.origin})"
    )
