"""Successive halving in the driver: score without training, train to each rung, then to the end."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from raydistill.planning.search.brackets import Bracket, HalvingSearch, cut_jobs, stop_at
from raydistill.planning.search.halving import BracketState, HalvingSchedule, percents
from raydistill.runners.cluster.connection import Need
from raydistill.runners.cluster.tasks import run_each_once
from raydistill.runners.cluster.work import Candidate
from raydistill.runners.stages import Say, measure_layer_sets
from raydistill.specs.results import Finished, TrialFailure
from raydistill.training.jobs import StopAt, TrialJob

Run = Callable[[Sequence[Candidate]], dict[str, TrialFailure]]
"""Runs candidates as far as their jobs say; returns those that failed."""


def run_halving(
    funnel: HalvingSearch, candidates: Mapping[str, Candidate], need: Need, run: Run, say: Say
) -> dict[str, TrialFailure]:
    """Train and measure what the store lacks, stage by stage; brackets run side by side.

    Args:
        funnel: the brackets, with their schedules.
        candidates: every trial, by id, to be trained to the end.
        need: what one device is.
        run: trains.
        say: shows one line to the user.

    Returns:
        The trials that failed, by id.
    """
    failures: dict[str, TrialFailure] = {}
    for bracket, schedule in funnel.brackets:
        say(f"{bracket.title}: {_narrowing(bracket, schedule)}")
    while work := _missing(funnel, failures):
        unscored = [opened for opened in work if opened.state.stage == 0]
        if unscored:
            _score(funnel, unscored, need, say)
        else:
            failures |= run([job for opened in work for job in _stopping(opened, candidates, say)])
    last = funnel.last(funnel.states(failures))
    unfinished = [trial for trial in last if not isinstance(funnel.outcome(trial), Finished)]
    return failures | run([candidates[trial.trial_id] for trial in unfinished])


@dataclass(frozen=True, slots=True)
class OpenBracket:
    """A bracket whose present stage is not done."""

    bracket: Bracket
    schedule: HalvingSchedule
    state: BracketState


def _missing(funnel: HalvingSearch, failed: Mapping[str, TrialFailure]) -> list[OpenBracket]:
    return [
        OpenBracket(bracket, schedule, state)
        for (bracket, schedule), state in zip(funnel.brackets, funnel.states(failed), strict=True)
        if state.missing
    ]


def _stopping(
    work: OpenBracket, candidates: Mapping[str, Candidate], say: Say
) -> Iterator[Candidate]:
    """The trials of a stage, each as far as it goes there."""
    state, to_the_end = work.state, work.state.stage == work.schedule.final_stage
    share = "the end" if to_the_end else f"{_share(work)} of the budget"
    say(
        f"{work.bracket.title}: {len(state.missing)} of {len(state.members)} layer sets "
        f"train to {share}"
    )
    for name in state.missing:
        candidate = candidates[name]
        assert isinstance(candidate.job, TrialJob), candidate
        if to_the_end:
            yield candidate
            continue
        _, tokens = stop_at(work.bracket, work.schedule, name, state.stage)
        yield replace(candidate, job=replace(candidate.job, until=StopAt(tokens=tokens)))


def _share(work: OpenBracket) -> str:
    return percents((work.schedule.shares[work.state.stage - 1],))


def _score(funnel: HalvingSearch, work: Sequence[OpenBracket], need: Need, say: Say) -> None:
    jobs = [
        job
        for opened in work
        for job in cut_jobs(opened.bracket, opened.state.missing, funnel.prepared)
    ]
    sets = sum(len(job.layer_sets) for job in jobs)
    say(f"scoring {sets} layer sets without training")
    run_each_once(measure_layer_sets, need, jobs)


def _narrowing(bracket: Bracket, schedule: HalvingSchedule) -> str:
    widths = " → ".join(map(str, (len(bracket.contenders), *schedule.keeps)))
    rungs = percents(schedule.shares)
    return f"{widths} layer sets, rungs at {rungs} of the budget ({schedule.origin})"
