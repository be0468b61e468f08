"""Tests may import `tiny` and other helpers that lie beside them."""

import sys
from pathlib import Path

collect_ignore_glob = ["*_driver.py"]  # programs that tests start

sys.path.insert(0, str(Path(__file__).parent))


def pytest_collection_modifyitems(items):
    """Whole sweeps first: they take longest, and so no process is left with them at the end."""
    items.sort(key=lambda item: "sweeping" not in vars(getattr(item, "module", item)))
