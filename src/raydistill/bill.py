"""What the finished trials of a sweep took, as its report tells it."""

from collections.abc import Iterable
from typing import Literal

from raydistill.outcomes import Finished, Outcome
from raydistill.rates import Figures, device_s, tokens_per_s
from raydistill.report.spending import Spending, Spent
from raydistill.sweep import Cell, cell_name


def bill(
    cells: Iterable[tuple[Cell, Outcome, Figures]],
    *,
    probing_s: float,
    price_per_hour: float | Literal["unknown"],
) -> Spending:
    """Every finished trial once, under the first cell that means it."""
    trials: dict[str, Spent] = {}
    for cell, outcome, figures in cells:
        if isinstance(outcome, Finished):
            trained = outcome.result.trained
            spent = Spent(
                name=cell_name(cell.request.location, cell.values),
                trial_id=trained.trial_id,
                device=trained.made_by.device,
                device_s=device_s(trained),
                tokens_per_s=tokens_per_s(trained),
                peak_bytes=trained.cost.peak_bytes,
                utilisation_pct=figures.utilisation_pct,
                estimate=figures.estimate,
            )
            trials.setdefault(trained.trial_id, spent)
    return Spending(
        trials=tuple(trials.values()), probing_s=probing_s, price_per_hour=price_per_hour
    )
