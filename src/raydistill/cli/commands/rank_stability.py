"""`raydistill rungs`: after what share of the budget the order of layer sets is settled."""

import argparse

from raydistill.core.errors import DataError
from raydistill.planning.outcomes import finished_trials
from raydistill.planning.search.rank_stability import MIN_SETS, grids
from raydistill.reports.rank_stability import replay_lines, settling_lines
from raydistill.storage.store import Store


def rank_stability(store: Store, flags: argparse.Namespace) -> int:
    """Print how early the order of finished trials settled, or what a funnel would have chosen.

    Raises:
        DataError: if there are no layer sets to compare.
    """
    compared = grids(finished_trials(store, flags.sweep or ""))
    if not compared:
        of = f"sweep {flags.sweep!r}" if flags.sweep else "any sweep"
        raise DataError(
            f"{store.root} has no {MIN_SETS} finished layer sets of {of} that were trained alike"
        )
    lines = replay_lines if flags.replay else settling_lines
    print("\n".join(lines(compared, flags.tolerance)), flush=True)
    return 0
