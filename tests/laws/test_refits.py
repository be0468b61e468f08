"""Published laws, found again in their own numbers."""

import io

import numpy as np
import pytest

from raydistill.laws.fitting import fit
from raydistill.laws.points import Points
from raydistill.laws.published import REDUCED_SCALE

# Compute-optimal points (FLOPs, loss) read off figure 1 of "Honey, I Shrunk the Language: Language
# Model Behavior at Reduced Scale" (2305.17266), about ±1 %
FRONT = np.loadtxt(
    io.StringIO(
        """
2.55e14 3.950;4.52e14 3.351;5.06e14 3.216;6.08e14 3.222;7.61e14 3.190;8.76e14 3.210
1.01e15 3.163;1.13e15 3.186;1.26e15 3.140;1.38e15 3.128;1.55e15 3.126;1.74e15 3.116
2.00e15 3.097;2.95e15 2.591;3.54e15 2.461;4.43e15 2.330;5.30e15 2.258;6.20e15 2.214
7.06e15 2.178;7.88e15 2.152;8.89e15 2.128;1.09e16 2.085;1.28e16 2.022;1.56e16 1.972
1.91e16 1.907;2.53e16 1.821;3.45e16 1.749;4.72e16 1.681;6.62e16 1.619;9.50e16 1.563
1.11e17 1.534
""".replace(";", "\n")
    )
)


@pytest.fixture(scope="module")
def laws():
    flops, loss = FRONT.T
    points = Points(inputs={"x": flops}, outputs=loss, names=tuple(f"{x:g}" for x in flops))
    return {form: fit(form, points) for form in ("power", "knots", "jump", "knots+count=2")}


def test_the_break_of_the_front_is_a_jump_and_no_knot(laws):
    bic = {form: law.bic for form, law in laws.items()}
    assert bic["power"] - bic["jump"] == pytest.approx(26.4, abs=0.05)
    assert bic["knots"] - bic["power"] == pytest.approx(2.5, abs=0.05)
    assert bic["power"] - bic["knots+count=2"] == pytest.approx(27.7, abs=0.1)
    assert min(bic["power"], bic["knots"]) - bic["jump"] > 20
    assert laws["power"].parameters["exponent"].value == pytest.approx(-0.160, abs=5e-4)
    assert laws["knots"].parameters["knot_1"].value == pytest.approx(2.3e16, rel=0.03)


def test_the_jump_has_the_papers_exponents_and_its_break(laws):
    law = laws["jump"].parameters
    assert law["exponent_below"].value == pytest.approx(-0.0876, abs=5e-5)
    assert law["exponent_above"].value == pytest.approx(-0.1381, abs=5e-5)
    below, above = REDUCED_SCALE.exponent_below, REDUCED_SCALE.exponent_above
    assert law["exponent_below"].value == pytest.approx(below, abs=0.008)
    assert law["exponent_above"].value == pytest.approx(above, abs=0.006)
    assert law["exponent_below"].low < below < law["exponent_below"].high
    assert law["exponent_above"].low < above < law["exponent_above"].high
    assert law["break"].low < REDUCED_SCALE.break_flops < law["break"].high
    assert law["break"].low == pytest.approx(2.0e15)
    assert law["break"].high == pytest.approx(2.95e15)


@pytest.mark.parametrize(
    ("below", "factor", "exponent", "r_squared"),
    [
        (True, REDUCED_SCALE.factor_below, REDUCED_SCALE.exponent_below, 0.68),
        (False, REDUCED_SCALE.factor_above, REDUCED_SCALE.exponent_above, 0.99),
    ],
)
def test_the_papers_lines_have_the_r_squared_that_it_prints(below, factor, exponent, r_squared):
    flops, loss = FRONT[(FRONT[:, 0] < REDUCED_SCALE.break_flops) == below].T
    error = np.log(loss) - np.log(factor * flops**exponent)
    share = 1 - (error**2).sum() / ((np.log(loss) - np.log(loss).mean()) ** 2).sum()
    assert share == pytest.approx(r_squared, abs=0.01)


# The noiseless simulation of 4-digit addition in the repository of Broken Neural Scaling Laws
# (2210.14891): a, b, c0, c1, break, sharpness
ADDITION = (0.413884531, 2.27727229, 0.0550773484, 5.66290382, 612.583617, 0.0591930364)


def addition_up_to(last):
    a, b, c0, c1, place, sharpness = ADDITION
    x = np.arange(last % 15 or 15, last + 1.0, 15)
    y = a + b * x**-c0 * (1 + (x / place) ** (1 / sharpness)) ** (-c1 * sharpness)
    return fit("smooth-break", Points(inputs={"x": x}, outputs=y, names=tuple(map(str, x))))


def test_a_smooth_break_is_recovered_from_405_and_warned_about_from_390():
    law = addition_up_to(405)
    assert [p.value for p in law.parameters.values()] == pytest.approx(ADDITION, rel=1e-5)
    assert law.starts.agreeing > 1
    assert len(law.warnings) == 1
    assert law.predict({"x": 1000.0}).value == pytest.approx(0.5109096, rel=1e-6)
    assert law.warnings[0].startswith("break, 612.6, lies beyond the points, x 15 to 405")
    less = addition_up_to(390)
    assert less.warnings[0].startswith("break, 6")
    assert less.warnings[1].startswith("the coefficients hang together (condition 3")


def test_the_chinchilla_refit_is_found_in_points_drawn_from_it():
    rng = np.random.default_rng(0)
    params = np.exp(rng.uniform(np.log(5.7e7), np.log(1.6e10), 240))
    tokens = np.exp(rng.uniform(np.log(2.5e8), np.log(3.2e11), 240))
    loss = 1.8169 + 482.0 * params**-0.3478 + 2085 * tokens**-0.3659
    noisy = loss * np.exp(0.01 * rng.standard_normal(240))
    refit = {"E": 1.8169, "A": 482.0, "B": 2085.0, "alpha": 0.3478, "beta": 0.3659}
    for outputs, exact in ((loss, True), (noisy, False)):
        law = fit(
            "chinchilla",
            Points(
                inputs={"params": params, "tokens": tokens},
                outputs=outputs,
                names=tuple(map(str, range(240))),
            ),
        )
        assert law.starts.agreeing > 40
        assert law.condition < 3000
        for name, value in refit.items():
            found = law.parameters[name]
            assert (
                found.value == pytest.approx(value, rel=1e-9)
                if exact
                else (found.low < value < found.high)
            )
