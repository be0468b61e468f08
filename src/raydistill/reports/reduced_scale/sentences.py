"""What is said of shapes, slopes, depth, texts and probes; of the front: `front_sentences.py`."""

from collections.abc import Iterator, Sequence

from raydistill.laws.published import REDUCED_SCALE
from raydistill.reports.reduced_scale.depth import FLOPS, PARAMETERS, DepthPair
from raydistill.reports.reduced_scale.findings import ReducedScaleFindings
from raydistill.reports.reduced_scale.names import (
    label,
    listed,
    shape_name,
    short,
    tokens_text,
    with_range,
)
from raydistill.reports.reduced_scale.probes import (
    FEW_MODELS,
    ZERO_SHOT,
    Correlation,
    RunGain,
    SmallestHelped,
    smallest_helped,
)
from raydistill.reports.reduced_scale.runs import OFF_PLATEAU, Run, groups
from raydistill.reports.reduced_scale.slopes import SAME_FLOPS, Slope
from raydistill.reports.reduced_scale.texts import TextLadder
from raydistill.reports.results.agreement import TEST, verdict

ONE_RUN = "One run a shape: intervals are over documents, what another seed would give is not in it"
SAME = f"FLOPs within {100 * (SAME_FLOPS - 1):.0f} %, so that there is no slope"
SPAN = 2.0  # FLOPs by which an axis spans its own doubling


def on_shapes(findings: ReducedScaleFindings) -> tuple[str, ...]:
    """Which runs measured the plateau, and which are not here."""
    return (
        *(
            sentence
            for (objective, text), runs in groups(findings.runs).items()
            for sentence in _plateau(objective, text, runs)
        ),
        *_of_other_recipes(findings),
        *_failed(findings),
    )


def _of_other_recipes(findings: ReducedScaleFindings) -> Iterator[str]:
    if others := findings.of_other_recipes:
        yield (
            "Pretrained by another recipe, as their names say, so in no slope, in no pair of "
            f"depths and in no ladder of texts: {listed(map(label, others))}."
        )


def _plateau(objective: str, text: str, runs: Sequence[Run]) -> Iterator[str]:
    about = f"{objective} on {text}"
    if runs[0].text.unigram_nats is None:
        yield (
            f"{about}: the unigram line of this text is not known, so that no run is told from the "
            "plateau: none enters a fit."
        )
        return
    if runs[0].text.line_of_all:
        yield (
            f"{about}: the unigram line is that of all held-out tokens; that of the hidden ones "
            "alone is counted when the sweep next trains something in this storage."
        )
    on_it = [run for run in runs if run.left_at is None]
    if on_it:
        whole = f"all {len(runs)} runs" if len(on_it) == len(runs) > 1 else _count(len(on_it))
        yield (
            f"{about}: {whole} measured the plateau: at no age {OFF_PLATEAU:g} nats below the "
            f"unigram line ({runs[0].text.unigram_nats:.3f}), that of a model which knows "
            f"frequencies only. Drawn hollow, in no fit: {listed(map(label, on_it))}."
        )


def _count(runs: int) -> str:
    return "1 run" if runs == 1 else f"{runs} runs"


def _failed(findings: ReducedScaleFindings) -> Iterator[str]:
    by_reason: dict[str, list[str]] = {}
    for name, reason in findings.failed.items():
        by_reason.setdefault(reason, []).append(name)
    for reason, names in by_reason.items():
        yield f"Not here: {listed(names)}: {reason}."


def on_slopes(slopes: Sequence[Slope]) -> tuple[str, ...]:
    """Which axis is best per FLOP, which cost none, and what the intervals lack."""
    return (*_best_axis(slopes), *_free_axes(slopes), *_short(slopes), f"{ONE_RUN}.")


def _best_axis(slopes: Sequence[Slope]) -> Iterator[str]:
    with_slope = [(of, of.per_doubling) for of in slopes if of.per_doubling is not None]
    if len(with_slope) < 2:
        return
    first, nats = min(with_slope, key=lambda one: one[1].value)
    beside = [_axis(of) for of, _ in with_slope if of.best and of is not first]
    worse = [_axis(of) for of, _ in with_slope if not of.best]
    parts = [
        *([f"not distinguishable from it: {listed(beside)}"] if beside else []),
        *([f"told apart: {listed(worse)}"] if worse else []),
    ]
    yield (
        f"Per FLOP {_axis(first)} lowers the loss most here, {with_range(nats)} nats a doubling; "
        f"{'; '.join(parts)} ({TEST})."
        if nats.value < 0
        else f"No axis lowers the loss here; {_axis(first)} raises it least, {with_range(nats)} "
        f"nats a doubling; {'; '.join(parts)} ({TEST})."
    )


def _axis(slope: Slope) -> str:
    return slope.axis.replace("_", "-")


def _free_axes(slopes: Sequence[Slope]) -> Iterator[str]:
    for of in slopes:
        if of.per_doubling is None:
            sureness = "told from 0" if of.is_apart else "not told from 0"
            yield (
                f"{_axis(of).capitalize()}: from {of.values[0]} to {of.values[-1]} at {SAME}, "
                f"{with_range(of.end_to_end)} nats, {sureness} ({TEST})."
            )


def _short(slopes: Sequence[Slope]) -> Iterator[str]:
    names = [_axis(of) for of in slopes if of.per_doubling and of.flops_ratio < SPAN]
    if names:
        yield f"Spanning less than a doubling, so that theirs is extrapolated: {listed(names)}."


def on_depth(pairs: Sequence[DepthPair]) -> tuple[str, ...]:
    """A verdict for each kind of equality."""
    kinds = {PARAMETERS: "equal parameters (non-embedding)", FLOPS: "equal FLOPs (exact)"}
    sentences = [
        _verdict(name, of)
        for kind, name in kinds.items()
        if (of := [pair for pair in pairs if pair.equal == kind])
    ]
    return (*sentences, f"{ONE_RUN}.")


def _verdict(name: str, pairs: Sequence[DepthPair]) -> str:
    deeper = sum(pair.sign < 0 for pair in pairs)
    shallower = sum(pair.sign > 0 for pair in pairs)
    untold = len(pairs) - deeper - shallower
    counts = ((deeper, "the deeper"), (shallower, "the shallower"))
    parts = [f"{who} shape is better in {n}" for n, who in counts if n]
    parts += [f"{untold} not told apart"] if untold else []
    return f"At {name}, of {_pairs(len(pairs))} ({TEST}): {'; '.join(parts)}."


def _pairs(count: int) -> str:
    return "1 pair" if count == 1 else f"{count} pairs"


def on_texts(ladder: TextLadder) -> tuple[str, ...]:
    """What fewer words gain in bits per byte, and in size; and what that does not mean."""
    return (
        *_by_text(ladder),
        *_by_size(ladder),
        "Each text has documents of its own, so that these differences are unpaired; they are of "
        "texts, not of models: how hard a text is to predict. One run a shape and text.",
    )


def _by_text(ladder: TextLadder) -> Iterator[str]:
    for text in ladder.texts[1:]:
        of = [d for d in ladder.differences if d.fewer.name == text.name]
        parts = [f"{with_range(d.bits)} at {shape_name(d.shape, ladder.shapes)}" for d in of]
        if parts:
            yield f"{text.name} less {ladder.texts[0].name}, bits per byte: {'; '.join(parts)}."


def _by_size(ladder: TextLadder) -> Iterator[str]:
    """The smallest shape on fewer words that does as well as the largest on all."""
    largest, full = ladder.shapes[-1], ladder.texts[0].name
    goal = ladder.scores.get((full, largest))
    if goal is None or len(ladder.shapes) < 2:
        return
    for text in ladder.texts[1:]:
        reached = [
            score
            for shape in ladder.shapes
            if (score := ladder.scores.get((text.name, shape)))
            and score.bits.value <= goal.bits.value
        ]
        as_few = (
            f"{shape_name(reached[0].run.shape, ladder.shapes)} "
            f"({tokens_text(reached[0].run.parameters)} parameters) is the smallest"
            if reached
            else "no shape is one"
        )
        yield (
            f"On {text.name} {as_few} with at most the bits per byte that "
            f"{shape_name(largest, ladder.shapes)} ({tokens_text(goal.run.parameters)}) has on "
            f"{full}."
        )


def on_probes(gains: Sequence[RunGain], others: Sequence[RunGain] = ()) -> tuple[str, ...]:
    """The smallest size that pretraining helps, of each probe, and what the paper says.

    Args:
        gains: of the leading runs.
        others: of those that are in no verdict.
    """
    helped = smallest_helped(gains)
    apart = (*_apart(gains, others),)
    if not helped:
        return apart
    return (
        *apart,
        *map(_smallest, helped),
        *_harmed(gains, helped),
        _as_published(helped),
        "Of 40 sizes without a gain one has an interval above 0 by chance; whether larger sizes "
        "have it too tells.",
    )


def _apart(gains: Sequence[RunGain], others: Sequence[RunGain]) -> Iterator[str]:
    names = dict.fromkeys(label(gain.run) for gain in others)
    leading = dict.fromkeys(" on ".join(gain.run.group) for gain in gains)
    if others and gains:
        yield f"Verdicts are of {listed(leading)} alone, not of {listed(names)}."
    elif others:
        yield f"In no verdict: {listed(names)}."


def _smallest(of: SmallestHelped) -> str:
    if of.tried == 1:
        helps = "helps" if of.run else "does not help"
        return f"{of.probe}: pretraining {helps} at the one size tried."
    tried = f"the {of.tried} sizes tried"
    if of.run is None:
        return f"{of.probe}: pretraining helps at none of {tried}."
    if not of.larger:
        rest = "no larger one was tried"
    elif of.all_larger:
        rest = f"and at all {of.larger} larger ones" if of.larger > 1 else "and at the larger one"
    else:
        rest = "and not at all larger ones"
    return (
        f"{of.probe}: {short(of.run.name)}, {of.run.parameters:,} parameters, is the smallest of "
        f"{tried} that pretraining helps, {rest}."
    )


def _harmed(gains: Sequence[RunGain], helped: Sequence[SmallestHelped]) -> Iterator[str]:
    for of in helped:
        own = [gain for gain in gains if gain.probe == of.probe]
        if below := sum(gain.gain.high < 0 for gain in own):
            yield (
                f"{of.probe}: at {below} of {len(own)} shapes it harms: the interval lies below 0, "
                "fresh weights learn more by the same recipe."
            )


def _as_published(helped: Sequence[SmallestHelped]) -> str:
    paper = (
        f"the paper (pretraining helps models as small as {REDUCED_SCALE.smallest_helped:,.0f} "
        "parameters, on GLUE and as a masked LM)"
    )
    small = [  # one interval of many may be above 0 by chance
        of.probe
        for of in helped
        if of.run and of.run.parameters <= REDUCED_SCALE.smallest_helped
        if of.larger and of.all_larger
    ]
    begin = verdict(agree=len(small), contradict=0, untold=len(helped) - len(small))
    if small:
        of_all = f"at most as large here, and all larger, by {listed(small)}"
        return f"{begin} {paper}: {of_all}; other tasks and text."
    return f"{begin} {paper}: no probe tells of a gain at such a size and at all larger ones here."


def on_correlations(every: Sequence[Correlation]) -> tuple[str, ...]:
    """Whether perplexity tells scores, beside the paper."""
    return tuple(map(_correlation, every))


def _correlation(of: Correlation) -> str:
    low, high = of.pearson.low, of.pearson.high
    begin = verdict(agree=int(high < 0), contradict=int(low > 0), untold=int(low <= 0 <= high))
    few = (
        f" {of.models} models are few: such an interval is too short."
        if of.models < FEW_MODELS
        else ""
    )
    what = "zero-shot scores" if of.score == ZERO_SHOT else "scores of probes"
    return (
        f"{begin} the paper (perplexity and downstream scores go together strongly): over "
        f"{of.models} models perplexity and {what} have r = {with_range(of.pearson, 2)}.{few}"
    )
