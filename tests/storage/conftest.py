"""An object store for the tests of one file."""

import pytest

from support.object_store import KEYS, object_store


@pytest.fixture(scope="module")
def url():
    with pytest.MonkeyPatch.context() as patch, object_store() as address:
        for name, value in KEYS.items():
            patch.setenv(name, value)
        yield address
