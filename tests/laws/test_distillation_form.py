"""The ladder of distillation laws: each rung on what it was made for, and what it refuses."""

import dataclasses

import numpy as np
import pytest

from raydistill.core.errors import UsageError
from raydistill.laws.distillation.ladder import fit_distillation, with_student_alone
from raydistill.laws.fitting import fit
from raydistill.laws.form import load_form
from raydistill.laws.forms.distillation import BLUNT, CURVED, EXPONENTS
from raydistill.laws.points import Points
from raydistill.laws.published import STUDENT_SURFACE, TEACHER_GAP
from raydistill.laws.search.solver import complex_derivatives

TURN = TEACHER_GAP.d1 * np.expm1(np.log(2) / (TEACHER_GAP.c1 * TEACHER_GAP.f1)) ** TEACHER_GAP.f1


def runs(sizes, budgets, losses, noise=0.0, seed=0):
    """Students on the published law at every size, number of tokens and teacher's loss."""
    grid = np.meshgrid(sizes, budgets, losses, indexing="ij")
    params, tokens, teacher = (axis.ravel() for axis in grid)
    alone = STUDENT_SURFACE.loss(params, tokens)
    exact = TEACHER_GAP.student_loss(params, tokens, teacher, alone)
    draws = np.random.default_rng(seed).standard_normal(len(exact))
    return Points(
        inputs={
            "student_params": params, "student_tokens": tokens, "teacher_loss": teacher,
            "student_alone": alone,
        },
        outputs=exact * np.exp(noise * draws),
        names=tuple(f"run {i}" for i in range(len(exact))),
    )  # fmt: skip


ONE_STUDENT = runs([546e6], [20e9], np.linspace(1.9, 2.9, 8))
WHOLE = runs([50e6, 500e6, 3e9], [2e8, 5e9, 60e9], np.linspace(1.8, 2.9, 6))
NONE = Points(inputs={"params": np.empty(0), "tokens": np.empty(0)}, outputs=np.empty(0), names=())


def test_three_parameters_follow_the_whole_law_at_one_student():
    three = fit("distillation", ONE_STUDENT)
    assert three.noise < 0.001  # c1·f1 is 47 there, without limit here
    assert three.parameters["turn"].value == pytest.approx(TURN, rel=0.03)
    assert three.parameters["c0"].value == pytest.approx(TEACHER_GAP.c0, rel=0.2)


def test_all_nine_are_found_in_runs_on_the_law():
    nine = fit("distillation+parameters=9", WHOLE)
    assert nine.noise < 1e-5
    told = {name: estimate.value for name, estimate in nine.parameters.items()}
    published = dataclasses.asdict(TEACHER_GAP) | {"turn": TURN}
    for name, value in told.items():
        assert value == pytest.approx(published[name], rel=0.05), name
    d1 = told["turn"] / np.expm1(np.log(2) / (told["c1"] * told["f1"])) ** told["f1"]
    assert d1 == pytest.approx(TEACHER_GAP.d1, rel=0.01)


def test_few_runs_do_not_pretend_to_be_many():
    with pytest.raises(UsageError, match="32 points more and 2 other values of student_tokens"):
        fit("distillation+parameters=9", ONE_STUDENT)
    rungs = fit_distillation(ONE_STUDENT, NONE).rungs
    assert [len(rung.parameters) for rung in rungs].count(9) == 0


def test_the_ladder_climbs_only_as_far_as_it_pays():
    losses = np.array([1.9, 2.1, 2.3, 2.5, 2.7, 2.9])
    straight = dataclasses.replace(
        runs([5e8], [2e10], losses), outputs=0.9 + 0.6 * losses + np.tile([0.004, -0.004], 3)
    )
    best, *_ = fit_distillation(straight, NONE).rungs
    assert best.form == "distillation+parameters=2"
    curved, *_ = fit_distillation(ONE_STUDENT, NONE).rungs
    assert len(curved.parameters) in (3, 4)


def test_losses_in_bits_are_the_same_law():
    """One unit for all of them: the law is of nats as of bits, its numbers change as they must."""
    bits = np.log(2)
    in_bits = dataclasses.replace(
        ONE_STUDENT,
        inputs={
            name: column / bits if name in ("teacher_loss", "student_alone") else column
            for name, column in ONE_STUDENT.inputs.items()
        },
        outputs=ONE_STUDENT.outputs / bits,
    )
    one, other = fit("distillation", ONE_STUDENT), fit("distillation", in_bits)
    for name in ("c0", "turn"):
        assert other.parameters[name].value == pytest.approx(one.parameters[name].value, rel=1e-7)
    there = {"teacher_loss": 2.2, "student_alone": 2.4}
    scaled = {name: value / bits for name, value in there.items()}
    assert other.predict(scaled).value * bits == pytest.approx(one.predict(there).value, rel=1e-9)


def test_what_a_student_reaches_alone_is_measured_where_it_was():
    taught = dataclasses.replace(
        ONE_STUDENT,
        inputs={k: v for k, v in ONE_STUDENT.inputs.items() if k != "student_alone"},
    )
    alone = Points(
        inputs={"params": np.array([546e6, 546e6, 1e9]), "tokens": np.array([20e9, 20e9, 20e9])},
        outputs=np.array([2.44, 2.46, 2.2]),
        names=("a", "b", "c"),
    )
    np.testing.assert_allclose(
        with_student_alone(taught, alone, None).inputs["student_alone"], 2.45
    )
    with pytest.raises(UsageError, match="add some, or a column student_alone"):
        with_student_alone(taught, NONE, None)


@pytest.mark.parametrize("parameters", [3, 4, 9])
def test_derivatives_are_those_of_the_law(parameters):
    form, rng = load_form(f"distillation+parameters={parameters}"), np.random.default_rng(0)
    names = ("teacher_loss", "student_alone", "student_params", "student_tokens")
    at = {name: rng.uniform(0.6, 1.6, 12) for name in names}
    z_RK = rng.normal(size=(100, parameters))
    z_RK[:, 3:5] = rng.uniform(-10, 0.8, z_RK[:, 3:5].shape)
    if parameters == 9:  # within its box
        z_RK[:, 4], z_RK[:, 8] = rng.uniform(*BLUNT, 100), rng.uniform(*CURVED, 100)
        z_RK[:, 3], z_RK[:, 6:8] = rng.uniform(-2, 0, 100), rng.uniform(*EXPONENTS, (100, 2))
    with np.errstate(over="ignore"):
        ours, theirs = (
            form.jacobian(z_RK, at), complex_derivatives(lambda z: form.evaluate(z, at), z_RK)
        )  # fmt: skip
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-10)


def test_what_the_runs_do_not_determine_is_told_within_its_bounds():
    """With 1 % noise a search for nine parameters ends at them; that is no end of an interval."""
    noisy = runs([50e6, 500e6, 3e9], [2e8, 5e9, 60e9], np.linspace(1.8, 2.9, 6), 0.01, seed=1)
    nine = fit("distillation+parameters=9", noisy)
    assert nine.starts.agreeing > 1
    sharpness = nine.parameters["c1"].value * nine.parameters["f1"].value
    assert 1 / BLUNT[1] <= sharpness * (1 + 1e-9)
    assert sharpness <= 1 / BLUNT[0] * (1 + 1e-9)
    open_ended = {name for name, one in nine.parameters.items() if not one.determined}
    assert open_ended == {"c1", "A", "B", "alpha", "beta", "gamma"}
    assert (nine.parameters["beta"].low, nine.parameters["beta"].high) == (0, np.inf)
    assert nine.parameters["f1"].low < TEACHER_GAP.f1 < nine.parameters["f1"].high
    low, high = nine.predict(
        {"student_params": 5e8, "student_tokens": 5e9, "teacher_loss": 3.4, "student_alone": 2.45}
    ).interval
    assert 3.4 * (1 - 1e-12) <= low <= high


@pytest.mark.parametrize("parameters", [3, 4])
def test_no_student_is_told_to_be_better_than_its_teacher_far_beyond_the_turn(parameters):
    noisy = runs([546e6], [20e9], np.repeat(np.linspace(1.8, 3.0, 10), 3), noise=0.01)
    told = fit(f"distillation+parameters={parameters}", noisy).predict(
        {"teacher_loss": 3.6, "student_alone": 2.45}
    )
    assert 3.6 * (1 - 1e-12) <= told.interval[0] <= told.value <= told.interval[1] < 3.6 * 1.1
    assert 3.4 < told.interval_with_noise[0] < 3.6


def test_there_are_four_rungs():
    assert [len(load_form(f"distillation+parameters={n}").parameters) for n in (2, 3, 4, 9)] == [
        2, 3, 4, 9,
    ]  # fmt: skip
    with pytest.raises(UsageError, match="there are 2, 3, 4 and 9"):
        load_form("distillation+parameters=5")
