"""What the trials of a sweep took, each beside what was expected of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from raydistill.core.units import format_bytes, format_money, format_seconds
from raydistill.planning.cell import Cell, cell_name
from raydistill.specs.results import CostEstimate, Finished, Outcome
from raydistill.training.throughput import Figures, device_s, tokens_per_s

NONE_MADE = "–"


@dataclass(frozen=True, kw_only=True, slots=True)
class Spent:
    """One finished trial: what it took, and what was expected before it began."""

    name: str  # of the first cell that means it
    trial_id: str
    device: str
    device_s: float  # training and evaluation, over all its devices
    tokens_per_s: float  # of training, on all its devices together
    peak_bytes: int  # on each; on a CPU the resident size of the process
    utilisation_pct: float | Literal["unknown"]  # of the measured matmul peak
    estimate: CostEstimate | Literal["none"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Spending:
    """What a sweep took, trials that cells share counted once."""

    trials: tuple[Spent, ...] = ()
    probing_s: float = 0.0  # device-seconds of the trials that chose the peak rates
    price_per_hour: float | Literal["unknown"] = "unknown"

    @property
    def headers(self) -> tuple[str, ...]:
        """Of the columns of `rows`."""
        return (
            "trial",
            "device time",
            "estimated",
            "tokens/s",
            "memory",
            "estimated memory",
            "utilisation, %",
        )

    @property
    def rows(self) -> tuple[tuple[str, ...], ...]:
        """One line for each trial."""
        return tuple(map(_row, self.trials))

    @property
    def words(self) -> tuple[str, ...]:
        """The sum, beside its estimate where there is one for every trial, and what is meant."""
        if not self.trials:
            return ()
        probing = [f"Choosing peak rates took {self.probing_s:,.0f} device-seconds besides."]
        return (
            _together(self.trials, self.price_per_hour),
            *(probing if self.probing_s else ()),
            *_meaning(self.trials),
        )


def _row(spent: Spent) -> tuple[str, ...]:
    expected, used = spent.estimate, spent.utilisation_pct
    return (
        spent.name,
        format_seconds(spent.device_s),
        NONE_MADE if expected == "none" else format_seconds(expected.device_s),
        f"{spent.tokens_per_s:,.0f}",
        format_bytes(spent.peak_bytes),
        NONE_MADE if expected == "none" else format_bytes(expected.peak_bytes),
        "?" if used == "unknown" else f"{used:.1f}",
    )


def _together(trials: Sequence[Spent], price_per_hour: float | Literal["unknown"]) -> str:
    device_s = sum(each.device_s for each in trials)
    money = ""
    if price_per_hour != "unknown":
        money = f", {format_money(device_s / 3600 * price_per_hour)} at {price_per_hour:g} an hour"
    said = (
        f"{len(trials)} trial(s) took {device_s:,.0f} device-seconds "
        f"({device_s / 3600:.3g} device-hours{money})"
    )
    expected = [(t.estimate, t.device_s) for t in trials if t.estimate != "none"]
    if not expected:
        return f"{said}; nothing was measured before them to estimate from."
    sources = " and ".join(sorted({estimate.source for estimate, _ in expected}))
    guessed = sum(estimate.device_s for estimate, _ in expected)
    truth = sum(took for _, took in expected)
    return (
        f"{said}. Estimated by {sources} for {len(expected)} of them: {guessed:,.0f}, "
        f"{100 * (guessed / truth - 1):+.0f} % off their {truth:,.0f}."
    )


def _meaning(trials: Sequence[Spent]) -> list[str]:
    said = [
        "Utilisation: FLOPs by the exact rule over the measured matmul peak of the device in the "
        "trial's precision."
    ]
    if any(each.device == "cpu" for each in trials):
        said.append(
            "Memory of a CPU trial is the resident size of its process, libraries included; a "
            "process that trained before keeps the most it ever held."
        )
    return said


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
