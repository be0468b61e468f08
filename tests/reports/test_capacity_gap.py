"""The page of students by teachers: curves, minima, verdict, anchors, in every format."""

import csv
import dataclasses
import io
import re

import pytest

from raydistill.laws.stored import save_fit, stored_fits
from raydistill.reports.capacity_gap.findings import EQUAL_FLOPS, FREE, LARGEST, OWN_SIZE
from raydistill.reports.capacity_gap.fits import fits
from raydistill.reports.figures.panels import draw_together
from raydistill.reports.formats.all_formats import texts
from raydistill.reports.formats.terminal import print_section
from raydistill.reports.sweep_report import report_content
from raydistill.specs.trial import CUT
from raydistill.storage.store import Store
from support.reported import FAILURE, cell, sweep
from support.taught import AGES, SIZES, STUDENTS, gap_cells, gap_sweep, law, taught

TEACHERS = tuple(SIZES)


@pytest.fixture(scope="module")
def planted():
    """Every student's best teacher is twice its size."""
    return report_content(gap_sweep(gap_cells(law())))


@pytest.fixture(scope="module")
def growing():
    """The larger the teacher, the better."""
    return report_content(gap_sweep(gap_cells(law(ratio=100), STUDENTS[:3], seeds=(1, 2))))


@pytest.fixture(scope="module")
def files(planted):
    return texts([planted])


def words(content, table=0):
    return " ".join(content.findings[table].words)


def group(content, index=0):
    return content.capacity_gap.groups[index]


def row(content, student, table=0):
    section = content.findings[table]
    (found,) = (row for row in section.rows if row[0] == student)
    return dict(zip(section.headers, found, strict=True))


def test_other_sweeps_have_no_such_tables():
    content = report_content(sweep([cell("input")]))
    assert content.findings == ()
    assert content.capacity_gap.groups == ()
    assert "capacity-gap" not in {picture.name for picture in content.pictures}
    assert "capacity-gap.csv" not in texts([content])


def test_a_planted_law_is_told_with_its_line(planted):
    assert group(planted).law.verdict == "law"
    assert "start own: law." in planted.findings[0].title
    assert words(planted).startswith("A law at these sizes: 4 students")
    assert re.search(r"4 interior minima: a (2|2\.0\d|1\.9\d) \[", words(planted))
    assert "p = " in words(planted)
    assert "Counting blocks alone, without embeddings: " in words(planted)


def test_each_student_has_its_minimum_and_its_best_set(planted):
    tiny = row(planted, "tiny")
    assert tiny["parameters"] == "100K"
    assert tiny["T*, parameters"].startswith(("19", "20"))
    assert tiny["not told apart from the best"] == "small"
    assert tiny["at ±8×, shift"].endswith(" %")
    assert tiny["by our line"].startswith(("19", "20"))


def test_below_its_zero_the_published_line_has_no_teacher(planted):
    assert row(planted, "tiny")["as published"] == "–"
    assert "can be neither confirmed nor contradicted here" in words(planted)


def test_what_stands_beside_the_best_teacher_is_paired_with_it(planted):
    beside = group(planted).students[0].beside
    assert beside[LARGEST].nats.value == pytest.approx(0.307, abs=0.005)
    assert beside[OWN_SIZE].nats.value == pytest.approx(0.022, abs=0.005)
    assert beside[FREE].nats.value == pytest.approx(0.1, abs=0.005)
    assert beside[EQUAL_FLOPS].nats.value == pytest.approx(0.05, abs=0.005)
    assert {excess.sign for excess in beside.values()} == {1}
    assert row(planted, "tiny", 1)[LARGEST].endswith("!")


def test_a_teacher_that_is_too_large_hurts_as_in_the_paper(planted):
    assert "are cut from their teachers" not in words(planted)
    assert (
        "As in the paper (a teacher that is too large hurts). The largest teacher against the best "
        "(paired bootstrap, Holm, 5 %): it hurts tiny, small, medium and large."
    ) in words(planted)


def test_the_largest_teacher_as_the_best_contradicts_the_paper(growing):
    law_ = group(growing).law
    assert law_.verdict == "not supported"
    assert "The law is not supported. A law would need interior minima for 4 students" in words(
        growing
    )
    assert "What would decide: at least 4 students and larger teachers." in words(growing)
    assert "No student has a minimum between the teachers tried at this small scale" in words(
        growing
    )
    assert "Unlike the paper (a teacher that is too large hurts)" in words(growing)
    assert row(growing, "tiny")["T*, parameters"].startswith("(2.4M")
    assert row(growing, "tiny")["by our line"] == "–"


def test_a_best_set_of_all_is_a_count():
    content = report_content(gap_sweep(gap_cells(law(bend=0), STUDENTS[:1])))
    assert row(content, "tiny")["not told apart from the best"] == "7 of 7"


def test_teachers_that_are_not_told_apart_want_more_seeds_not_larger_teachers():
    content = report_content(gap_sweep(gap_cells(law(bend=0), STUDENTS)))
    assert "more data seeds or more tokens, so that teachers are told apart" in words(content)
    assert "larger teachers" not in words(content)


def test_flops_are_those_of_a_teacher_that_is_named_where_it_is_not_the_best():
    cells = [
        c
        for c in gap_cells(law(), STUDENTS[:2])
        if c.train.loss == "kd" or c.values["teacher"] in ("none", "big@320B")
    ]
    content = report_content(gap_sweep(cells))
    entry = row(content, "tiny", 1)[EQUAL_FLOPS]
    assert entry.endswith("(big@320B)")
    assert entry.startswith("-0.05")  # 3.25 without a teacher, 3.3 with that one


def test_a_failed_teacher_is_not_replaced_by_its_younger_self():
    cells = [
        dataclasses.replace(c, outcome=FAILURE) if c.values["teacher"] == "small@320B" else c
        for c in gap_cells(law(), STUDENTS[:2])
    ]
    content = report_content(gap_sweep(cells))
    names = [lesson.teacher for lesson in group(content).students[0].oldest]
    assert names == [f"{name}@320B" for name in TEACHERS if name != "small"]


def test_the_lead_sentence_is_on_teachers(planted):
    assert planted.table.warnings[0].endswith("do not choose teachers for a large model from this.")


def test_losses_stand_by_teacher_and_age_beside_the_teachers_own(planted):
    section = planted.findings[2]
    assert [line[0] for line in section.rows[:3]] == ["tiny@80B", "tiny@320B", "small@80B"]
    assert section.headers[3:] == STUDENTS
    assert section.rows[0][2] == "3.565"
    assert section.rows[3][3].startswith("3.201* [")


def test_size_against_loss_is_told_by_a_teacher_left_out(planted):
    result = group(planted).size_or_loss
    assert result.teachers == len(TEACHERS) * len(AGES)
    assert "a student's loss with a teacher left out is predicted within" in words(planted)
    one_age = report_content(gap_sweep(gap_cells(law(), ages=AGES[1:])))
    assert group(one_age).size_or_loss is None
    assert "several ages each" in words(one_age)


def test_starts_are_apart():
    cells = gap_cells(law(), STUDENTS[:2]) + gap_cells(
        law(ratio=100), STUDENTS[:2], start="scratch", ages=AGES[1:]
    )
    content = report_content(gap_sweep(cells))
    assert [g.name for g in content.capacity_gap.groups] == ["own", "scratch"]
    assert [g.law.verdict for g in content.capacity_gap.groups] == ["trend", "not supported"]
    assert len(content.findings) == 6


def test_a_teacher_of_the_students_own_size_cuts_nothing_and_is_on_no_curve():
    cells = gap_cells(law(), STUDENTS[:2], TEACHERS[:5], start="cut", ages=AGES[1:])
    cells = [dataclasses.replace(c, start=CUT) for c in cells]
    content = report_content(gap_sweep(cells))
    tiny = group(content).students[0]
    assert [lesson.teacher for lesson in tiny.oldest] == [f"{name}@320B" for name in TEACHERS[1:5]]
    assert "tiny by tiny@320B" in words(content)
    assert "nothing is cut from a teacher of its own size" in words(content)
    assert "what it leaves are not told apart here" in words(content)
    assert tiny.beside[OWN_SIZE].nats.value == pytest.approx(0.022, abs=0.005)


def test_a_failed_lesson_is_left_out_and_said_to_be():
    cells = gap_cells(law(), STUDENTS[:2])
    lost = next(c for c in cells if c.values["teacher"] == "giant@320B" and c.train.seed == 2)
    cells = [dataclasses.replace(c, outcome=FAILURE) if c is lost else c for c in cells]
    content = report_content(gap_sweep(cells))
    assert "In no fit: tiny by giant@320B, data seed 2: failed in training" in words(content)
    assert len(group(content).students[0].oldest) == len(TEACHERS)


def test_a_student_with_one_teacher_has_anchors_and_no_curve():
    cells = [taught("tiny", "small", AGES[1], 3.2, seed=seed) for seed in (1, 2)]
    cells += [taught("tiny", "none", 0, 3.3, seed=seed, loss="lm") for seed in (1, 2)]
    content = report_content(gap_sweep(cells))
    assert "fewer than three teachers within ±4× of the best" in words(content)
    assert "What would decide: at least 4 students and more sizes of teacher" in words(content)
    assert "too large hurts" not in words(content)
    assert row(content, "tiny", 1)[LARGEST] == "–"
    assert row(content, "tiny", 1)[FREE].startswith("+0.1")
    assert "capacity-gap" not in {picture.name for picture in content.pictures}


def test_a_student_without_a_finished_teacher_is_said_to_be_in_no_fit():
    cells = gap_cells(law(), STUDENTS[:2], TEACHERS[:4])
    cells = [
        dataclasses.replace(c, outcome=FAILURE) if (c.scale, c.train.loss) == ("tiny", "kd") else c
        for c in cells
    ]
    content = report_content(gap_sweep(cells))
    assert "In no fit: tiny: no teachers finished" in words(content)


def test_the_order_of_cells_does_not_matter(planted):
    again = report_content(gap_sweep(gap_cells(law())[::-1]))
    assert again.findings == planted.findings


@pytest.mark.parametrize("form", ["report.md", "report.html", "report.tex"])
def test_every_format_has_tables_and_sentences(files, form):
    text = files[form]
    assert "Law of capacity gap, start own: law" in text
    assert "A law at these sizes" in text


def test_the_csv_has_every_loss_as_a_number(files):
    lines = list(csv.DictReader(io.StringIO(files["capacity-gap.csv"])))
    assert len(lines) == len(STUDENTS) * len(TEACHERS) * len(AGES)
    assert float(lines[0]["student_nll"]) == pytest.approx(3.244, abs=0.001)
    assert float(lines[0]["best_teacher_parameters"]) == pytest.approx(2e5, rel=0.02)
    assert lines[0]["interior"] == "True"
    assert {line["verdict"] for line in lines} == {"law"}


def test_the_terminal_says_them_too(planted, capsys):
    from rich.console import Console

    print_section(planted.findings[0], Console(width=100))
    assert "A law at these sizes" in capsys.readouterr().out


def test_the_figure_has_curves_losses_and_the_line(planted, growing):
    pictures = {picture.name: picture for picture in planted.pictures}
    assert list(pictures) == ["capacity-gap"]  # no layer leaves: neither drops nor healing
    curves, by_loss, line = draw_together(pictures["capacity-gap"]).axes
    assert curves.get_xscale() == line.get_yscale() == "log"
    assert [text.get_text() for text in curves.get_legend().get_texts()] == list(STUDENTS)
    assert by_loss.get_xlabel() == "teacher, nats per token"
    assert line.get_title(loc="left") == "start own: law"
    two = gap_cells(law(), STUDENTS[:1], TEACHERS[:2], ages=AGES[1:])
    pictures = {picture.name: picture for picture in report_content(gap_sweep(two)).pictures}
    assert len(draw_together(pictures["capacity-gap"]).axes) == 1
    pictures = {picture.name: picture for picture in growing.pictures}
    assert draw_together(pictures["capacity-gap"]).axes[2].get_legend() is None


def test_fits_are_kept_with_the_trials_that_they_rest_on(planted, tmp_path):
    store = Store(tmp_path)
    for law_fit in fits(planted.capacity_gap):
        save_fit(store, law_fit)
    *minima, line = stored_fits(store).values()
    assert [fit.form for fit in minima] == ["minimum"] * len(STUDENTS)
    ids = {cell.trial_id for cell in planted.report.cells}
    names = {name for fit in minima for name in fit.table.names}
    assert {trial_id for name in names for trial_id in name.rpartition(": ")[2].split()} <= ids
    assert minima[0].table.names[0].startswith("tiny by tiny@320B: ")
    assert {one.reason for fit in minima for one in fit.excluded} >= {"a younger teacher"}
    assert line.form == "capacity-gap"
    assert line.table.names[0] == "tiny, start own"
    assert line.parameters["slope"] == group(planted).law.slope
    assert line.predict({"student_params": 2e5}).value == pytest.approx(4e5, rel=0.03)


def test_a_student_without_a_minimum_is_excluded_from_the_line_with_its_reason():
    students = [*STUDENTS, "giant"]
    *_, line = fits(report_content(gap_sweep(gap_cells(law(), students))).capacity_gap)
    (excluded,) = line.excluded
    assert (excluded.name, excluded.reason) == (
        "giant, start own",
        "the largest teacher has the lowest loss",
    )


def test_nothing_is_fitted_without_minima(growing):
    assert list(fits(growing.capacity_gap)) == []
