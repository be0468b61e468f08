"""The results of a storage as one table, wherever the storage is."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from raydistill.core.errors import SetupError, UsageError, unknown
from raydistill.core.paths import resolve_path
from raydistill.core.text.redaction import redact
from raydistill.reports.sources.from_store import from_store
from raydistill.reports.trial_rows import trial_rows
from raydistill.storage.object_store import download
from raydistill.storage.store import Store
from raydistill.storage.urls import copy_of, is_url

FORMS = ("pandas", "records")


def read_results(
    storage: str | Path, sweep: str | None, form: Literal["pandas", "records"] | None
) -> Any:
    """As `raydistill.api.results` says."""
    if form is not None and form not in FORMS:
        raise UsageError(unknown("form", form, FORMS))
    has_pandas = find_spec("pandas") is not None
    if form == "pandas" and not has_pandas:
        raise SetupError("pandas is not installed: pip install pandas, or write form='records'")
    address = str(storage)
    root = copy_of(address) if is_url(address) else resolve_path(address)
    download(root)
    reports = from_store(Store(root), [sweep] if sweep else [])
    if not reports:
        raise UsageError(f"no sweep was run in {redact(address)}: there are no results")
    rows = trial_rows(reports)
    if form == "records" or not has_pandas:
        return rows
    import pandas  # noqa: PLC0415  (need not be installed)

    return pandas.DataFrame(rows)
