"""How fast a device trains a model, by finished trials and probes, and its matmul peak."""

import re
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from raydistill.core.parts import MODEL_FAMILY
from raydistill.core.serialization import digest
from raydistill.specs.model import ModelConfig
from raydistill.specs.part_identity import own_parts
from raydistill.specs.results import CostEstimate, Finished, Outcome, Trained
from raydistill.specs.trial import (
    LATER_FIELDS,
    CachedTeacher,
    CutBase,
    ExternalBase,
    Recipe,
    TrialSpec,
)
from raydistill.storage.store import Store

ESTIMATE_FILE = "estimate.json"  # beside a trial in the store: what it was expected to take
FINISHED_TRIALS, PROBE = "finished trials", "a probe"
BY = " by "  # between a loss and its teacher, in the name of a pace
_NEWEST = 20  # finished trials that are read


@dataclass(frozen=True, kw_only=True, slots=True)
class Peak:
    """The fastest large matrix product of one device as measured, against which it is utilised."""

    device: str
    precision: str
    flops_per_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """How fast one device trains `blocks` blocks with a loss, as measured."""

    loss: str
    blocks: int
    flops_per_s: float  # by the exact rule
    tokens_per_s: float
    evaluate_s: float  # per trial
    peak_bytes: int  # on a CPU the resident size of the process, libraries included


@dataclass(frozen=True, kw_only=True, slots=True)
class Rate:
    """How fast one device of a kind trains one model, as measured."""

    device: str
    source: str
    paces: tuple[Pace, ...]
    left_out: tuple[str, ...] = ()  # what the seconds do not hold

    @property
    def grounds(self) -> str:
        """What the seconds are based on, and what they lack."""
        without = f" without {' and '.join(self.left_out)}" if self.left_out else ""
        return self.source + without

    def pace(self, loss: str, blocks: int) -> Pace:
        """The nearest measured pace: of that loss if there is one, then in blocks.

        Of a loss by another teacher, that by the own base comes next.
        """
        own = loss.partition(BY)[0]
        return min(
            self.paces, key=lambda p: (p.loss != loss, p.loss != own, abs(p.blocks - blocks))
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Unmeasured:
    """No measurement; `reason` says why a probe could not run."""

    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Probed:
    """A probe's result, as the store keeps it: a rate, or why there is none."""

    found: Rate | Unmeasured


def rate_of(model: ModelConfig, recipe: Recipe, store: Store, *, probed: bool) -> Rate | Unmeasured:
    """The speed of a model by finished trials, else by a probe.

    Args:
        model: of the base.
        recipe: of the trials; a probe holds for its batch and precision.
        store: that has both.
        probed: whether the probe goes first, because it has just been run.
    """
    probe = store.load(Probed, *probe_path(model, recipe))
    by_probe = probe.found if probe else Unmeasured()
    by_trials = measured_rate(model, store)
    rates = (by_probe, by_trials) if probed else (by_trials, by_probe)
    return next((rate for rate in rates if isinstance(rate, Rate)), by_probe)


def measured_rate(model: ModelConfig, store: Store) -> Rate | Unmeasured:
    """The speed by the newest finished trials of `model`, on the kind of device of the last one.

    Trials from scratch of its shape with fewer blocks count too.
    """
    shape = replace(model, num_layers=0)
    files = sorted(store.path("trials").glob("*/trained.json"), key=lambda f: f.stat().st_mtime)
    loaded = [store.load(Trained, *file.relative_to(store.root).parts) for file in files[-_NEWEST:]]
    trained = [
        t for t in loaded if t and t.cost.train_s > 0 and replace(t.model, num_layers=0) == shape
    ]
    if not trained:
        return Unmeasured()
    device = trained[-1].made_by.device
    groups: dict[tuple[str, int], list[Trained]] = {}
    for t in trained:
        if t.made_by.device == device:
            cached = isinstance(t.spec.teacher, CachedTeacher)
            loss = pace_name(t.spec.train.loss, cached, _teacher_beside(t.spec))
            groups.setdefault((loss, len(t.kept)), []).append(t)
    paces = tuple(_pace(loss, blocks, group) for (loss, blocks), group in groups.items())
    return Rate(device=device, source=FINISHED_TRIALS, paces=paces)


def _teacher_beside(spec: TrialSpec) -> str:
    """The name of a teacher that is another model than the base; else empty."""
    teacher, base = spec.teacher, spec.base
    if isinstance(teacher, ExternalBase) and isinstance(base, CutBase):
        return teacher.name
    if not isinstance(teacher, ExternalBase) or not isinstance(base, ExternalBase):
        return ""
    return "" if teacher.name == base.name else teacher.name


def pace_name(loss: str, cached: bool, teacher: str = "") -> str:
    """The name by which a loss has a pace; another one where its teacher is cached.

    `teacher` names one that is another model than the base.
    """
    if cached:
        return f"{loss} cached"
    return f"{loss}{BY}{teacher}" if teacher else loss


def _pace(loss: str, blocks: int, trained: Sequence[Trained]) -> Pace:
    seconds = sum(t.cost.train_s * t.made_by.world_size for t in trained)
    return Pace(
        loss=loss,
        blocks=blocks,
        flops_per_s=sum(t.cost.flops_exact for t in trained) / seconds,
        tokens_per_s=sum(t.cost.tokens for t in trained) / seconds,
        evaluate_s=sum(t.cost.evaluate_s for t in trained) / len(trained),
        peak_bytes=max(t.cost.peak_bytes for t in trained),
    )


def median_rate(rates: Iterable[Rate]) -> Rate:
    """One rate for several devices that were probed side by side: medians, and the most bytes."""
    by_device = list(rates)
    paces = (
        replace(
            paces[0],
            flops_per_s=statistics.median(p.flops_per_s for p in paces),
            tokens_per_s=statistics.median(p.tokens_per_s for p in paces),
            evaluate_s=statistics.median(p.evaluate_s for p in paces),
            peak_bytes=max(p.peak_bytes for p in paces),
        )
        for paces in zip(*(rate.paces for rate in by_device), strict=True)
    )
    return replace(by_device[0], paces=tuple(paces))


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """A finished trial's utilisation and the estimate of its cost, as far as they are known."""

    utilisation_pct: float | Literal["unknown"] = "unknown"
    estimate: CostEstimate | Literal["none"] = "none"

    @property
    def metrics(self) -> dict[str, float]:
        """The known ones, by the names that a tracker shows."""
        metrics = {}
        if self.utilisation_pct != "unknown":
            metrics["utilisation_pct"] = self.utilisation_pct
        if self.estimate != "none":
            metrics["estimated_device_s"] = self.estimate.device_s
        return metrics


def figures_of(trial_id: str, outcome: Outcome, store: Store) -> Figures:
    """The figures of a trial; those of one that is not finished are unknown."""
    if not isinstance(outcome, Finished):
        return Figures()
    trained = outcome.result.trained
    peak = known_peak(trained.made_by.device, trained.spec.train.recipe.precision, store)
    return Figures(
        utilisation_pct=utilisation_pct(trained, peak) if isinstance(peak, Peak) else "unknown",
        estimate=store.load(CostEstimate, "trials", trial_id, ESTIMATE_FILE) or "none",
    )


def device_s(trained: Trained) -> float:
    """Seconds of training, evaluation and a teacher's pass, summed over a trial's devices."""
    cost = trained.cost
    return (cost.train_s + cost.evaluate_s + cost.teacher_s) * trained.made_by.world_size


def tokens_per_s(trained: Trained) -> float:
    """Training tokens a second, on all devices of a trial together."""
    return trained.cost.tokens / trained.cost.train_s if trained.cost.train_s > 0 else 0.0


def utilisation_pct(trained: Trained, peak: Peak) -> float:
    """Exact FLOPs of the training over what its devices could have done at their peak, in %.

    Attention counts the whole square of positions, also where a kernel skips half.
    """
    train_device_s = max(trained.cost.train_s, 1e-9) * trained.made_by.world_size
    return 100 * trained.cost.flops_exact / (train_device_s * peak.flops_per_s)


def known_peak(device: str, precision: str, store: Store) -> Peak | Unmeasured:
    """The peak of a kind of device, if the store has it."""
    return store.load(Peak, *peak_path(device, precision)) or Unmeasured()


def peak_path(device: str, precision: str) -> tuple[str, str]:
    """Where the store keeps the peak of a kind of device.

    >>> peak_path("NVIDIA H100 80GB", "bfloat16")
    ('devices', 'nvidia-h100-80gb-bfloat16.json')
    """
    return "devices", f"{re.sub('[^a-z0-9]+', '-', device.lower())}-{precision}.json"


def probe_path(model: ModelConfig, recipe: Recipe) -> tuple[str, str]:
    """Where the store keeps what a probe measured."""
    named = recipe.named_fields
    memory = [f"{name}={named[name]}" for name in LATER_FIELDS if name in named]
    shape = (recipe.batch_tokens, recipe.micro_batches, recipe.precision, *memory)
    own = own_parts([(MODEL_FAMILY, model.family)]).values()
    return "probes", f"{digest([repr(model), *shape, *own])}.json"
