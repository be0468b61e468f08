"""The cells of `sweeps/capacity_gap.py`: which teacher for which student (METHOD 8)."""

import dataclasses
import runpy
from pathlib import Path

import pytest

from raydistill.core.errors import UsageError
from raydistill.core.units import B
from raydistill.planning.artifacts import Artifacts
from raydistill.planning.cell import compares_teachers
from raydistill.planning.custom_model import CustomModel, scale_of
from raydistill.planning.preview.columns import cell_fields
from raydistill.planning.resolve import distinct, resolve
from raydistill.planning.sweep import Sweep
from raydistill.specs.flops import paper_flops, parameters
from raydistill.specs.locations import NONE
from raydistill.specs.scale import load_scale
from raydistill.specs.trial import CUT, FROM_BASE, OWN, CutBase, DropPlan, PretrainedBase
from support.hub_models import save_model

FILE = Path(__file__).parents[2] / "sweeps" / "capacity_gap.py"
MISSING = Artifacts(corpora={}, bases={}, layer_choices={})
SMALL, LARGE = "smoke_family", "smoke_family+width=32"
ANCHOR, SAME = (NONE, "own", "lm"), (f"{SMALL}@320B", "own", "kd")


@pytest.fixture(scope="module")
def sweep():
    return runpy.run_path(str(FILE))["sweep"]


def cells_of(sweep, scale="smoke", **chosen):
    cells = sweep.cells(load_scale(scale), {"size": (SMALL,), "seed": (1,), **chosen})
    return {tuple(cell.values[a] for a in ("teacher", "start", "loss")): cell for cell in cells}


def flops(cell):
    scale, teacher = cell.scale, cell.teacher
    teachers = () if cell.request.loss == "lm" else (teacher.scale.model,)
    return paper_flops(scale.model, DropPlan(), scale.recipe(cell.request), teachers)


def test_a_student_starts_from_one_base_whoever_teaches(sweep):
    own = [cell for key, cell in cells_of(sweep).items() if key[1:] == ("own", "kd")]
    names = {f"{SMALL}@80B", f"{SMALL}@320B", f"{LARGE}@320B"}
    assert {cell.teacher.name for cell in own} == names
    assert {(cell.base.name, cell.request.start) for cell in own} == {(f"{SMALL}@320B", FROM_BASE)}
    assert {(cell.request.location, cell.request.count) for cell in own} == {(NONE, 0)}


def test_the_anchors_have_no_teacher_and_as_many_tokens_or_as_many_flops(sweep):
    cells = cells_of(sweep)
    assert cells[ANCHOR].request.budget == cells[SAME].request.budget
    for size, times in ((SMALL, 4 / 3), (LARGE, None)):
        taught, alone = (cells[f"{size}@320B", "own", loss] for loss in ("kd", "lm"))
        assert (alone.request.loss, alone.request.teacher) == ("lm", OWN)
        assert flops(alone) == pytest.approx(flops(taught), rel=0.05)  # whole steps
        student, teacher = (parameters(of.scale.model) for of in (taught, taught.teacher))
        longer = alone.request.budget / taught.request.budget
        assert longer == pytest.approx(times or 1 + teacher / (3 * student))


def test_a_student_is_cut_from_teachers_that_are_not_smaller(sweep):
    def sources(size):
        cells = cells_of(sweep, size=(size,), teacher=(f"{SMALL}@80B", f"{LARGE}@320B"))
        return {key[0]: resolve(cell, MISSING).base for key, cell in cells.items() if key[1] == CUT}

    small, large = sources(SMALL), sources(LARGE)
    assert small.keys() == {f"{SMALL}@80B", f"{LARGE}@320B"}
    assert large.keys() == {f"{LARGE}@320B"}
    whole, cut = small[f"{SMALL}@80B"], small[f"{LARGE}@320B"]
    assert isinstance(whole, PretrainedBase)  # its own size is the teacher as it is
    assert whole.age_tokens == load_scale(SMALL).age_tokens(80 * B)
    assert isinstance(cut, CutBase)
    assert (cut.base.model, cut.model) == (load_scale(LARGE).model, load_scale(SMALL).model)


def test_a_cut_is_healed_by_the_recipe_of_trials_and_waits_for_its_teacher(sweep):
    cells = cells_of(sweep)
    own, cut = (cells[f"{LARGE}@320B", start, "kd"] for start in ("own", CUT))
    assert own.scale.recipe(own.request) == cut.scale.recipe(cut.request)
    (planned,) = distinct([cut], MISSING)
    assert (planned.has_final_id, planned.id_after) == (False, "after pretraining")


def test_a_cut_without_a_teacher_or_from_a_checkpoint_of_the_hub_is_refused(sweep, tmp_path):
    cell = cells_of(sweep)[ANCHOR]
    alone = dataclasses.replace(cell, request=dataclasses.replace(cell.request, start=CUT))
    with pytest.raises(UsageError, match="a loss without a teacher has nothing to cut from"):
        resolve(alone, MISSING)
    model = str(save_model(tmp_path / "mine"))
    scale = scale_of(CustomModel(name=model, revisions=()), load_scale("smoke"))
    assert CUT not in {
        cell.values["start"] for cell in sweep.cells(scale, sized=lambda name: scale)
    }
    with pytest.raises(UsageError, match="only models of family palm are cut in width"):
        sweep.cells(scale, {"start": (CUT,)}, sized=lambda name: scale)


def test_other_starts_have_the_oldest_teacher_of_each_size(sweep):
    scratch = {key for key in cells_of(sweep) if key[1] == "scratch"}
    assert scratch == {
        (NONE, "scratch", "lm"),
        (f"{SMALL}@320B", "scratch", "kd"),
        (f"{LARGE}@320B", "scratch", "kd"),
    }


@pytest.mark.parametrize("scale", ["laptop", "smoke", "paper_1b"])
def test_every_size_has_a_teacher_of_its_own_size_at_the_age_of_its_base(sweep, scale):
    cells = sweep.cells(load_scale(scale))
    sizes = {cell.scale.name for cell in cells}
    same = {c.scale.name for c in cells if c.values["teacher"] == c.base.name}
    assert len(sizes) >= 2
    assert same >= sizes - {"smoke_family+width=8"}


def test_the_plan_names_an_anchor_by_the_teacher_whose_flops_it_has(sweep):
    fields = cell_fields(cells_of(sweep)[f"{LARGE}@320B", "own", "lm"])
    shown = {name: fields[name] for name in ("size", "teacher", "start", "loss")}
    assert shown == {"size": SMALL, "teacher": f"{LARGE}@320B", "start": "own", "loss": "lm"}


def test_a_teacher_or_a_start_that_is_not_there_is_refused(sweep):
    with pytest.raises(UsageError, match="--start 'cold': one of own, "):
        cells_of(sweep, start=("cold",))
    with pytest.raises(UsageError, match="no teacher 'huge'"):
        cells_of(sweep, teacher=("huge",))


def test_a_sweep_compares_teachers_if_it_varies_them_and_not_what_is_removed():
    assert compares_teachers({"size": SMALL, "teacher": NONE})
    assert not compares_teachers({"teacher": f"{SMALL}@80B", "location": NONE})
    assert not compares_teachers({"size": SMALL})


def test_equal_flops_are_those_of_the_teacher_that_an_axis_names():
    def trial(scale, teacher):
        return scale.trial(age=scale.ages[-1], location=NONE, count=0, share=scale.kd_share(0))

    axes = {"teacher": (NONE, f"{LARGE}@80B")}
    own, large = Sweep(name="some", question="?", axes=axes, trial=trial).cells(load_scale(SMALL))
    assert own.request.budget == round(0.75 * own.scale.budget)
    assert large.request.budget < own.request.budget
