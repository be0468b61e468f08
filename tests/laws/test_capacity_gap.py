"""The verdict on a law of capacity gap: what is called a law, and what never is."""

import dataclasses

import numpy as np
import pytest

from raydistill.laws.capacity_gap.best_teacher import TeacherCurve, best_teacher
from raydistill.laws.capacity_gap.verdict import capacity_gap
from raydistill.laws.minima import fit_minimum
from raydistill.laws.points import Points
from support.gap_curves import STUDENTS, TEACHERS, curve, gap


def generator(seed=0):
    return np.random.default_rng(seed)


def verdicts(best, draws, **changes):
    """How often each verdict is given; `best` draws the best teacher of a size."""
    counts = {}
    for seed in range(draws):
        random = generator(seed)
        word = gap(lambda size, r=random: best(size, r), random, **changes).verdict
        counts[word] = counts.get(word, 0) + 1
    return counts


def proportional(size, random):
    del random
    return 2.5 * size


def drawn(size, random):
    del size
    return random.choice(TEACHERS)


def drawn_inside(size, random):
    del size
    return random.choice(TEACHERS[1:-1])


def drawn_above(size, random):
    """Of those larger than the student: T* then grows with S by itself."""
    return random.choice(TEACHERS[1:-1][TEACHERS[1:-1] > size])


def largest(size, random):
    del size, random
    return 2 * TEACHERS[-1]


@pytest.mark.parametrize("students", [STUDENTS[:4], STUDENTS])
def test_a_planted_law_of_small_noise_is_a_law(students):
    result = gap(lambda size: 2.5 * size, generator(), students)
    assert result.verdict == "law"
    assert result.undecided == ()
    assert result.slope.low < 2.5 < result.slope.high
    assert result.intercept.low < 0 < result.intercept.high
    assert result.exponent.low < 1 < result.exponent.high
    assert result.null_p < 0.01
    assert result.teacher(1e5) == pytest.approx(2.5e5, rel=0.05)


def test_the_published_line_is_found_again_at_its_own_sizes():
    teachers = np.geomspace(120e6, 3e9, 8)
    students = (120e6, 200e6, 350e6, 600e6)
    result = gap(lambda s: 2.498 * s - 11.498e6, generator(), students, teachers=teachers)
    assert result.verdict == "law"
    assert result.slope.low < 2.498 < result.slope.high


@pytest.mark.parametrize("best", [drawn, drawn_inside, drawn_above])
def test_teachers_drawn_at_random_are_no_law(best):
    assert verdicts(best, 25).get("law", 0) <= 2


@pytest.mark.soak
@pytest.mark.parametrize("best", [drawn, drawn_inside, drawn_above])
@pytest.mark.parametrize("students", [STUDENTS[:4], STUDENTS])
def test_of_500_draws_at_random_at_most_one_in_twenty_is_a_law(best, students):
    assert verdicts(best, 500, students=students).get("law", 0) <= 25


@pytest.mark.soak
def test_a_planted_law_is_found_in_most_of_500_draws():
    assert verdicts(proportional, 500)["law"] >= 450


@pytest.mark.soak
@pytest.mark.parametrize("noise", [0.0005, 0.002])
def test_intervals_hold_the_truth_in_92_to_98_of_100(noise):
    held = {"T*": [], "slope": [], "intercept": [], "exponent": []}
    for seed in range(500):
        result = gap(lambda size: 2.5 * size, generator(seed), noise=noise)
        held["T*"] += [holds(of.teacher, 2.5 * of.size) for of in result.students if of.teacher]
        if result.exponent is not None:
            held["slope"].append(holds(result.slope, 2.5))
            held["intercept"].append(holds(result.intercept, 0))
            held["exponent"].append(holds(result.exponent, 1))
    shares = {name: np.mean(every) for name, every in held.items()}
    assert all(0.92 <= share <= 0.985 for share in shares.values()), shares


def holds(estimate, truth):
    return estimate.low <= truth <= estimate.high


@pytest.mark.parametrize("noise", [0.0005, 0.005])
def test_the_largest_teacher_is_never_the_end_of_a_law(noise):
    assert verdicts(largest, 20, noise=noise) == {"not supported": 20}
    result = gap(lambda _: 2 * TEACHERS[-1], generator())
    assert result.interior == ()
    assert {student.outside for student in result.students} == {
        "the largest teacher has the lowest loss"
    }
    assert result.slope is None


def test_curves_without_a_bend_have_no_minimum():
    assert verdicts(drawn, 20, bend=0.0).get("law", 0) == 0
    few = [len(gap(lambda _: 2e5, generator(seed), bend=0.0).interior) for seed in range(20)]
    assert sum(few) <= 5  # of 100


def test_a_grid_that_leaves_nothing_to_draw_makes_no_law():
    """Three teachers each, of 1, 2 and 4 times the student: T* can only be the middle one."""
    for seed in range(10):
        curves = [
            curve(size, 2 * size, generator(seed), teachers=np.array([1.0, 2.0, 4.0]) * size)
            for size in STUDENTS
        ]
        result = capacity_gap(curves)
        assert len(result.interior) == len(STUDENTS)
        assert result.null_p > 0.5
        assert result.verdict == "trend"


def test_two_students_make_a_trend_at_most():
    result = gap(lambda size: 2.5 * size, generator(), STUDENTS[1:3])
    assert result.verdict == "trend"
    assert result.slope.value == pytest.approx(2.5, rel=0.1)
    assert result.exponent is None
    assert any("interior minima for 4 students" in lack for lack in result.undecided)


def test_a_best_teacher_that_falls_with_the_student_is_no_trend():
    assert gap(lambda size: 2e10 / size, generator(), STUDENTS[:3]).verdict == "not supported"


def test_an_exponent_far_from_1_is_no_law():
    result = gap(lambda size: 150e3 * (size / 1e5) ** 0.5, generator())
    assert result.verdict == "trend"
    assert any("an exponent of 1" in lack for lack in result.undecided)


def test_a_minimum_is_where_its_parabola_is_lowest():
    found = best_teacher(curve(1e5, 300e3, generator(), noise=1e-6))
    assert found.teacher.value == pytest.approx(300e3, rel=1e-3)
    assert found.is_interior
    assert found.shifts[8.0] == pytest.approx(0, abs=1e-3)


def surface(teachers=13):
    """Nothing of it is a parabola."""
    sizes = np.geomspace(1e5, 1e8, teachers)
    losses = 1.7 + 500 / sizes**0.35 + 2e-1 * (sizes / 1e6) ** 0.7
    return TeacherCurve(
        student="s", size=1e5, teachers=tuple(map(str, sizes)), sizes_N=sizes,
        losses_RN=np.tile(losses, (3, 1)),
    )  # fmt: skip


def test_a_window_shifts_the_minimum_of_what_is_no_parabola():
    shifts = best_teacher(surface(25)).shifts
    assert abs(shifts[8.0]) > 0.005
    assert 0.001 < abs(shifts[2.0]) < abs(shifts[8.0])
    assert np.isnan(best_teacher(surface(8)).shifts[2.0])  # two teachers within ±2×


@pytest.mark.parametrize("teachers", [13, 17, 25])
def test_the_minimum_is_that_of_the_form_minimum_in_the_same_window(teachers):
    of = surface(teachers)
    points = Points(inputs={"x": of.sizes_N}, outputs=of.losses_RN[0], names=of.teachers)
    optimum = fit_minimum(points).parameters["optimum"].value
    assert best_teacher(of).teacher.value == pytest.approx(optimum, rel=1e-6)


def test_three_teachers_near_the_best_are_needed():
    sizes = np.array([1e4, 1e5, 1e6])
    of = dataclasses.replace(
        curve(1e5, 1e5, generator()), sizes_N=sizes, teachers=("a", "b", "c"),
        losses_RN=np.tile([3.1, 3.0, 3.1], (5, 1)),
    )  # fmt: skip
    found = best_teacher(of)
    assert found.teacher is None
    assert "fewer than" in found.outside


def told(result):
    ranges = (result.slope, result.intercept, result.exponent)
    minima = [
        dataclasses.astuple(student.teacher) if student.teacher else ()
        for student in result.students
    ]
    return [*map(dataclasses.astuple, ranges), *minima]


def test_the_order_of_students_and_teachers_does_not_matter():
    curves = [curve(size, 2.5 * size, generator(7)) for size in STUDENTS]
    plain, order = capacity_gap(curves), [3, 0, 6, 2, 5, 1, 4]
    shuffled = [
        dataclasses.replace(
            of, sizes_N=of.sizes_N[order], losses_RN=of.losses_RN[:, order],
            teachers=tuple(of.teachers[i] for i in order),
        )
        for of in reversed(curves)
    ]  # fmt: skip
    other = capacity_gap(shuffled)
    assert np.array(told(other)) == pytest.approx(np.array(told(plain)), rel=1e-9, abs=1e-4)
    assert (other.verdict, other.null_p) == (plain.verdict, plain.null_p)


def test_units_of_size_and_loss_do_not_matter():
    curves = [curve(size, 2.5 * size, generator(7)) for size in STUDENTS]
    plain = capacity_gap(curves)
    other = capacity_gap(
        [
            dataclasses.replace(
                of, size=of.size / 1e6, sizes_N=of.sizes_N / 1e6, losses_RN=of.losses_RN / np.log(2)
            )
            for of in curves
        ]
    )
    assert (other.verdict, other.null_p) == (plain.verdict, plain.null_p)
    assert dataclasses.astuple(other.slope) == pytest.approx(
        dataclasses.astuple(plain.slope), rel=1e-9
    )
    for mine, theirs in zip(other.students, plain.students, strict=True):
        assert 1e6 * mine.teacher.value == pytest.approx(theirs.teacher.value, rel=1e-9)


def test_a_line_to_the_digit_is_a_law():
    result = gap(lambda size: 2.5 * size, generator(), noise=0.0)
    assert result.verdict == "law", result.undecided
