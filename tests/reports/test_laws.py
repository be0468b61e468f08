"""What is said of a fit beside its parameters."""

import numpy as np

from raydistill.laws.fitting import fit
from raydistill.laws.points import Points
from raydistill.reports.laws import fit_facts, fit_fields


def law(form, x, y):
    points = Points(inputs={"x": x}, outputs=y, names=tuple(f"run-{i}" for i in range(len(x))))
    return fit(form, points)


def test_of_a_jump_it_is_said_whether_one_power_law_would_look_so_too():
    x = np.geomspace(1.0, 100.0, 12)
    noise = np.exp(0.01 * np.random.default_rng(0).standard_normal(12))
    for jump, found in ((0.8, True), (1.0, False)):
        facts = dict(fit_facts(law("jump", x, x**-0.1 * np.where(x < 10, 1, jump) * noise)))
        words = "one power law would look as broken "
        share = float(facts["if no break"].removeprefix(words).split("%")[0])
        assert (share < 5) == found
        assert "note" not in facts
    assert "if no break" not in dict(fit_facts(law("power", x, x**-0.1 * noise)))


def test_what_must_be_known_first_is_a_note():
    x = np.repeat(np.geomspace(1, 16, 5), 2)
    y = 3 - 0.05 * np.log(x) + 0.01 * np.random.default_rng(0).standard_normal(10)
    falling = law("minimum", x, y)
    (note,) = [text for name, text in fit_facts(falling) if name == "note"]
    assert note == "these points do not determine optimum, lowest"
    assert fit_fields(falling, None)["warnings"] == (note,)
