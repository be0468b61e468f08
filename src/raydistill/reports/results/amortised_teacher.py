"""What a cached teacher costs once its pass is shared, beside one that is asked each time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from raydistill.reports.results.cells import Measured, ReportCell
from raydistill.specs.results import Trained
from raydistill.specs.trial import CachedTeacher, NoTeacher

SHARED_BY = (1, 3, 10)


@dataclass(frozen=True, kw_only=True, slots=True)
class TeacherPrice:
    """Device-seconds: a trial with the teacher online, one that reads it, and the pass itself."""

    online_s: float
    cached_s: float
    pass_s: float

    def each(self, trials: int) -> float:
        """Of one trial, when so many share the pass."""
        return self.cached_s + self.pass_s / trials

    @property
    def saved_s(self) -> float:
        """Per trial, the pass left out; negative if reading takes longer than asking."""
        return self.online_s - self.cached_s


def teacher_prices(cells: Sequence[ReportCell]) -> tuple[str, ...]:
    """The price of each, for every loss that was trained with a cached and an online teacher."""
    trained = [cell.outcome.result.trained for cell in cells if isinstance(cell.outcome, Measured)]
    taught = [t for t in trained if not isinstance(t.spec.teacher, NoTeacher)]
    said = []
    for loss in dict.fromkeys(t.spec.train.loss for t in taught):
        online = [t for t in taught if t.spec.train.loss == loss and not _is_cached(t)]
        for excerpt, cached in _by_excerpt(t for t in taught if t.spec.train.loss == loss).items():
            like = [t for t in online if t.cost.tokens == cached[0].cost.tokens]
            if like:
                said.append(_words(loss, excerpt, _price(like, cached)))
    return tuple(said)


def _price(online: Sequence[Trained], cached: Sequence[Trained]) -> TeacherPrice:
    passes = [t.cost.teacher_s * t.made_by.world_size for t in cached]
    return TeacherPrice(
        online_s=fmean(t.cost.train_s * t.made_by.world_size for t in online),
        cached_s=fmean(t.cost.train_s * t.made_by.world_size for t in cached),
        pass_s=max(passes),  # who found the answers there only opened them
    )


def _words(loss: str, excerpt: str, price: TeacherPrice) -> str:
    shares = ", ".join(f"{price.each(n) / 3600:.3g} for {n}" for n in SHARED_BY)
    saved = price.saved_s
    even = (
        f"it is even at {price.pass_s / saved:.1f} trials"
        if saved > 0
        else "reading takes longer than asking, so it is never even"
    )
    return (
        f"{loss}: a trial takes {price.online_s / 3600:.3g} device-hours with the teacher online; "
        f"with {excerpt} of its answers cached, the pass of {price.pass_s / 3600:.3g} shared by "
        f"1, 3 or 10 trials, {shares}: {even}."
    )


def _is_cached(trained: Trained) -> bool:
    return isinstance(trained.spec.teacher, CachedTeacher)


def _by_excerpt(trained: Iterable[Trained]) -> dict[str, list[Trained]]:
    found: dict[str, list[Trained]] = {}
    for each in trained:
        if isinstance(each.spec.teacher, CachedTeacher):
            found.setdefault(each.spec.teacher.excerpt, []).append(each)
    return found
