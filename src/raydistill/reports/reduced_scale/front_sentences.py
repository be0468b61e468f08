"""What is said of the front: what it is of, the break, the exponents, and the paper beside."""

from collections.abc import Iterator, Sequence

from raydistill.laws.published import REDUCED_SCALE as PAPER
from raydistill.laws.reduced_scale.evidence import POWER, SMOOTH, points_needed
from raydistill.laws.reduced_scale.front import dominated
from raydistill.reports.reduced_scale.findings import ON_PLATEAU, Front
from raydistill.reports.reduced_scale.names import flops_text, listed, tokens_text, with_range
from raydistill.reports.reduced_scale.runs import CAUSAL, HONEY, OFF_PLATEAU, RULES, Run
from raydistill.reports.results.agreement import verdict
from raydistill.reports.results.caveats import joined

NEAR = 2.0  # in BIC: no evidence either way
ONCE = f"A {SMOOTH} is compared by the rule {RULES[HONEY]} alone."
TO_ADD = "more ages or shapes whose FLOPs lie in other bins"


def on_front(front: Front, leading: Sequence[Run]) -> tuple[str, ...]:
    """Of how many points it is, how many of its bins a cheaper one is better than, what it lacks.

    Without any form through it, what would be needed for one.
    """
    lacks = () if front.forms.fits else (f"{_about(front, leading)}{_needed(front)}",)
    return (*_left_out(front), *_not_lower(front), *lacks)


def _left_out(front: Front) -> Iterator[str]:
    on_it = sum(one.reason == ON_PLATEAU for one in front.fitted.excluded)
    every = len(front.fitted) + len(front.fitted.excluded)
    plateau = (
        f"; {on_it} are not {OFF_PLATEAU:g} nats below the unigram line and enter no fit"
        if on_it
        else ""
    )
    yield (
        f"{len(front.fitted)} of {every} points are on the front{plateau}. Ages are checkpoints of "
        "one schedule, not runs that end there."
    )


def _not_lower(front: Front) -> Iterator[str]:
    count = dominated(front.fitted.outputs.tolist())
    if count:
        yield (
            f"In {count} of {len(front.fitted)} bins the lowest loss is not below that of every "
            "cheaper bin; they stay, as in the paper's figure."
        )


def on_forms(front: Front, leading: Sequence[Run]) -> tuple[str, ...]:
    """The evidence, the break, the exponents and the paper."""
    return (
        f"{_about(front, leading)}{_evidence(front)}",
        *_too_few(front),
        *(() if SMOOTH in front.forms.forms else (ONCE,)),
        _break(front),
        *_paper_break(front),
        *_exponents(front, leading),
    )


def _about(front: Front, leading: Sequence[Run]) -> str:
    first = leading[0]
    return f"{first.objective.capitalize()} LMs on {first.text.name}, {_range(front)}: "


def _range(front: Front) -> str:
    flops = front.fitted.inputs["x"]
    if not len(flops):
        return "no point off the plateau"
    return f"{flops_text(flops[0])} to {flops_text(flops[-1])} FLOPs"


def _needed(front: Front) -> str:
    have = "1 point is" if len(front.fitted) == 1 else f"{len(front.fitted)} points are"
    return (
        f"{have} too few for any form. A power law takes {points_needed(POWER)}, all forms take "
        f"{points_needed(SMOOTH)}: add {TO_ADD}."
    )


def _evidence(front: Front) -> str:
    best, fits = front.forms.best, front.forms.fits
    if best is None or len(fits) == 1:
        return f"{POWER} is the only form with points enough."
    near = [name for name, fit in fits.items() if fit is not best and fit.bic - best.bic < NEAR]
    beside = f"; within {NEAR:g} of it: {listed(near)}" if near else ""
    return f"{best.form} has the lowest BIC of {len(fits)} forms{beside}."


def _too_few(front: Front) -> Iterator[str]:
    lacking = [name for name in front.forms.forms if name not in front.forms.fits]
    if lacking:
        needs = joined(f"{name} takes {points_needed(name)}" for name in lacking)
        yield f"{len(front.fitted)} points are too few for other forms: {needs}. Add {TO_ADD}."


def _break(front: Front) -> str:
    place = front.forms.place
    if place is not None:
        share = front.forms.looks_broken[place.form]
        return (
            f"A break ({place.form}) between {flops_text(place.low)} and {flops_text(place.high)} "
            f"FLOPs: one power law would look as broken {share:.2%} of the time."
        )
    if not front.forms.can_tell:
        return f"Whether there is a break cannot be told from these points: add {TO_ADD}."
    shares = joined(f"{name} {p:.2%}" for name, p in front.forms.looks_broken.items())
    return (
        f"No break is seen in the covered range, {_range(front)}: as broken as these points one "
        f"power law looks too ({shares} of the time), as a place was searched for, which BIC does "
        f"not know. Outside the range none is told; the paper's is at "
        f"{flops_text(PAPER.break_flops)} by its own rule."
    )


def _paper_break(front: Front) -> Iterator[str]:
    """Whether the break contradicts the paper's, which is where the covered range says it."""
    if front.rule != HONEY or not front.forms.can_tell:  # the paper counts by its own rule
        return
    flops, place = front.fitted.inputs["x"], front.forms.place
    paper = f"the paper (below {flops_text(PAPER.break_flops)} FLOPs loss does not scale smoothly)"
    if not flops[0] <= PAPER.break_flops <= flops[-1]:
        other = " The break here is another one." if place else ""
        yield (
            f"{verdict(agree=0, contradict=0, untold=1)} {paper}: FLOPs here do not reach to both "
            f"sides of that.{other}"
        )
        return
    is_there = place is not None and place.low <= PAPER.break_flops <= place.high
    where = "a break there" if is_there else "another place" if place else "no break is told"
    elsewhere = place is not None and not is_there
    begin = verdict(agree=int(is_there), contradict=int(elsewhere), untold=int(place is None))
    yield f"{begin} {paper}: {where}."


def _exponents(front: Front, leading: Sequence[Run]) -> Iterator[str]:
    fit = front.law
    if fit is None:
        return
    ours = " and ".join(
        with_range(one) for name, one in fit.parameters.items() if name.startswith("exponent")
    )
    sizes = sorted(run.parameters for run in leading)
    others = joined(["tokenizer", "text", *["objective"] * (leading[0].objective == CAUSAL)])
    yield (
        f"Exponents by the rule {RULES[front.rule]} ({fit.form}): {ours}; the paper's are "
        f"{PAPER.exponent_below} below its break and {PAPER.exponent_above} above it "
        f"({PAPER.source}). Losses do not compare: padding counts in the paper's, and its "
        f"{others} are others; nor does the scale, {_sizes(sizes)} here."
    )


def _sizes(sizes: Sequence[int]) -> str:
    ends = dict.fromkeys(tokens_text(size) for size in (sizes[0], sizes[-1]))
    return f"{' to '.join(ends)} parameters"
