import shutil

import pytest

from raydistill.storage.store import Store


@pytest.fixture
def store(tmp_path, migrated):
    shutil.copy(migrated, tmp_path / "mlflow.db")
    return Store(tmp_path)
