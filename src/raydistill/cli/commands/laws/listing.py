"""`raydistill law`: what was fitted in a storage, and how far each fit reaches."""

import argparse

from raydistill.laws.extrapolation import FAR
from raydistill.laws.stored import stored_fits
from raydistill.reports import laws
from raydistill.reports.console.console import open_console
from raydistill.reports.formats.terminal import print_pairs, print_text
from raydistill.storage.store import Store


def law(store: Store, flags: argparse.Namespace) -> int:
    """Print the fits of a storage."""
    fits, console = stored_fits(store), open_console()
    if flags.json:
        fields = [laws.fit_fields(fit, fit_id) for fit_id, fit in fits.items()]
        console.print(laws.to_json(fields), soft_wrap=True)
        return 0
    for fit_id, fit in fits.items():
        print_pairs(laws.listed(fit_id, fit, FAR), console)
    if not fits:
        print_text(
            f"no law was fitted in {store.root}: `law fit` fits a table of runs, --save keeps it",
            console,
        )
    return 0
