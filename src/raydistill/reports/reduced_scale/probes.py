"""Whether pretraining helps a probe, size by size, and whether perplexity tells scores."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from raydistill.evaluation.bootstrap import (
    RESAMPLES,
    Estimate,
    FloatArray,
    PairedBootstrap,
    estimate,
)
from raydistill.reports.reduced_scale.runs import Run
from raydistill.specs.evaluation import FRESH, PRETRAINED, STARTS, read_probe_score
from raydistill.specs.results import UnitScores

MEAN = "mean of probes"
ZERO_SHOT, PROBES = "zero-shot mean", "mean of probes"
FEW_MODELS = 10  # with fewer an interval over models says little
LEAST_MODELS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class RunGain:
    """What pretraining gains one run on a probe at its oldest age.

    Attributes:
        probe: its name, or `MEAN` of several.
        run: whose oldest age is fine-tuned.
        seeds: of fine-tuning, at least.
        pretrained: the accuracy from its weights, a mean over seeds.
        fresh: from fresh weights of the same shape.
        gain: the difference, with its interval over seeds and documents.
    """

    probe: str
    run: Run
    seeds: int
    pretrained: float
    fresh: float
    gain: Estimate

    @property
    def helps(self) -> bool:
        """Whether the interval of the gain is above 0."""
        return self.gain.low > 0


@dataclass(frozen=True, kw_only=True, slots=True)
class SmallestHelped:
    """The smallest size at which pretraining helps a probe, at every shape of that size.

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


def run_gains(runs: Sequence[Run]) -> tuple[RunGain, ...]:
    """By probe, then ascending in parameters; the mean of several probes comes last."""
    ordered = sorted(runs, key=lambda run: (run.parameters, run.name))
    by_run = {run.name: _by_probe(run) for run in ordered}
    probes = list(dict.fromkeys(probe for of in by_run.values() for probe in of))
    bootstrap = PairedBootstrap(
        unit for run in ordered for of in run.oldest.probes.values() for unit in of.units
    )
    named = [
        *((probe, [probe]) for probe in probes),
        *([(MEAN, probes)] if len(probes) > 1 else []),
    ]
    every = (
        _gain(name, run, [by_run[run.name].get(probe, {}) for probe in of], bootstrap)
        for name, of in named
        for run in ordered
    )
    return tuple(gain for gain in every if gain is not None)


Accuracies = Mapping[tuple[str, int], UnitScores]  # of a probe, by start and seed


def _by_probe(run: Run) -> dict[str, dict[tuple[str, int], UnitScores]]:
    by_probe: dict[str, dict[tuple[str, int], UnitScores]] = {}
    for name, scores in run.oldest.probes.items():
        probe, start, seed = read_probe_score(name)
        by_probe.setdefault(probe, {})[start, seed] = scores
    return by_probe


def _gain(
    name: str, run: Run, probes: Sequence[Accuracies], bootstrap: PairedBootstrap
) -> RunGain | None:
    """The mean over `probes`; None where no seed has both starts of all of them."""
    seeds = set.intersection(
        *({seed for start, seed in of if start == which} for of in probes for which in STARTS)
    )
    if not seeds:
        return None
    means_R = {
        start: {
            seed: np.mean([bootstrap.values(of[start, seed]) for of in probes], axis=0)
            for seed in seeds
        }
        for start in STARTS
    }
    gained = {seed: means_R[PRETRAINED][seed] - means_R[FRESH][seed] for seed in seeds}
    gain = estimate(bootstrap.over_seeds(gained), "not a number")
    if not isinstance(gain, Estimate):
        return None
    values = {start: fmean(float(of_R[0]) for of_R in of.values()) for start, of in means_R.items()}
    return RunGain(
        probe=name,
        run=run,
        seeds=len(seeds),
        pretrained=values[PRETRAINED],
        fresh=values[FRESH],
        gain=gain,
    )


def smallest_helped(gains: Sequence[RunGain]) -> tuple[SmallestHelped, ...]:
    """Of every probe, in the order of `gains`."""
    by_probe: dict[str, list[RunGain]] = {}
    for gain in gains:
        by_probe.setdefault(gain.probe, []).append(gain)
    return tuple(_smallest(probe, of) for probe, of in by_probe.items())


def _smallest(probe: str, gains: Sequence[RunGain]) -> SmallestHelped:
    by_size: dict[int, list[RunGain]] = {}
    for gain in gains:
        by_size.setdefault(gain.run.parameters, []).append(gain)
    helped = {size: all(gain.helps for gain in of) for size, of in sorted(by_size.items())}
    first = next((size for size, helps in helped.items() if helps), None)
    larger = [helps for size, helps in helped.items() if first is not None and size > first]
    return SmallestHelped(
        probe=probe,
        run=None if first is None else by_size[first][0].run,
        larger=len(larger),
        all_larger=all(larger),
        tried=len(helped),
    )


def correlations(runs: Sequence[Run]) -> tuple[Correlation, ...]:
    """Of perplexity at the oldest age with both means, over the models that have them.

    Args:
        runs: of one objective and text.
    """
    tasks = _shared([run.oldest.tasks.keys() for run in runs if run.oldest.tasks])
    probes = _shared([_by_probe(run).keys() for run in runs if run.oldest.probes])
    scores = {
        ZERO_SHOT: {
            run.name: float(np.mean([run.oldest.tasks[task].value for task in tasks]))
            for run in runs
            if tasks and run.oldest.tasks
        },
        PROBES: {run.name: mean for run in runs if (mean := _probe_mean(run, probes)) is not None},
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


def _probe_mean(run: Run, probes: Collection[str]) -> float | None:
    """Over those probes and their seeds, from the pretrained weights; None without probes."""
    means = [
        fmean(scores.value for (start, _), scores in of.items() if start == PRETRAINED)
        for probe, of in _by_probe(run).items()
        if probe in probes and any(start == PRETRAINED for start, _ in of)
    ]
    return fmean(means) if means else None


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
