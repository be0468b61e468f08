"""The text of `raydistill rungs`: how early the order of layer sets settles."""

from collections.abc import Iterator, Sequence

from raydistill.core.units import format_tokens
from raydistill.planning.search.halving import DEFAULT_SHARES, FINALISTS, halving_schedule, percents
from raydistill.planning.search.rank_stability import (
    Grid,
    preset_name,
    propose_rungs,
    replay,
    rung_qualities,
)

ABOUT = """\
tau: Kendall's, with the final order. Regret, in nats per token: what is lost in the end by
going on with the best at that point alone, or with the better half. Points on the way are held-out
loss on a few windows of all documents; the end is measured on the half of the documents that is
reported, and at 100 % the best is chosen on the other half. Means over seeds."""


def settling_lines(grids: Sequence[Grid], tolerance: float) -> Iterator[str]:
    """A table for each grid, and the rungs that follow from them, as lines of text."""
    for grid in grids:
        budget = format_tokens(grid.budget_tokens)
        yield f"{grid.title}: {len(grid.sets)} layer sets, {_seeds(grid)}, {budget} tokens"
        yield f"{'of the budget':>15} {'tau':>8} {'regret, best':>14} {'better half':>13}"
        for row in rung_qualities(grid):
            yield (
                f"{row.share:>15.0%} {row.tau:>+8.2f} {row.best_regret:>14.4f} "
                f"{row.half_regret:>13.4f}"
            )
        yield ""
    yield ABOUT
    yield ""
    shares = propose_rungs(grids, tolerance)
    if shares:
        yield f"Rungs for a funnel: {percents(shares)} (regret at most {tolerance:g} in every grid)"
    else:
        yield f"No rung has a regret of at most {tolerance:g} in every grid: train to the end"


def replay_lines(grids: Sequence[Grid], tolerance: float) -> Iterator[str]:
    """The layer sets that funnels would have chosen on each grid, and their share of the tokens."""
    for grid in grids:
        yield f"{grid.title}: {len(grid.sets)} layer sets, {_seeds(grid)}"
        for origin, shares in _ladders(grids, tolerance):
            steps = halving_schedule(len(grid.sets), FINALISTS, shares)
            outcome = replay(grid, steps)
            chosen = dict.fromkeys(preset_name(name, grid.num_layers) for name in outcome.chosen)
            widths = " → ".join(map(str, (len(grid.sets), *steps.keeps)))
            yield f"  rungs {percents(shares)} ({origin}), sets {widths}:"
            yield (
                f"    chose {'; '.join(chosen)}: regret {outcome.regret:.4f} nats per token "
                f"(at worst {outcome.worst_regret:.4f}),"
            )
            yield f"    with {outcome.token_share:.0%} of the tokens of the grid"
    yield "Regret against the best of the grid, on the documents that were not selected on. Seeds"
    yield "take turns at the rungs, as a mean; finalists have them all. Scoring trains no tokens."


def _ladders(grids: Sequence[Grid], tolerance: float) -> list[tuple[str, tuple[float, ...]]]:
    """The shares of rungs that are replayed, each with its origin."""
    ladders: list[tuple[str, tuple[float, ...]]] = [("by default", DEFAULT_SHARES)]
    evidence = propose_rungs(grids, tolerance)
    if evidence and evidence != DEFAULT_SHARES:
        ladders.append(("read off these same trials", evidence))
    return ladders


def _seeds(grid: Grid) -> str:
    return f"{len(grid.seeds)} seed{'s' if len(grid.seeds) > 1 else ''}"
