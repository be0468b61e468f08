"""Time and memory of the trials of a sweep, each beside its estimate."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from raydistill.core.units import format_bytes, format_money, format_seconds
from raydistill.planning.cell import Cell, cell_name
from raydistill.specs.results import CostEstimate, Finished, Outcome
from raydistill.training.throughput import Figures, device_s, tokens_per_s

HEADERS = (
    *("trial", "device time", "estimated", "tokens/s"),
    *("memory", "estimated memory", "utilisation, %"),
)  # of `Spending.rows`
NO_ESTIMATE = "–"
UNLIKE = 0.15  # of the planned memory, by which a trial may be off
SMALL_BYTES = 200_000_000  # of heap and of libraries that are imported late


@dataclass(frozen=True, kw_only=True, slots=True)
class Spent:
    """Time and memory of one finished trial, and its estimate from before it began."""

    name: str  # of its first cell
    trial_id: str
    device: str
    device_s: float  # training and evaluation, over all its devices
    tokens_per_s: float  # of training, on all its devices together
    peak_bytes: int  # on each device; on a CPU the resident size of the process
    utilisation_pct: float | Literal["unknown"]  # of the measured matmul peak
    estimate: CostEstimate | Literal["none"]
    held_bytes: int = 0  # before the trial; of a GPU often none
    expected_bytes: int = 0  # beside those, by the plan's arithmetic; 0: not known

    @property
    def own_bytes(self) -> int:
        """What it took beside what was there before."""
        return self.peak_bytes - self.held_bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Spending:
    """Time and memory of a sweep; a trial that several cells share counts once."""

    trials: tuple[Spent, ...] = ()
    probing_s: float = 0.0  # device-seconds of the trials that chose the peak rates
    price_per_hour: float | Literal["unknown"] = "unknown"

    @property
    def rows(self) -> tuple[tuple[str, ...], ...]:
        """A row of text for each trial, below `HEADERS`."""
        return tuple(map(_row, self.trials))

    @property
    def words(self) -> tuple[str, ...]:
        """Sentences: the sum beside its estimate, and how to read the columns."""
        if not self.trials:
            return ()
        probing = f"Choosing peak rates took {self.probing_s:,.0f} device-seconds besides."
        return (
            _total(self.trials, self.price_per_hour),
            *([probing] if self.probing_s else ()),
            *_explanations(self.trials),
        )


def _row(spent: Spent) -> tuple[str, ...]:
    estimate, utilisation = spent.estimate, spent.utilisation_pct
    return (
        spent.name,
        format_seconds(spent.device_s),
        NO_ESTIMATE if estimate == "none" else format_seconds(estimate.device_s),
        f"{spent.tokens_per_s:,.0f}",
        format_bytes(spent.peak_bytes),
        NO_ESTIMATE if estimate == "none" else format_bytes(estimate.peak_bytes),
        "?" if utilisation == "unknown" else f"{utilisation:.1f}",
    )


def _total(trials: Sequence[Spent], price_per_hour: float | Literal["unknown"]) -> str:
    device_s = sum(trial.device_s for trial in trials)
    money = ""
    if price_per_hour != "unknown":
        money = f", {format_money(device_s / 3600 * price_per_hour)} at {price_per_hour:g} an hour"
    total = (
        f"{len(trials)} trial(s) took {device_s:,.0f} device-seconds "
        f"({device_s / 3600:.3g} device-hours{money})"
    )
    estimated = [(t.estimate, t.device_s) for t in trials if t.estimate != "none"]
    if not estimated:
        return f"{total}; nothing was measured before them to estimate from."
    sources = " and ".join(sorted({estimate.source for estimate, _ in estimated}))
    estimate_s = sum(estimate.device_s for estimate, _ in estimated)
    actual_s = sum(took_s for _, took_s in estimated)
    return (
        f"{total}. Estimated by {sources} for {len(estimated)} of them: {estimate_s:,.0f}, "
        f"{100 * (estimate_s / actual_s - 1):+.0f} % off their {actual_s:,.0f}."
    )


def _explanations(trials: Sequence[Spent]) -> list[str]:
    sentences = [
        "Utilisation: FLOPs by the exact rule over the measured matmul peak of the device in the "
        "trial's precision."
    ]
    if any(trial.device == "cpu" for trial in trials):
        sentences.append(
            "Memory of a CPU trial is the resident size of its process, libraries included."
        )
    unlike = [t for t in trials if t.expected_bytes and _is_unlike(t)]
    if unlike:
        worst = max(unlike, key=lambda t: abs(t.own_bytes - t.expected_bytes))
        sentences.append(
            f"The plan's arithmetic of memory was over {100 * UNLIKE:.0f} % off for {len(unlike)} "
            f"trial(s): {worst.name} took {format_bytes(worst.own_bytes)} beside what its process "
            f"held before, not {format_bytes(worst.expected_bytes)}."
        )
    return sentences


def _is_unlike(spent: Spent) -> bool:
    """Whether a trial took other memory than planned, beyond what a small one's process varies."""
    apart = abs(spent.own_bytes - spent.expected_bytes)
    return apart > max(UNLIKE * spent.expected_bytes, SMALL_BYTES)


def spending_of(
    cells: Iterable[tuple[Cell, Outcome, Figures]],
    *,
    probing_s: float,
    price_per_hour: float | Literal["unknown"],
) -> Spending:
    """Every finished trial once, under the name of its first cell."""
    trials: dict[str, Spent] = {}
    for cell, outcome, figures in cells:
        if isinstance(outcome, Finished) and outcome.result.trained.made_by.is_known:
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
                held_bytes=trained.cost.held_bytes,
                expected_bytes=trained.cost.expected_bytes,
            )
            trials.setdefault(trained.trial_id, spent)
    return Spending(
        trials=tuple(trials.values()), probing_s=probing_s, price_per_hour=price_per_hour
    )
