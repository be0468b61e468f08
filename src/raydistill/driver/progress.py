"""Reports of running trials, as the progress view shows them."""

import time
from collections.abc import Mapping, Sequence

from raydistill.core.units import format_tokens
from raydistill.planning.cell import REFERENCE, cell_name, shown
from raydistill.reports.console.live import ProgressView, RunningTrial
from raydistill.runners.cluster.work import FINISHED, AxisValue, Candidate, Metrics
from raydistill.training.jobs import StopAt, TrialJob


def tokens_of(candidate: Candidate) -> int:
    """How far a candidate trains: to the end, or to where it stops."""
    assert isinstance(candidate.job, TrialJob), candidate
    until = candidate.job.until
    if isinstance(until, StopAt):
        return until.tokens
    return candidate.job.spec.train.recipe.total_tokens


class ProgressReporter:
    """Tells a view what it hears of each trial."""

    def __init__(self, candidates: Sequence[Candidate], view: ProgressView) -> None:
        self._candidates = {candidate.key: candidate for candidate in candidates}
        self._view = view
        names = candidates[0].axes if candidates else ()
        cut = [c.axes for c in candidates if c.axes["count"]]  # a control differs in all of them
        self._varying = [name for name in names if len({axes[name] for axes in cut}) > 1]
        self._first_heard: dict[str, tuple[float, int]] = {}  # seconds, tokens

    def heard(self, key: str, metrics: Metrics) -> None:
        """A trial reported; the last report carries what it lost."""
        candidate, tokens = self._candidates[key], int(metrics.get("tokens", 0))
        assert isinstance(candidate.job, TrialJob)
        name, age = self._name(candidate.axes), shown("age", candidate.axes["age"])
        now_s = time.monotonic()
        began_s, began_tokens = self._first_heard.setdefault(key, (now_s, tokens))
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
            lost = [
                f"{kind} {float(metrics[drop]):+.1f} %"
                for kind in ("perplexity", "downstream")
                if (drop := f"{kind}_drop_pct") in metrics  # a probe answers no tasks
            ]
            stopped = f"stopped at {format_tokens(tokens)} tokens"
            said = f"{', '.join(lost)} lost" if lost else stopped
            self._view.finished(key, f"{name}, age {age}: {said}")

    def _name(self, axes: Mapping[str, AxisValue]) -> str:
        """The arm or location of a cell, and what else varies: `input, gap 1B`."""
        hidden = ("age", *(("count",) if "arm" in axes else ()))
        told = ("arm", REFERENCE, *(name for name in self._varying if name not in hidden))
        return cell_name(str(axes["location"]), {n: axes[n] for n in told if n in axes})
