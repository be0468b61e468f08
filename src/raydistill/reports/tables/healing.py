"""The sentence on healing curves: whether rows that end behind the best were ahead of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from raydistill.core.units import format_tokens
from raydistill.evaluation.bootstrap import Estimate
from raydistill.reports.results.agreement import TEST
from raydistill.reports.results.blocks import RowCells
from raydistill.reports.results.cells import CANDIDATES, ReportCell
from raydistill.reports.results.comparison import Comparison


@dataclass(frozen=True, kw_only=True, slots=True)
class _Healed:
    """A row: its nats per token by tokens, those lost in the table, if told apart from the best."""

    curve: Mapping[int, float]
    delta_nll: float
    told: bool


def healing(rows: Sequence[RowCells], comparisons: Sequence[Comparison]) -> tuple[str, ...]:
    """Whether an order during healing is that at its end, as far as it may be told.

    Of the candidates, those that the table tells apart from the best. The points of a curve carry
    no interval; how far curves and table differ at the end shows how far they may be wrong.
    """
    healed = [
        (row, comparison)
        for row, comparison in zip(rows, comparisons, strict=True)
        if row.role in CANDIDATES and row.curve
    ]
    if len(healed) < 2 or len({tuple(row.runs) for row, _ in healed}) > 1:
        return ()
    by_name = {
        row.name: _Healed(curve=row.curve, delta_nll=lost.value, told=not comparison.best_nll)
        for row, comparison in healed
        if isinstance(lost := comparison.against_base.delta_nll, Estimate)
    }
    points = sorted(set.intersection(*(set(row.curve) for row, _ in healed)))
    ties = [name for name in by_name if not by_name[name].told]
    if len(points) < 3 or not ties:  # the first is before any healing
        return ()
    best = min(ties, key=lambda name: by_name[name].delta_nll)
    others = {
        name: row
        for name, row in by_name.items()
        if row.told and round(row.delta_nll - by_name[best].delta_nll, 3) > 0
    }
    if not others:
        return (
            f"No cell is told apart from the best ({TEST}): curves that cross in the figure of "
            "healing show no order.",
        )
    return (_sentence(best, by_name[best], others, points[1:]) + windows([healed[0][0].first]),)


def windows(cells: Iterable[ReportCell]) -> str:
    """On how many windows curves and tables are measured, as a sentence; empty if not known."""
    numbers = {(cell.curve_windows, cell.heldout_windows) for cell in cells if cell.curve_windows}
    if len(numbers) != 1:
        return ""
    ((curve, heldout),) = numbers
    return (
        f" Points of curves are measured on {curve} windows of the held-out text at most, the "
        f"table on {heldout}; both are spread over all its documents."
    )


def _sentence(
    best: str, first: _Healed, others: Mapping[str, _Healed], points: Sequence[int]
) -> str:
    *earlier, end = points

    def ahead(row: _Healed, tokens: int) -> float:
        return first.curve[tokens] - row.curve[tokens]

    behind = {name: row.delta_nll - first.delta_nll for name, row in others.items()}
    wrong = round(max(abs(ahead(row, end) + behind[name]) for name, row in others.items()), 3)
    last = {
        name: max((n for n in earlier if round(ahead(row, n), 3) > wrong), default=0)
        for name, row in others.items()
    }
    crossed = [name for name in others if last[name]]
    begin = (
        f"Told apart from the best, {best} ({TEST}): {len(others)} of the cells. Of these "
        f"{len(crossed) or 'none'} had the lower curve at {format_tokens(points[0])} tokens of "
        f"healing or later, by more than curves and table differ at the end ({wrong:.3f} nats)"
    )
    if not crossed:
        return f"{begin}."
    name = max(crossed, key=behind.__getitem__)
    return (
        f"{begin}: {name} by {ahead(others[name], last[name]):.3f} as late as "
        f"{format_tokens(last[name])} tokens; it ends {behind[name]:.3f} behind. A short healing "
        "does not give the order of a long one."
    )
