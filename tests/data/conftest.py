"""A storage of a test's own."""

import pytest

from raydistill.storage.store import Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")
