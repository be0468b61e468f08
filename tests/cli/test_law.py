"""`raydistill law`: anybody's table, the teacher of a student, and which one a budget buys."""

import json
import re

import numpy as np
import pytest

from raydistill.laws.published import CAPACITY_GAP, STUDENT_SURFACE, TEACHER_GAP
from support.law_commands import law, refusal
from support.law_tables import write_best_teachers, write_chinchilla_runs, write_distilled_runs
from support.sweeping import command

CHINCHILLA = ("fit", "--form", "chinchilla", "--columns", "params=n,tokens=d,loss=final_loss")


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """A folder with tables of runs, and a storage with what was fitted to two of them."""
    folder = tmp_path_factory.mktemp("law")
    write_chinchilla_runs(folder / "runs.csv")
    write_best_teachers(folder / "best.csv")
    write_distilled_runs(folder / "distilled.csv")
    for name, form in (("best", "capacity-gap"), ("distilled", "distillation")):
        kept = command(
            folder / "kept", "law", "fit", folder / f"{name}.csv", "--form", form, "--save"
        )
        assert kept.returncode == 0, kept.stderr
    return folder


def test_a_table_is_fitted_and_predicts(tables):
    words = (*CHINCHILLA, tables / "runs.csv", "--at", "params=70B,tokens=1.4T")
    said = law(tables, *words, "--json")
    for name, true in {"E": 1.8169, "alpha": 0.3478, "beta": 0.3659}.items():
        estimate = said["parameters"][name]
        assert estimate["low"] < true < estimate["high"]
    (answer,) = said["predictions"]
    low, high = answer["prediction"]["interval"]
    assert low < 1.8169 + 482 / 70e9**0.3478 + 2085 / 1.4e12**0.3659 < high
    assert said["excluded"] == [{"name": "line 2", "reason": "loss has no value"}]
    text = law(tables, *words)
    for row in (
        r"alpha +0\.3",
        r"points +42 used, 1 left out: line 2: loss has no value",
        r"covered range +params 50M to 10B",
        r"with noise",
        r"7× beyond the points",
    ):
        assert re.search(row, text), row


def test_the_objective_decides_and_nothing_is_kept_unasked(tables):
    words = (*CHINCHILLA, tables / "runs.csv", "--json")
    squares, huber = law(tables, *words), law(tables, *words, "--objective", "huber")
    assert squares["parameters"]["alpha"] != huber["parameters"]["alpha"]
    assert (squares["id"], huber["objective"]) == (None, "huber")
    assert len(law(tables, "--json")) == 2


def test_what_was_fitted_is_listed_with_its_reach(tables):
    text = law(tables)
    assert re.search(r"^[0-9a-f]{16}  capacity-gap$", text, re.MULTILINE)
    assert "student_params 100M to 800M" in text
    assert re.search(r"up to 30× +student_params 3.333M to 24B", text)
    empty = command(tables / "nothing", "law")
    assert (empty.returncode, "no law was fitted" in empty.stdout) == (0, True)


def test_the_teacher_of_a_student_with_the_published_line_beside_it(tables):
    said = law(tables, "capacity-gap", "--student", "500M", "--json")
    prediction = said["answer"]["prediction"]
    narrow, wide = prediction["interval"], prediction["interval_with_noise"]
    assert wide[0] < narrow[0] < prediction["value"] < narrow[1] < wide[1]
    assert narrow[0] < 2.498 * 500e6 - 11.498e6 < narrow[1]
    assert said["published_teacher_params"] == CAPACITY_GAP.teacher_params(500e6)
    text = law(tables, "capacity-gap", "--student", "500M")
    assert "1.238B by T* = 2.498·S − 11.5M (Zhang et al., 2023, arXiv:2311.07052" in text
    assert "within the points" in text


def test_further_out_it_says_more_and_then_only_when_asked(tables):
    assert "2× beyond the points" in law(tables, "capacity-gap", "--student", "1.6B")
    near = law(tables, "capacity-gap", "--student", "1.6B", "--json")["answer"]
    wide = law(tables, "capacity-gap", "--student", "3B", "--json")["answer"]
    assert (near["forms"], "power" in wide["forms"]) == (["capacity-gap"], True)
    assert "used up to 30×" in refusal(tables, "capacity-gap", "--student", "300B")
    assert "375× beyond" in law(tables, "capacity-gap", "--student", "300B", "--far")


def test_without_a_fit_it_says_what_to_do_and_what_is_published(tables):
    line = refusal(tables / "nothing", "capacity-gap", "--student", "3B")
    assert "run the sweep capacity_gap, or fit a table" in line
    assert "--law published: 7.483B" in line
    assert "7.483B" in law(
        tables / "nothing", "capacity-gap", "--student", "3B", "--law", "published"
    )


def test_who_teaches_under_a_budget(tables):
    ask = ("capacity-gap", "--student", "500M", "--teachers", "3B@2.25,7B@2.1,none")
    said = law(tables, *ask, "--flops", "3e20", "--share", "existing", "--json")["answer"]
    assert {one["name"] for one in said["ranked"]} == {"3B@2.25", "7B@2.1", "none"}
    for one in said["ranked"]:
        alone = STUDENT_SURFACE.loss(500e6, one["tokens"])
        teacher = {"3B@2.25": 2.25, "7B@2.1": 2.1}.get(one["name"])
        true = alone if teacher is None else TEACHER_GAP.student_loss(
            500e6, one["tokens"], teacher, alone
        )  # fmt: skip
        assert one["answer"]["prediction"]["value"] == pytest.approx(float(true), rel=0.01)
    assert (
        said["cheapest"] != "none"
    )  # little compute: a strong teacher that costs nothing to train
    assert said["changes"][-1][1] == "none"
    text = law(tables, *ask, "--flops", "1e21", "--share", "4")
    for row in (
        "1e21 FLOPs for a student of 500M parameters, a teacher shared by 4",
        r"best +none",
        r"by budget +",
        r"sharing +",
        r"trained +3B@2.25 on [\d.]+[BT] tokens",
        r"law +[0-9a-f]{16}, distillation",
        r"points +\d+ used",
    ):
        assert re.search(row, text), row


def test_published_constants_are_said_to_be_unconfirmed(tables):
    ask = ("capacity-gap", "--student", "500M", "--teachers", "7B@2.1,none", "--flops", "1e22")
    text = law(tables / "nothing", *ask, "--law", "published")
    assert "unconfirmed" in text
    assert "no advice" in " ".join(text.split())
    assert "constants are unconfirmed" in refusal(tables / "nothing", *ask)


def test_laws_are_merged_into_another_storage(tables, tmp_path):
    done = command(tmp_path, "store", "merge", tables / "kept")
    assert (done.returncode, "laws: 3 new" in done.stdout) == (0, True), done.stdout + done.stderr
    there = command(tmp_path, "law", "--json").stdout
    assert sorted(one["id"] for one in json.loads(there)) == sorted(
        one["id"] for one in law(tables, "--json")
    )


def test_pictures(tables, tmp_path):
    best = tables / "best.csv"
    law(tables, "fit", best, "--form", "capacity-gap", "--plot", tmp_path / "fit.svg")
    law(tables, "capacity-gap", "--student", "3B", "--plot", tmp_path / "teacher.png")
    budget = ("--flops", "1e21", "--teachers", "3B@2.25,none")
    law(tables, "capacity-gap", "--student", "500M", *budget, "--plot", tmp_path / "budget.svg")
    assert (tmp_path / "teacher.png").read_bytes().startswith(b"\x89PNG")
    assert "3B@2.25" in (tmp_path / "budget.svg").read_text()
    assert "points" in (tmp_path / "fit.svg").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("capacity-gap",), "--student"),
        (("capacity-gap", "--student", "large"), "--student 'large': parameters above 0"),
        (
            ("capacity-gap", "--student", "3B", "--flops", "1e22"),
            "--flops and --teachers go together",
        ),
        (("capacity-gap", "--student", "3B", "--share", "4"), "--share goes with --flops"),
        (("capacity-gap", "--student", "3B", "--plot", "x.pdf"), "ends in .png or .svg"),
        (("capacity-gap", "--student", "3B", "--law", "zz"), "0 laws of this kind have such an id"),
        (
            ("capacity-gap", "--student", "3B", "--flops", "1e22", "--teachers", "7B"),
            "--teachers '7B': write SIZE@LOSS, such as 7B@2.1",
        ),
        (
            ("capacity-gap", "--student", "3B", "--flops", "1e22", "--teachers", "none,none"),
            "'none' is given twice",
        ),
        (
            (
                *("capacity-gap", "--student", "500M", "--flops", "1e22", "--law", "published"),
                *("--teachers", "7B@1.1,none"),
            ),
            "no model of that size reaches that loss: give its training tokens, 7B@1.1@300B",
        ),
        (
            (
                *("capacity-gap", "--student", "500M", "--flops", "1e22", "--share", "0"),
                *("--teachers", "none"),
            ),
            "--share '0': how many students share a teacher",
        ),
        (("fit", "BEST", "--form", "chinchila"), "Did you mean 'chinchilla'?"),
        (("fit", "BEST", "--form", "chinchilla"), "Name yours: --columns params=COLUMN"),
        (("fit", "BEST", "--form", "line", "--columns", "size=x"), "no field 'size'"),
        (("fit", "BEST", "--form", "line", "--columns", "x=a,x=b"), "gives a field twice"),
        (
            ("fit", "BEST", "--form", "capacity-gap", "--at", "student_params=3B,tokens=1T"),
            "--at: no field 'tokens'",
        ),
        (("fit", "BEST", "--form", "capacity-gap", "--at", "student_params=x"), "--at 'x'"),
        (("law",), "invalid choice: 'law'"),
    ],
)
def test_what_is_refused_is_refused_in_one_line(tables, words, message):
    words = [tables / "best.csv" if word == "BEST" else word for word in words]
    assert message in refusal(tables, *words)


def test_too_few_points_say_what_to_add(tables, tmp_path):
    (tmp_path / "two.csv").write_text("student_params,teacher_params\n1e8,2e8\n1e8,2.1e8\n")
    line = refusal(tables, "fit", tmp_path / "two.csv", "--form", "capacity-gap")
    assert "add 1 points more and 1 other values of student_params" in line
    one_size = "\n".join(f"1e8,{tokens:g},{loss}" for tokens, loss in zip(
        np.geomspace(1e9, 1e11, 9), np.linspace(4, 3, 9), strict=True
    ))  # fmt: skip
    (tmp_path / "one.csv").write_text(f"params,tokens,loss\n{one_size}\n")
    line = refusal(tables, "fit", tmp_path / "one.csv", "--form", "chinchilla")
    assert "add 2 other values of params" in line


def test_the_storage_may_stand_before_the_second_word(tables):
    done = command(
        tables / "nothing", "law", "--storage", tables / "kept", "capacity-gap", "--student", "500M"
    )
    assert done.returncode == 0, done.stderr
    both = command(tables, "law", "--json", "--storage", tables / "kept")
    assert len(json.loads(both.stdout)) == 2


def test_runs_that_say_themselves_what_their_student_reaches_alone(tables, tmp_path):
    rows = "\n".join(f"5e8,2e10,{t},{0.9 + 0.6 * t:g},2.45" for t in (1.9, 2.1, 2.3, 2.6, 2.8))
    header = "student_params,student_tokens,teacher_loss,student_loss"
    (tmp_path / "few.csv").write_text(f"{header},student_alone\n{rows}\n")
    fit = ("fit", tmp_path / "few.csv", "--form", "distillation", "--save", "--storage", tmp_path)
    assert law(tables, *fit, "--json")["form"] == "distillation+parameters=2"
    ask = ("capacity-gap", "--student", "500M", "--flops", "1e20", "--teachers", "7B@2.1,none")
    assert "too few runs without a teacher" in refusal(tables, *ask, "--storage", tmp_path)
    (tmp_path / "none.csv").write_text(f"{header}\n5e8,2e10,2.1,2.3\n5e8,2e10,2.2,2.4\n")
    line = refusal(tables, "fit", tmp_path / "none.csv", "--form", "distillation")
    assert "add some, or a column student_alone" in line


def test_a_law_below_0_has_no_teacher(tables):
    line = refusal(tables, "capacity-gap", "--student", "3.4M")
    assert "is below 0 for a student of 3.4M: it has no teacher there" in line
    near = law(tables, "capacity-gap", "--student", "6M", "--json")["answer"]["prediction"]
    assert near["interval"][0] >= 0


def test_what_a_reader_must_know_of_a_fit_is_told(tables, tmp_path):
    rows = "\n".join(f"{x},{0.4 + 2.3 * x**-0.055}" for x in 2.0 ** np.arange(9))
    (tmp_path / "unbroken.csv").write_text(f"x,y\n{rows}\n")
    words = ("fit", tmp_path / "unbroken.csv", "--form", "smooth-break")
    told = law(tables, *words, "--json")["warnings"]
    assert any("lies beyond the points" in sentence for sentence in told)
    jump = law(tables, *words[:3], "jump", "--json")
    assert 0 < jump["break_p_value"] <= 1
    assert "note               break, " in law(tables, *words)


def test_programs_get_what_the_text_says_of_the_ladder(tables):
    said = law(tables, "fit", tables / "distilled.csv", "--form", "distillation", "--json")
    assert len(said["other_rungs"]) == 3
    assert said["student_alone"]["form"] == "chinchilla"
    ask = ("capacity-gap", "--student", "500M", "--flops", "1e21", "--teachers", "7B@2.1@72B,none")
    assert [one["tokens"] for one in law(tables, *ask, "--json")["trained"]] == [72e9]
    (kept,) = [one for one in law(tables, "--json") if one["form"].startswith("distillation")]
    assert list(kept["parameters"]) == list(said["parameters"])  # as the covariance has them


def test_a_rung_that_is_named_keeps_what_the_student_reaches_alone(tables, tmp_path):
    fit = ("fit", tables / "distilled.csv", "--form", "distillation+parameters=3", "--save")
    law(tables, *fit, "--storage", tmp_path)
    ask = ("capacity-gap", "--student", "500M", "--flops", "1e21", "--teachers", "3B@2.25,none")
    assert "best" in law(tables, *ask, "--storage", tmp_path)


def test_below_what_a_teacher_costs_nobody_is_the_best_by_budget(tables):
    ask = ("capacity-gap", "--student", "500M", "--law", "published", "--teachers", "3B@2.25@1T")
    text = law(tables, *ask, "--flops", "1e20")
    assert "none can be paid" in text
    assert "3B@2.25@1T from 1.8e22 to 1e23 FLOPs" in text
    assert "none can be paid up to 1e21 FLOPs" in law(tables, *ask, "--flops", "1e18")
