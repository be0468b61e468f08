"""Reports of running trials, as the progress view shows them."""

import time
from collections.abc import Mapping, Sequence

from raydistill.core.units import format_tokens
from raydistill.planning.cell import REFERENCE, cell_name, format_value
from raydistill.reports.console.live import ProgressView, RunningTrial
from raydistill.runners.cluster.work import FINISHED, AxisValue, Candidate, Metrics
from raydistill.training.jobs import StopAt, TrialJob


def tokens_of(candidate: Candidate) -> int:
    """How far a candidate trains: to the end, or to where it stops."""
    job = candidate.job
    assert isinstance(job, TrialJob), candidate
    return job.until.tokens if isinstance(job.until, StopAt) else job.spec.train.recipe.total_tokens


class ProgressReporter:
    """Passes the reports of trials to a progress view."""

    def __init__(self, candidates: Sequence[Candidate], view: ProgressView) -> None:
        self._candidates = {candidate.key: candidate for candidate in candidates}
        self._view = view
        names = candidates[0].axes if candidates else ()
        pruned = [c.axes for c in candidates if c.axes["count"]]  # a control differs in all axes
        self._varying = [name for name in names if len({axes[name] for axes in pruned}) > 1]
        self._first_reports: dict[str, tuple[float, int]] = {}  # seconds, tokens

    def update(self, key: str, metrics: Metrics) -> None:
        """Show a trial's report; the last one has what the trial lost."""
        candidate, tokens = self._candidates[key], int(metrics.get("tokens", 0))
        name, age = self._name(candidate.axes), format_value("age", candidate.axes["age"])
        now_s = time.monotonic()
        began_s, began_tokens = self._first_reports.setdefault(key, (now_s, tokens))
        elapsed_s = max(now_s - began_s, 1e-9)
        self._view.update(
            key,
            RunningTrial(
                location=name,
                age=age,
                tokens=tokens,
                total_tokens=tokens_of(candidate),
                tokens_per_s=(tokens - began_tokens) / elapsed_s,
                heldout_nll=float(metrics["heldout_nll"]) if "heldout_nll" in metrics else None,
            ),
        )
        if FINISHED in metrics:
            losses = [
                f"{kind} {float(metrics[drop]):+.1f} %"
                for kind in ("perplexity", "downstream")
                if (drop := f"{kind}_drop_pct") in metrics  # a probe answers no tasks
            ]
            stopped = f"stopped at {format_tokens(tokens)} tokens"
            result = f"{', '.join(losses)} lost" if losses else stopped
            self._view.finished(key, f"{name}, age {age}: {result}")

    def _name(self, axes: Mapping[str, AxisValue]) -> str:
        """The arm or location of a cell, and what else varies: `input, gap 1B`."""
        hidden = ("age", "count") if "arm" in axes else ("age",)
        names = ("arm", REFERENCE, *(name for name in self._varying if name not in hidden))
        return cell_name(str(axes["location"]), {n: axes[n] for n in names if n in axes})
