"""What is left to do of a plan, and its expected cost, in sentences."""

import math
from collections.abc import Iterator, Sequence
from typing import Literal

from raydistill.core.units import (
    format_bytes,
    format_flops,
    format_money,
    format_seconds,
    format_tokens,
)
from raydistill.planning.preview.costs import Rates, Work
from raydistill.training.throughput import Rate, Unmeasured

MOST_NAMED = 3  # scales of which nothing is known


def forecast(
    bases: Sequence[Work],
    trials: Sequence[Work],
    rates: Rates | None = None,
    price_per_hour: float | Literal["unknown"] = "unknown",
    possible: Sequence[Work] = (),
) -> Iterator[str]:
    """The sentences below a plan: its work, time and their source, disk, and price.

    Without `rates`, its work and disk alone. Of a search `trials` are the costliest that it may
    run; disk is the most that any of `possible` trials take.
    """
    todo = [training for training in trials if not training.done]
    missing = [training for training in bases if not training.done]
    yield f"To do: {_sum(todo, rates)}."
    if missing:
        runs = "one pretraining" if len(missing) == 1 else f"{len(missing)} pretrainings"
        yield f"Before them {runs}: {_sum(missing, rates)}."
    work = [*missing, *todo]
    largest = [*missing, *(trial for trial in possible or trials if not trial.done)]
    if not work:
        return
    if rates is not None:
        names = dict.fromkeys(training.scale for training in work)
        unknown = [name for name in names if rates[name] == Unmeasured()]
        for scale in names:
            if scale not in unknown:
                yield _grounds(scale if len(rates) > 1 else "", rates[scale])
        if unknown:
            yield _unmeasured(unknown if len(rates) > 1 else [])
    yield _disk(largest, len(work))
    if rates is not None and price_per_hour != "unknown":
        money = _device_s(work, rates) / 3600 * price_per_hour
        yield f"Money: {format_money(money)}, at {price_per_hour:g} for an hour of one device."


def _sum(work: Sequence[Work], rates: Rates | None) -> str:
    tokens = format_tokens(sum(training.tokens for training in work))
    exact, paper = sum(w.flops_exact for w in work), sum(w.flops_paper for w in work)
    amounts = (
        f"{tokens} tokens, {format_flops(exact)} FLOPs exactly, {format_flops(paper)} by the "
        "paper's rule"
    )
    if rates is None:
        return amounts
    device_s = _device_s(work, rates)
    hours = "" if math.isinf(device_s) else f" ({device_s / 3600:.3g} device-hours)"
    return f"{amounts}, device time {format_seconds(device_s)}{hours}"


def _device_s(work: Sequence[Work], rates: Rates) -> float:
    return sum(training.device_s(rates) for training in work)


def _grounds(scale: str, rate: Rate | Unmeasured) -> str:
    """Where the seconds come from."""
    of_scale = f" of {scale}" if scale else ""
    if isinstance(rate, Rate):
        speeds = sorted(pace.tokens_per_s for pace in rate.paces)
        ends = " to ".join(dict.fromkeys(f"{speed:,.0f}" for speed in (speeds[0], speeds[-1])))
        return f"Times{of_scale} from {rate.grounds}: {ends} tokens/s on each {rate.device}."
    return f"A probe{of_scale} cannot tell how long that takes (?): {rate.reason}."


def _unmeasured(scales: Sequence[str]) -> str:
    """That nothing tells the seconds of these scales; of the one there is, without names."""
    named = ", ".join(scales[:MOST_NAMED])
    more = f" and {len(scales) - MOST_NAMED} more" if len(scales) > MOST_NAMED else ""
    return (
        f"No finished trial of {named or 'this model'}{more} tells how long that takes (?); "
        "--probe measures it."
    )


def _disk(work: Sequence[Work], number: int) -> str:
    kept = sorted((training.kept_bytes for training in work), reverse=True)
    weights = format_bytes(sum(kept[:number]))
    most = format_bytes(max(training.working_bytes for training in work))
    return f"Disk: {weights} of weights for good; each trial under way up to {most} of checkpoints."
