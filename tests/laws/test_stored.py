"""A fit is a file: read again it is the same, and predicts the same."""

from dataclasses import replace

import numpy as np
import pytest

from raydistill.core.errors import DataError, UsageError
from raydistill.laws.fitting import fit
from raydistill.laws.points import Points
from raydistill.laws.stored import save_fit, stored_fit, stored_fits
from raydistill.storage.store import Store


def test_a_fit_in_the_storage_is_the_fit(tmp_path):
    store = Store(tmp_path)
    assert stored_fits(store) == {}
    x = np.array([1.0, 2, 4, 8, 16])
    samples = np.random.default_rng(0).standard_normal((50, 5)) + x
    points = Points(
        inputs={"x": x}, outputs=x, names=tuple("abcde"), seeds=(0, 0, 0, 0, 1), samples_RN=samples
    ).kept([True] * 4 + [False], "too large")
    law = fit("line", points)
    fit_id = save_fit(store, law)
    assert save_fit(store, law) == fit_id
    flat = fit("minimum", points.kept([True] * 4, ""))  # an interval without ends
    save_fit(store, flat)
    assert list(stored_fits(store).values()) == [law, flat]
    again = stored_fit(store, fit_id)
    assert again.predict({"x": 3.0}) == law.predict({"x": 3.0})
    assert again.excluded[0].reason == "too large"
    assert stored_fit(store, "none") is None


def test_a_fit_of_another_version_of_its_form_predicts_nothing():
    x = np.array([1.0, 2, 4])
    law = fit("line", Points(inputs={"x": x}, outputs=x, names=("a", "b", "c")))
    with pytest.raises(UsageError, match="version 1 now, this fit of version 0: fit its points an"):
        replace(law, version=0).predict({"x": 3.0})


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "laws/abc").mkdir(parents=True)
    (tmp_path / "laws/abc/fit.json").write_text("{")
    with pytest.raises(DataError, match=r"abc/fit.json: it is damaged: remove its folder"):
        stored_fits(Store(tmp_path))
