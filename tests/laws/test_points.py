"""Points keep together, and say what was left out."""

import numpy as np
import pytest

from raydistill.core.errors import UsageError
from raydistill.laws.points import Exclusion, Points


def points_of(outputs, **more):
    n = len(outputs)
    inputs = {"x": np.arange(1.0, n + 1)}
    return Points(inputs=inputs, outputs=np.array(outputs), names=tuple("abcdef"[:n]), **more)


def test_what_is_left_out_keeps_its_name_and_reason():
    points = points_of([1.0, 2, 3], seeds=(0, 1, 0), samples_RN=np.arange(6.0).reshape(2, 3))
    rest = points.kept([True, False, True], "diverged")
    assert (rest.names, rest.seeds, rest.outputs.tolist()) == (("a", "c"), (0, 0), [1, 3])
    assert rest.samples_RN.tolist() == [[0, 2], [3, 5]]
    assert rest.excluded == (Exclusion(name="b", reason="diverged"),)


def test_a_window_keeps_its_edges():
    inside = points_of([1.0] * 6).within("x", 2.0, 2.0)
    assert inside.inputs["x"].tolist() == [1, 2, 3, 4]
    assert [e.name for e in inside.excluded] == ["e", "f"]
    assert inside.excluded[0].reason == "not within 2× of x 2"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"outputs": [1.0, np.nan, 2.0]}, "outputs of b is not finite: leave the point out"),
        ({"outputs": [1.0, 2.0], "seeds": (1,)}, "seeds: 1 values for 2 points"),
        ({"outputs": [1.0, 2.0], "samples_RN": np.ones((4, 3))}, "samples: 3 values for 2 points"),
    ],
)
def test_points_that_do_not_fit_together_are_refused(change, words):
    with pytest.raises(UsageError, match=words):
        points_of(**change)
