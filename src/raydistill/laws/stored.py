"""Fits in the storage: `laws/<id>/fit.json`, under the hash of what they say."""

from raydistill.core.errors import DataError
from raydistill.core.serialization import digest, to_json
from raydistill.laws.fit import Fit
from raydistill.storage.store import Store

FIT = "fit.json"


def save_fit(store: Store, fit: Fit) -> str:
    """Keep a fit; the same fit again is the same file. Returns its id."""
    fit_id = digest(to_json(fit))
    store.save(fit, "laws", fit_id, FIT)
    return fit_id


def stored_fit(store: Store, fit_id: str) -> Fit | None:
    """The fit of that id; None if there is none.

    Raises:
        DataError: if its file is damaged.
    """
    try:
        return store.load(Fit, "laws", fit_id, FIT)
    except ValueError:
        file = store.path("laws", fit_id, FIT)
        raise DataError(f"{file}: it is damaged: remove its folder, and fit again") from None


def stored_fits(store: Store) -> dict[str, Fit]:
    """Every fit in the storage, by id, the oldest first.

    Raises:
        DataError: if a file is damaged.
    """
    files = sorted(store.path("laws").glob(f"*/{FIT}"), key=lambda file: file.stat().st_mtime_ns)
    fits = {file.parent.name: stored_fit(store, file.parent.name) for file in files}
    return {fit_id: fit for fit_id, fit in fits.items() if fit is not None}
