"""Reports of running trials, as the progress view shows them."""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from raydistill.core.progress import StageProgress
from raydistill.core.units import format_tokens
from raydistill.evaluation.scoring import MEASURING
from raydistill.planning.cell import REFERENCE, cell_name, format_value
from raydistill.reports.console.live import ProgressView, RunningTrial
from raydistill.runners.cluster.work import FINISHED, AxisValue, Candidate, Metrics
from raydistill.specs.evaluation import LOSSES, PERPLEXITY, metric_of, words_of
from raydistill.training.jobs import StopAt, TrialJob


def tokens_of(candidate: Candidate) -> int:
    """How far a candidate trains: to the end, or to where it stops."""
    job = candidate.job
    assert isinstance(job, TrialJob), candidate
    return job.until.tokens if isinstance(job.until, StopAt) else job.spec.train.recipe.total_tokens


class ProgressReporter:
    """Passes the reports of trials to a progress view; may be called from several threads."""

    def __init__(self, candidates: Sequence[Candidate], view: ProgressView) -> None:
        self._candidates = {candidate.key: candidate for candidate in candidates}
        self._view, self._lock = view, threading.Lock()
        names = dict.fromkeys(name for candidate in candidates for name in candidate.axes)
        pruned = [c.axes for c in candidates if c.axes["count"]]  # a control differs in all axes
        shown = pruned or [candidate.axes for candidate in candidates]
        self._varying = [name for name in names if len({axes.get(name) for axes in shown}) > 1]
        self._first_reports: dict[str, tuple[float, int]] = {}  # seconds, tokens
        self._running: dict[str, RunningTrial] = {}
        self._stages: dict[str, StageProgress] = {}
        self._ended: set[str] = set()

    def update(self, key: str, metrics: Metrics) -> None:
        """Show a trial's report; the last one has what the trial lost."""
        tokens, now_s = int(metrics.get("tokens", 0)), time.monotonic()
        with self._lock:
            began_s, began_tokens = self._first_reports.setdefault(key, (now_s, tokens))
            trial = replace(
                self._trial(key),
                tokens=tokens,
                tokens_per_s=(tokens - began_tokens) / max(now_s - began_s, 1e-9),
                heldout_nll=float(metrics["heldout_nll"]) if "heldout_nll" in metrics else None,
                stage="",
            )
            self._show(key, trial)
            if FINISHED in metrics:
                self._ended.add(key)
                result = "measured as it is" if self._is_base(key) else _result(metrics)
                self._view.finished(key, f"{trial.location}, age {trial.age}: {result}")

    def update_stages(self, reports: Mapping[str, StageProgress]) -> None:
        """Show what trials do besides training: measure, read a teacher's answers."""
        with self._lock:
            for key in reports.keys() & self._candidates.keys() - self._ended:
                progress = reports[key]
                if progress == self._stages.get(key):
                    continue  # it has gone on since
                self._stages[key] = progress
                share = progress.done / progress.total if progress.total else 1.0
                trial = replace(
                    self._trial(key),
                    stage=f"{progress.stage} {progress.part}".rstrip(),
                    share=share,
                )
                if progress.stage == MEASURING:
                    trial = replace(trial, measured=share, tokens=trial.total_tokens)
                self._show(key, trial)

    def _trial(self, key: str) -> RunningTrial:
        """The trial as it was shown last."""
        axes = self._candidates[key].axes
        return self._running.get(key) or RunningTrial(
            location=self._name(axes),
            age=format_value("age", axes["age"]),
            tokens=0,
            total_tokens=tokens_of(self._candidates[key]),
            tokens_per_s=0.0,
            heldout_nll=None,
        )

    def _is_base(self, key: str) -> bool:
        """Whether nothing leaves and nothing is trained, so that nothing can be lost."""
        job = self._candidates[key].job
        return isinstance(job, TrialJob) and not (
            job.spec.plan.drops or job.spec.train.recipe.total_tokens
        )

    def _show(self, key: str, trial: RunningTrial) -> None:
        self._running[key] = trial
        self._view.update(key, trial)

    def _name(self, axes: Mapping[str, AxisValue]) -> str:
        """The arm or location of a cell, and what else varies: `input, gap 1B`."""
        hidden = ("age", "count") if "arm" in axes else ("age",)
        names = ("arm", REFERENCE, *(name for name in self._varying if name not in hidden))
        return cell_name(str(axes["location"]), {n: axes[n] for n in names if n in axes})


def _result(metrics: Metrics) -> str:
    """What a trial lost, or where it stopped."""
    kinds = {metric_of(PERPLEXITY, loss): words_of(PERPLEXITY, loss) for loss in LOSSES}
    losses = [
        f"{words} {float(metrics[drop]):+.1f} %"
        for kind, words in {**kinds, "downstream": "downstream"}.items()
        if (drop := f"{kind}_drop_pct") in metrics  # a probe answers no tasks
    ]
    stopped = f"stopped at {format_tokens(int(metrics.get('tokens', 0)))} tokens"
    return f"{', '.join(losses)} lost" if losses else stopped
