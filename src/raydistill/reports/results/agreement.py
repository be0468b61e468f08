"""Where arms, gaps, counts and sizes agree with the paper, and where they contradict it."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter

from raydistill.evaluation.bootstrap import Entry, Estimate, PairedBootstrap
from raydistill.evaluation.performance_drops import drops
from raydistill.reports.results import paper_numbers as paper
from raydistill.reports.results.blocks import RowCells, age_text
from raydistill.reports.results.comparison import over, shared_seeds
from raydistill.specs.trial import Age

FREE, KD, KD_EQUAL = "teacher-free", "kd", "kd-equal-flops"


def teacher_or_not(rows: Sequence[RowCells]) -> tuple[str, ...]:
    """Table 3: teacher-free ends at a lower perplexity than KD at equal tokens."""
    arms = {row.first.arm: row for row in rows}
    if FREE not in arms:
        return ()
    said = []
    checkpoint = age_text(arms[FREE].first)
    if KD in arms and isinstance(lost := _difference(arms[FREE], arms[KD]), Estimate):
        printed = [line for line in paper.TABLE_3 if line.model.endswith(f"-{checkpoint}")]
        theirs = {line.method: line.perplexity for line in printed}
        source = (
            f"Table 3, {printed[0].model}: perplexity {theirs[FREE]:.4g} teacher-free, "
            f"{theirs[KD]:.4g} with KD"
            if printed
            else "Table 3: teacher-free ends at the lower perplexity"
        )
        said.append(f"{_verdict(lost)} the paper ({source}), {_who(lost, 'at equal tokens')}.")
    if KD_EQUAL in arms and isinstance(lost := _difference(arms[FREE], arms[KD_EQUAL]), Estimate):
        who = _who(lost, "at equal FLOPs")
        said.append(f"Here {who}.")
    return tuple(said)


def _verdict(lost: Estimate) -> str:
    if lost.low > 0:
        return "As in"
    return "Unlike" if lost.high < 0 else "Neither for nor against"


def _who(lost: Estimate, when: str) -> str:
    """Who ends lower, where `lost` is what KD ends above teacher-free."""
    size = f"(KD minus teacher-free {lost.value:+.3f} nats [{lost.low:.3f} {lost.high:.3f}])"
    if lost.low <= 0 <= lost.high:
        return f"the two are not told apart {when} {size}"
    first, second = ("teacher-free", "KD") if lost.value > 0 else ("KD", "teacher-free")
    return f"{first} ends below {second} {when} {size}"


def wait_or_not(rows: Sequence[RowCells]) -> tuple[str, ...]:
    """Figure 1: waiting between two removals does not help."""
    cut = [row for row in rows if row.role == "candidate" and not row.first.arm]
    at_once = [row for row in cut if row.first.gap_tokens == 0]
    waiting = [row for row in cut if row.first.gap_tokens > 0]
    if len(at_once) != 1 or not waiting:
        return ()
    lost = [(row.name, _difference(at_once[0], row)) for row in waiting]
    told = {name: each for name, each in lost if isinstance(each, Estimate)}
    better = [name for name, each in told.items() if each.high < 0]
    if not told:
        return ()
    if better:
        return (f"Unlike the paper (Figure 1), waiting helps here: {', '.join(better)}.",)
    name, worst = max(told.items(), key=lambda item: item[1].value)
    return (
        f"As in the paper (Figure 1), no gap ends below dropping all at once; {name} ends "
        f"{worst.value:+.3f} nats [{worst.low:.3f} {worst.high:.3f}] from it.",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Removal:
    """What one row lost: `delta_nll` in nats per token against its base."""

    name: str
    scale: str
    num_params: int  # of the model before anything leaves
    age: Age
    count: int
    delta_nll: float


def how_many(removals: Sequence[Removal]) -> tuple[str, ...]:
    """Figure 3: more layers and older bases cost more, larger models less (in perplexity)."""
    if len({each.count for each in removals}) < 2:
        return ()
    said = (
        _trend(removals, "more layers cost more", attrgetter("count"), ("scale", "age")),
        _trend(removals, "the older base loses more", _age, ("scale", "count")),
        _trend(removals, "the larger model loses less", _smallness, ("age", "count")),
    )
    return tuple(sentence for sentence in said if sentence)


def _trend(
    removals: Sequence[Removal],
    claim: str,
    by: Callable[[Removal], float],
    within: tuple[str, ...],
) -> str:
    """How many neighbours by `by`, alike in `within`, lose more than the one before."""
    groups: dict[tuple[object, ...], list[Removal]] = {}
    for each in removals:
        groups.setdefault(tuple(getattr(each, name) for name in within), []).append(each)
    pairs = [
        (left, right)
        for group in groups.values()
        for left, right in itertools.pairwise(sorted(group, key=by))
        if by(left) < by(right)
    ]
    if not pairs:
        return ""
    against = [right.name for left, right in pairs if right.delta_nll <= left.delta_nll]
    agree = len(pairs) - len(against)
    verdict = "As in" if not against else "Mostly as in" if 2 * agree > len(pairs) else "Unlike"
    rest = f"; not at {', '.join(against)}" if against and agree else ""
    return (
        f"{verdict} the paper (Figure 3), {claim}: {agree} of {len(pairs)} neighbouring pairs by "
        f"delta_nll{rest}."
    )


def _age(removal: Removal) -> float:
    return float(removal.age) if isinstance(removal.age, int) else 0.0


def _smallness(removal: Removal) -> float:
    return -float(removal.num_params)


def _difference(left: RowCells, right: RowCells) -> Entry:
    """By how many nats `right` ends above `left`, on the seeds that both have."""
    seeds = shared_seeds([left, right])
    before, after = over(left, seeds), over(right, seeds)
    both = PairedBootstrap.over([*before.values(), *after.values()])
    return drops(before, after, chance={}, bootstrap=both).delta_nll
