"""Cost of a cached teacher once its pass is shared, beside one that answers online."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

from raydistill.reports.results.cells import Measured, ReportCell
from raydistill.specs.results import Trained
from raydistill.specs.trial import CachedTeacher, NoTeacher

SHARED_BY = (1, 3, 10)  # trials

_ONLINE = ""  # stands for an excerpt where the teacher answers online


@dataclass(frozen=True, kw_only=True, slots=True)
class TeacherPrice:
    """Device-seconds: a trial with the teacher online, one that reads it, and the pass itself."""

    online_s: float
    cached_s: float
    pass_s: float

    def per_trial(self, trials: int) -> float:
        """Device-seconds of one trial when `trials` share the pass."""
        return self.cached_s + self.pass_s / trials

    @property
    def saved_s(self) -> float:
        """Device-seconds saved per trial without the pass; negative if reading takes longer."""
        return self.online_s - self.cached_s


def teacher_prices(cells: Sequence[ReportCell]) -> tuple[str, ...]:
    """A sentence for every loss that was trained alike with a cached and an online teacher.

    Alike: on as many tokens, without as many layers, on as many devices of one kind. Where no trial
    wrote the answers that others read, the price of the pass is not known: no sentence.
    """
    groups: dict[_Work, dict[str, list[Trained]]] = {}  # and by excerpt
    for trained in (c.outcome.result.trained for c in cells if isinstance(c.outcome, Measured)):
        teacher = trained.spec.teacher
        if not isinstance(teacher, NoTeacher):
            excerpt = teacher.excerpt if isinstance(teacher, CachedTeacher) else _ONLINE
            by_excerpt = groups.setdefault(_work(trained), {})
            by_excerpt.setdefault(excerpt, []).append(trained)
    return tuple(
        _sentence(work.loss, excerpt, price)
        for work, by_excerpt in groups.items()
        for excerpt, cached in by_excerpt.items()
        if excerpt != _ONLINE and _ONLINE in by_excerpt
        if (price := _price(by_excerpt[_ONLINE], cached)).pass_s > 0
    )


class _Work(NamedTuple):
    loss: str
    tokens: int
    kept: int  # layers
    device: str
    world_size: int


def _work(trained: Trained) -> _Work:
    loss, made_by = trained.spec.train.loss, trained.made_by
    of_device = (made_by.device, made_by.world_size)
    return _Work(loss, trained.cost.tokens, len(trained.kept), *of_device)


def _price(online: Sequence[Trained], cached: Sequence[Trained]) -> TeacherPrice:
    passes = [t.cost.teacher_s * t.made_by.world_size for t in cached]
    return TeacherPrice(
        online_s=fmean(t.cost.train_s * t.made_by.world_size for t in online),
        cached_s=fmean(t.cost.train_s * t.made_by.world_size for t in cached),
        pass_s=max(passes),  # later trials only opened the stored answers
    )


def _sentence(loss: str, excerpt: str, price: TeacherPrice) -> str:
    shares = ", ".join(f"{price.per_trial(n) / 3600:.3g} for {n}" for n in SHARED_BY)
    saved = price.saved_s
    even = (
        f"as timed, it is even at {price.pass_s / saved:.1f} trials"
        if saved > 0
        else "as timed, reading takes no less than asking, so it is never even"
    )
    return (
        f"{loss}: a trial takes {price.online_s / 3600:.3g} device-hours with the teacher online; "
        f"with {excerpt} of its answers cached, the pass of {price.pass_s / 3600:.3g} shared by "
        f"1, 3 or 10 trials, {shares}: {even}."
    )
