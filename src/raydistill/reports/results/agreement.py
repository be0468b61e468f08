"""Where arms, gaps, counts and sizes agree with the paper, and where they contradict it.

A sentence agrees or contradicts only by rows that are told apart (`comparison.excesses`).
"""

import itertools
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from raydistill.reports.results import paper_numbers as paper
from raydistill.reports.results.blocks import RowCells, age_text
from raydistill.reports.results.caveats import joined
from raydistill.reports.results.cells import ReportBase, ReportCell
from raydistill.reports.results.comparison import Excess, Losses, excesses

FREE, KD, KD_EQUAL = "teacher-free", "kd", "kd-equal-flops"
TEST = "paired bootstrap, Holm, 5 %"


def verdict(*, agree: int, contradict: int, untold: int) -> str:
    """How a sentence about the paper begins, by how many comparisons speak for it and against it.

    >>> verdict(agree=2, contradict=0, untold=1), verdict(agree=0, contradict=0, untold=3)
    ('Partly as in', 'Neither for nor against')
    """
    if agree and contradict:
        return "Partly as in, partly unlike"
    if not agree and not contradict:
        return "Neither for nor against"
    return f"{'Partly ' if untold else ''}{'as in' if agree else 'unlike'}".capitalize()


def teacher_or_not(rows: Sequence[RowCells]) -> tuple[str, ...]:
    """Table 3: teacher-free ends at a lower perplexity than KD at equal tokens."""
    several = len({row.first.arm for row in rows}) < len(rows)
    hidden = _OF_ARM if several else (*_OF_ARM, "location", "count")  # an arm may have its own
    pairs: dict[Hashable, dict[str, RowCells]] = {}
    for row in rows:
        pairs.setdefault(_without(hidden, row.first), {})[row.first.arm] = row
    groups = [arms for arms in pairs.values() if FREE in arms]
    return tuple(
        sentence if len(groups) == 1 else f"{arms[FREE].name}: {sentence}"
        for arms in groups
        for sentence in _teacher_or_not(arms)
    )


_OF_ARM = ("arm", "loss", "layers", "excerpt", "teacher", "budget", "recipe")


def _teacher_or_not(arms: Mapping[str, RowCells]) -> Iterator[str]:
    checkpoint = age_text(arms[FREE].first)
    if KD in arms and (excess := _excess(arms[KD], arms[FREE])):
        lines = [line for line in paper.TABLE_3 if line.model.endswith(f"-{checkpoint}")]
        printed = {line.method: line.perplexity for line in lines}
        source = (
            f"Table 3, {lines[0].model}: perplexity {printed[FREE]:.4g} teacher-free, "
            f"{printed[KD]:.4g} with KD"
            if lines
            else "Table 3: teacher-free ends at the lower perplexity"
        )
        begin = verdict(agree=excess.sign > 0, contradict=excess.sign < 0, untold=not excess.sign)
        yield f"{begin} the paper ({source}), {_order(excess, 'at equal tokens')}."
    if KD_EQUAL in arms and (excess := _excess(arms[KD_EQUAL], arms[FREE])):
        yield f"Here {_order(excess, 'at equal FLOPs')}."


def _excess(row: RowCells, reference: RowCells) -> Excess | None:
    """By how many nats per token `row` ends above `reference`."""
    return excesses({"": (Losses(runs=reference.runs), Losses(runs=row.runs))}).get("")


def _order(excess: Excess, when: str) -> str:
    """Which arm ends lower, by the `excess` of KD over teacher-free."""
    size = f"(KD minus teacher-free {excess} nats)"
    if not excess.sign:
        return f"the two are not told apart {when} {size}"
    first, second = ("teacher-free", "KD") if excess.sign > 0 else ("KD", "teacher-free")
    return f"{first} ends below {second} {when} {size}"


def wait_or_not(rows: Sequence[RowCells]) -> tuple[str, ...]:
    """Figure 1: waiting between two removals does not help."""
    candidates = [row for row in rows if row.role == "candidate" and not row.first.arm]
    at_once = [row for row in candidates if row.first.gap_tokens == 0]
    waiting = [row for row in candidates if row.first.gap_tokens > 0]
    if len(at_once) != 1:
        return ()
    start = Losses(runs=at_once[0].runs)
    by_name = excesses({row.name: (start, Losses(runs=row.runs)) for row in waiting})
    if not by_name:
        return ()
    groups = [
        (words, [f"{name} {excess}" for name, excess in by_name.items() if excess.sign == sign])
        for sign, words in ((1, "above it"), (-1, "below it"), (0, "not told apart from it"))
    ]
    above, below, untold = (len(names) for _, names in groups)
    parts = [f"{words} {joined(names)}" for words, names in groups if names]
    return (
        f"{verdict(agree=above, contradict=below, untold=untold)} the paper (Figure 1: waiting "
        f"does not help). Nats per token against dropping all at once ({TEST}): "
        f"{'; '.join(parts)}.",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Removal:
    """A row that lost layers: `delta_nll` is what the table prints, in nats per token."""

    name: str
    cell: ReportCell
    losses: Losses
    delta_nll: float


def removal(name: str, row: RowCells, base: ReportBase, delta_nll: float) -> Removal:
    """A row against its base."""
    losses = Losses(runs=row.runs, base=base.documents)
    return Removal(name=name, cell=row.first, losses=losses, delta_nll=delta_nll)


_Axis = Callable[[ReportCell], float]


def how_many(removals: Sequence[Removal]) -> tuple[str, ...]:
    """Figure 3: more layers and older bases cost more, larger models less (in perplexity)."""
    if len({_count(removal.cell) for removal in removals}) < 2:
        return ()
    claims: tuple[tuple[str, _Axis, tuple[str, ...]], ...] = (
        ("more layers cost more", _count, ("count",)),
        ("the older base loses more", _age, ("age",)),
        ("the larger model loses less", lambda cell: -cell.num_params, ("scale", "size")),
    )
    sentences = (_trend(removals, claim, by, axes) for claim, by, axes in claims)
    return tuple(filter(None, sentences))


def _trend(removals: Sequence[Removal], claim: str, by: _Axis, axes: Iterable[str]) -> str:
    """Of neighbours in the order of `by`, alike in all else, how many lose more than the last."""
    groups: dict[Hashable, list[Removal]] = {}
    for removal in removals:
        groups.setdefault(_without(axes, removal.cell), []).append(removal)
    pairs = {
        f"{left.name} and {right.name}": (left, right)
        for group in groups.values()
        for left, right in itertools.pairwise(sorted(group, key=lambda r: by(r.cell)))
        if by(left.cell) < by(right.cell)
    }
    if not pairs:
        return ""
    by_name = excesses({name: (one.losses, other.losses) for name, (one, other) in pairs.items()})
    signs = {name: _sign(by_name.get(name), *pair) for name, pair in pairs.items()}
    agree, against, untold = ([n for n in signs if signs[n] == s] for s in (1, -1, 0))
    parts = [
        *([f"{len(agree)} of {len(pairs)} agree"] if agree else []),
        *(
            [f"{len(against)} of {len(pairs)} contradict it ({'; '.join(against)})"]
            if against
            else []
        ),
        *([f"{len(untold)} of {len(pairs)} are not told apart"] if untold else []),
    ]
    begin = verdict(agree=len(agree), contradict=len(against), untold=len(untold))
    return (
        f"{begin} the paper (Figure 3: {claim}). Neighbouring pairs by delta_nll ({TEST}): "
        f"{', '.join(parts)}."
    )


def _sign(excess: Excess | None, left: Removal, right: Removal) -> int:
    """As the pair is told apart, if the losses of the table have that order too."""
    if excess is None:
        return 0
    printed = round(right.delta_nll, 3) - round(left.delta_nll, 3)
    return excess.sign if printed * excess.sign > 0 else 0


def _without(axes: Iterable[str], cell: ReportCell) -> Hashable:
    """What two cells have in common that differ in some axes alone."""
    recipe = cell.train.recipe
    settings = {
        "scale": cell.scale,
        "age": cell.age,
        "count": _count(cell),
        "location": cell.location,
        "loss": cell.train.loss,
        "text": (cell.train.corpus_sha256, cell.train.tokenizer_sha256),
        **cell.values,
        "gap_tokens": cell.gap_tokens,
        "recipe": replace(recipe, peak_lr=0.0) if cell.probed else recipe,
    }
    hidden = {"seed", *axes}
    if "scale" in hidden:
        hidden |= {"recipe", "budget", "gap_tokens"}
    return frozenset((name, value) for name, value in settings.items() if name not in hidden)


def _count(cell: ReportCell) -> int:
    return cell.count


def _age(cell: ReportCell) -> float:
    return float(cell.age) if isinstance(cell.age, int) else 0.0
