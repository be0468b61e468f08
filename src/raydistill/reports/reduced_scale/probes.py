"""Whether pretraining helps a probe, size by size, and whether perplexity tells scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from raydistill.evaluation.bootstrap import (
    RESAMPLES,
    Estimate,
    FloatArray,
    PairedBootstrap,
    estimate,
)
from raydistill.reports.reduced_scale.runs import Run, RunPoint

MEAN = "mean of probes"
ZERO_SHOT, PROBES = "zero-shot mean", "mean of probes"
FEW_MODELS = 10  # with fewer an interval over models says little
LEAST_MODELS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeGain:
    """A probe at one size, the mean over seeds of fine-tuning; intervals over seeds × documents.

    Attributes:
        probe: its name, or `MEAN`.
        run: whose oldest age is fine-tuned.
        seeds: that both starts have.
        pretrained: the score from its weights.
        fresh: from fresh weights of the same shape.
        gain: the difference, paired.
    """

    probe: str
    run: Run
    seeds: int
    pretrained: Estimate
    fresh: Estimate
    gain: Estimate

    @property
    def helps(self) -> bool:
        """Whether the interval of the gain is above 0."""
        return self.gain.low > 0


@dataclass(frozen=True, kw_only=True, slots=True)
class SmallestHelped:
    """The smallest size at which pretraining helps a probe.

    `run` is None if it helps at no size; `all_larger` says whether it helps at all larger ones,
    `larger` how many these are.
    """

    probe: str
    run: Run | None
    larger: int
    all_larger: bool
    tried: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Correlation:
    """Of perplexity with a score over models; intervals by resampling the models."""

    score: str
    models: int
    pearson: Estimate
    spearman: Estimate


def probe_gains(runs: Sequence[Run]) -> tuple[ProbeGain, ...]:
    """By probe, then ascending in parameters; the mean of several probes comes last."""
    ordered = sorted(runs, key=lambda run: (run.parameters, run.name))
    probes = list(dict.fromkeys(p.probe for run in ordered for p in run.oldest.probes))
    names = [*probes, MEAN] if len(probes) > 1 else probes
    bootstrap = PairedBootstrap(
        unit for run in ordered for of in run.oldest.probes for unit in of.scores.units
    )
    kept = []
    for name in names:
        for run in ordered:
            of = probes if name == MEAN else [name]
            gain = _gain(name, run, of, bootstrap)
            if gain is not None:
                kept.append(gain)
    return tuple(kept)


def _gain(
    name: str, run: Run, probes: Sequence[str], bootstrap: PairedBootstrap
) -> ProbeGain | None:
    """None where a probe has no seed with both starts."""
    starts = [_by_seed(run.oldest, probes, bootstrap, is_fresh=fresh) for fresh in (False, True)]
    seeds = sorted(starts[0].keys() & starts[1].keys())
    if not seeds:
        return None
    pretrained, fresh = ({seed: of[seed] for seed in seeds} for of in starts)
    gained = {seed: pretrained[seed] - fresh[seed] for seed in seeds}
    entries = [
        estimate(bootstrap.over_seeds(of), "not a number") for of in (pretrained, fresh, gained)
    ]
    known = [entry for entry in entries if isinstance(entry, Estimate)]
    if len(known) < len(entries):
        return None
    return ProbeGain(
        probe=name,
        run=run,
        seeds=len(seeds),
        pretrained=known[0],
        fresh=known[1],
        gain=known[2],
    )


def _by_seed(
    point: RunPoint, probes: Sequence[str], bootstrap: PairedBootstrap, *, is_fresh: bool
) -> Mapping[int, FloatArray]:
    """The mean over `probes` of each seed that all of them have, in every resample."""
    by_probe = [
        {
            of.seed: bootstrap.values(of.scores)
            for of in point.probes
            if of.probe == probe and of.is_fresh == is_fresh
        }
        for probe in probes
    ]
    seeds = set.intersection(*map(set, by_probe))
    return {seed: np.mean([of[seed] for of in by_probe], axis=0) for seed in seeds}


def smallest_helped(gains: Sequence[ProbeGain]) -> tuple[SmallestHelped, ...]:
    """Of every probe, in the order of `gains`."""
    by_probe: dict[str, list[ProbeGain]] = {}
    for gain in gains:
        by_probe.setdefault(gain.probe, []).append(gain)
    return tuple(_smallest(probe, of) for probe, of in by_probe.items())


def _smallest(probe: str, gains: Sequence[ProbeGain]) -> SmallestHelped:
    first = next((gain for gain in gains if gain.helps), None)
    size = first.run.parameters if first else 0
    larger = [gain for gain in gains if first and gain.run.parameters > size]
    return SmallestHelped(
        probe=probe,
        run=first.run if first else None,
        larger=len(larger),
        all_larger=all(gain.helps for gain in larger),
        tried=len(gains),
    )


def correlations(runs: Sequence[Run]) -> tuple[Correlation, ...]:
    """Of perplexity at the oldest age with both means, over the models that have them.

    Args:
        runs: of one objective and text.
    """
    tasks = _shared([run.oldest.tasks.keys() for run in runs if run.oldest.tasks])
    scores = {
        ZERO_SHOT: {
            run.name: float(np.mean([run.oldest.tasks[task].value for task in tasks]))
            for run in runs
            if tasks and run.oldest.tasks
        },
        PROBES: {run.name: mean for run in runs if (mean := _probe_mean(run)) is not None},
    }
    perplexity = {run.name: float(np.exp(run.oldest.loss)) for run in runs}
    kept = []
    for name, of in scores.items():
        if len(of) >= LEAST_MODELS:
            pairs_2M = np.array([[perplexity[model] for model in of], list(of.values())])
            kept.append(_correlation(name, pairs_2M))
    return tuple(filter(None, kept))


def _shared(names: Sequence[object]) -> list[str]:
    sets = [set(of) for of in names]  # type: ignore[call-overload]
    return sorted(set.intersection(*sets)) if sets else []


def _probe_mean(run: Run) -> float | None:
    """Over probes and seeds, from the pretrained weights; None without probes."""
    by_probe: dict[str, list[float]] = {}
    for of in run.oldest.probes:
        if not of.is_fresh:
            by_probe.setdefault(of.probe, []).append(of.scores.value)
    return float(np.mean([np.mean(of) for of in by_probe.values()])) if by_probe else None


def _correlation(score: str, pairs_2M: FloatArray) -> Correlation | None:
    from scipy.stats import rankdata  # noqa: PLC0415  (a second, which few reports need)

    models = pairs_2M.shape[1]
    drawn_RM = np.random.default_rng(0).integers(0, models, (RESAMPLES, models))
    index_RM = np.vstack([np.arange(models), drawn_RM])
    x_RM, y_RM = pairs_2M[:, index_RM]
    pearson = estimate(_pearson(x_RM, y_RM), "not a number")
    ranks = [rankdata(values_RM, axis=1) for values_RM in (x_RM, y_RM)]
    spearman = estimate(_pearson(*ranks), "not a number")
    if not isinstance(pearson, Estimate) or not isinstance(spearman, Estimate):
        return None
    return Correlation(score=score, models=models, pearson=pearson, spearman=spearman)


def _pearson(x_RM: FloatArray, y_RM: FloatArray) -> FloatArray:
    """The correlation in each row; NaN where one is constant."""
    x_RM, y_RM = (v_RM - v_RM.mean(axis=1, keepdims=True) for v_RM in (x_RM, y_RM))
    spread_R = np.sqrt((x_RM**2).sum(axis=1) * (y_RM**2).sum(axis=1))
    nan_R = np.full(len(x_RM), np.nan)
    values_R: FloatArray = np.divide(
        (x_RM * y_RM).sum(axis=1), spread_R, out=nan_R, where=spread_R > 1e-12
    )
    return values_R
