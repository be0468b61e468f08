"""Where arms, gaps, counts and sizes agree with the paper, and where they contradict it."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter

from raydistill.evaluation.bootstrap import Entry, Estimate
from raydistill.reports.results import paper_numbers as paper
from raydistill.reports.results.blocks import RowCells, age_text
from raydistill.reports.results.comparison import drops_between
from raydistill.specs.trial import Age

FREE, KD, KD_EQUAL = "teacher-free", "kd", "kd-equal-flops"


def teacher_or_not(rows: Sequence[RowCells]) -> tuple[str, ...]:
    """Table 3: teacher-free ends at a lower perplexity than KD at equal tokens."""
    arms = {row.first.arm: row for row in rows}
    if FREE not in arms:
        return ()
    sentences = []
    checkpoint = age_text(arms[FREE].first)
    if KD in arms and isinstance(excess := _excess_nll(arms[KD], arms[FREE]), Estimate):
        lines = [line for line in paper.TABLE_3 if line.model.endswith(f"-{checkpoint}")]
        printed = {line.method: line.perplexity for line in lines}
        source = (
            f"Table 3, {lines[0].model}: perplexity {printed[FREE]:.4g} teacher-free, "
            f"{printed[KD]:.4g} with KD"
            if lines
            else "Table 3: teacher-free ends at the lower perplexity"
        )
        verdict, order = _verdict(excess), _order(excess, "at equal tokens")
        sentences.append(f"{verdict} the paper ({source}), {order}.")
    if KD_EQUAL in arms and isinstance(excess := _excess_nll(arms[KD_EQUAL], arms[FREE]), Estimate):
        sentences.append(f"Here {_order(excess, 'at equal FLOPs')}.")
    return tuple(sentences)


def _verdict(excess: Estimate) -> str:
    if excess.low > 0:
        return "As in"
    return "Unlike" if excess.high < 0 else "Neither for nor against"


def _order(excess: Estimate, when: str) -> str:
    """Which arm ends lower, by the `excess` of KD over teacher-free."""
    size = f"(KD minus teacher-free {excess.value:+.3f} nats [{excess.low:.3f} {excess.high:.3f}])"
    if excess.low <= 0 <= excess.high:
        return f"the two are not told apart {when} {size}"
    first, second = ("teacher-free", "KD") if excess.value > 0 else ("KD", "teacher-free")
    return f"{first} ends below {second} {when} {size}"


def wait_or_not(rows: Sequence[RowCells]) -> tuple[str, ...]:
    """Figure 1: waiting between two removals does not help."""
    candidates = [row for row in rows if row.role == "candidate" and not row.first.arm]
    at_once = [row for row in candidates if row.first.gap_tokens == 0]
    waiting = [row for row in candidates if row.first.gap_tokens > 0]
    if len(at_once) != 1:
        return ()
    excess = {row.name: _excess_nll(row, at_once[0]) for row in waiting}
    estimates = {name: entry for name, entry in excess.items() if isinstance(entry, Estimate)}
    better = [name for name, estimate in estimates.items() if estimate.high < 0]
    if not estimates:
        return ()
    if better:
        return (f"Unlike the paper (Figure 1), waiting helps here: {', '.join(better)}.",)
    name, worst = max(estimates.items(), key=lambda item: item[1].value)
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
    if len({removal.count for removal in removals}) < 2:
        return ()
    sentences = (
        _trend(removals, "more layers cost more", attrgetter("count"), ("scale", "age")),
        _trend(removals, "the older base loses more", _age, ("scale", "count")),
        _trend(removals, "the larger model loses less", _smallness, ("age", "count")),
    )
    return tuple(filter(None, sentences))


def _trend(
    removals: Sequence[Removal],
    claim: str,
    by: Callable[[Removal], float],
    within: tuple[str, ...],
) -> str:
    """Of neighbours in the order of `by`, alike in `within`, how many lose more than the last."""
    groups: dict[tuple[object, ...], list[Removal]] = {}
    for removal in removals:
        groups.setdefault(tuple(getattr(removal, name) for name in within), []).append(removal)
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


def _excess_nll(row: RowCells, reference: RowCells) -> Entry:
    """By how many nats per token `row` ends above `reference`."""
    return drops_between(reference, row, chance={}).delta_nll
