"""What a sweep over shapes finds: front, forms, slopes, depth, texts, probes (METHOD 9)."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from raydistill.evaluation.bootstrap import Estimate, PairedBootstrap, estimate
from raydistill.laws.fit import Fit
from raydistill.laws.points import Exclusion, Points
from raydistill.laws.reduced_scale.evidence import FORMS, POWER, SMOOTH, Evidence, evidence
from raydistill.laws.reduced_scale.front import front
from raydistill.reports.reduced_scale.depth import DepthPair, depth_pairs
from raydistill.reports.reduced_scale.probes import (
    Correlation,
    RunGain,
    correlations,
    run_gains,
)
from raydistill.reports.reduced_scale.runs import EXACT, HONEY, Run, RunPoint, groups
from raydistill.reports.reduced_scale.slopes import Slope, slopes
from raydistill.reports.reduced_scale.texts import TextLadder, text_ladder

RULES_OF_FRONTS = (HONEY, EXACT)
QUICK = tuple(
    form for form in FORMS if form != SMOOTH
)  # its intervals take seconds: once is enough
ON_PLATEAU = "it is not 0.2 nats below the unigram line"
NO_LINE = "the unigram line of its text is not known"
NOT_LOWEST = "another run is lower in its bin of FLOPs"


@dataclass(frozen=True, kw_only=True, slots=True)
class Front:
    """The front of the leading runs by one rule of FLOPs, and the forms through it.

    Attributes:
        rule: of counting FLOPs.
        runs: of each point.
        points: ascending in FLOPs.
        fitted: the same as a law takes them, with what was left out.
        forms: compared.
    """

    rule: str
    runs: tuple[Run, ...]
    points: tuple[RunPoint, ...]
    fitted: Points
    forms: Evidence

    @property
    def law(self) -> Fit | None:
        """The fit that is kept: of the break that was found, else the power law."""
        return self.forms.fits.get(self.forms.place.form if self.forms.place else POWER)


@dataclass(frozen=True, kw_only=True, slots=True)
class ReducedScaleFindings:
    """All that the page says.

    Attributes:
        runs: ascending in parameters; none in another sweep.
        leading: those whose front is drawn and fitted: causal, of the text with the most runs
            (`runs.groups`).
        losses: of every point by name, nats per target with an interval over documents.
        fronts: by rule, Honey's first.
        of_other_recipes: runs whose names change the pretraining that most of the leading ones
            have: in no slope, no pair and no ladder.
        slopes: of the axes of the leading runs that left the plateau.
        depth: pairs of the same.
        ladder: of texts; None where there is one text only.
        gains: of probes, of the leading runs.
        other_gains: likewise of all others that have probes; in no verdict.
        correlations: over the leading runs.
        failed: why a run is not here, by its name.
    """

    runs: tuple[Run, ...] = ()
    leading: tuple[Run, ...] = ()
    losses: Mapping[str, Estimate]
    fronts: tuple[Front, ...] = ()
    of_other_recipes: tuple[Run, ...] = ()
    slopes: tuple[Slope, ...] = ()
    depth: tuple[DepthPair, ...] = ()
    ladder: TextLadder | None = None
    gains: tuple[RunGain, ...] = ()
    other_gains: tuple[RunGain, ...] = ()
    correlations: tuple[Correlation, ...] = ()
    failed: Mapping[str, str]


def findings_of(runs: Sequence[Run], failed: Mapping[str, str]) -> ReducedScaleFindings:
    """What these runs say.

    Args:
        runs: in any order.
        failed: why others are not among them.
    """
    ordered = tuple(sorted(runs, key=lambda run: (run.parameters, run.name)))
    if not ordered:
        return ReducedScaleFindings(losses={}, failed=failed)
    leading, *others = groups(ordered).values()
    usual = Counter(run.recipe for run in leading).most_common(1)[0][0]
    alike = [run for run in ordered if run.recipe == usual]
    off = [run for run in alike if run in leading and run.is_off_plateau(run.oldest)]
    return ReducedScaleFindings(
        runs=ordered,
        leading=leading,
        losses={
            name: loss for of in groups(ordered).values() for name, loss in _losses(of).items()
        },
        fronts=tuple(front_of(leading, rule) for rule in RULES_OF_FRONTS),
        slopes=slopes(off),
        depth=depth_pairs(off),
        ladder=text_ladder(alike),
        of_other_recipes=tuple(run for run in ordered if run.recipe != usual),
        gains=run_gains(leading),
        other_gains=tuple(gain for runs in others for gain in run_gains(runs)),
        correlations=correlations(leading),
        failed=failed,
    )


def _losses(runs: Sequence[Run]) -> dict[str, Estimate]:
    points = [point for run in runs for point in run.points]
    bootstrap = PairedBootstrap(unit for point in points for unit in point.nats.units)
    entries = {p.name: estimate(bootstrap.values(p.nats), "not a number") for p in points}
    return {name: entry for name, entry in entries.items() if isinstance(entry, Estimate)}


def front_of(runs: Sequence[Run], rule: str) -> Front:
    """The front of runs of one objective and text, by one rule of FLOPs.

    Only points off the plateau are on it; the resamples of its losses are those of documents.
    """
    every = [(run, point) for run in runs for point in run.points]
    off = [(run, point) for run, point in every if run.is_off_plateau(point)]
    on_front = front([p.flops[rule] for _, p in off], [p.loss for _, p in off])
    kept = [off[index] for index in on_front]
    names = {point.name for _, point in kept}
    bootstrap = PairedBootstrap(unit for _, point in kept for unit in point.nats.units)
    losses_RN = np.empty((len(bootstrap.weights_RU), 0))
    if kept:
        losses_RN = np.stack([bootstrap.values(point.nats) for _, point in kept], axis=1)
    fitted = Points(
        inputs={"x": np.array([float(point.flops[rule]) for _, point in kept])},
        outputs=np.array([point.loss for _, point in kept]),
        names=tuple(point.name for _, point in kept),
        excluded=tuple(
            Exclusion(name=point.name, reason=_why_not(run, point))
            for run, point in every
            if point.name not in names
        ),
        samples_RN=losses_RN if np.isfinite(losses_RN).all() else None,
    )
    return Front(
        rule=rule,
        runs=tuple(run for run, _ in kept),
        points=tuple(point for _, point in kept),
        fitted=fitted,
        forms=evidence(fitted, FORMS if rule == HONEY else QUICK),
    )


def _why_not(run: Run, point: RunPoint) -> str:
    if run.text.unigram_nats is None:
        return NO_LINE
    return NOT_LOWEST if run.is_off_plateau(point) else ON_PLATEAU


def fits(findings: ReducedScaleFindings) -> Iterator[Fit]:
    """The law of each front, as a storage keeps it; that by Honey's rule comes last."""
    yield from (of.law for of in reversed(findings.fronts) if of.law is not None)
