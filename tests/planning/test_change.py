"""An ablation: cells that change one thing of a point each."""

import pytest

from raydistill.core.errors import UsageError
from raydistill.planning.axes.change import changed
from raydistill.specs.scale import load_scale
from support import trained_here

LAPTOP = load_scale("laptop")
RECIPE = LAPTOP.heal


def cells(tmp_path, *words):
    return trained_here.plan(tmp_path, *words, "--seed", "1", script="ablate").cells


def recipes(tmp_path, *words):
    return {
        str(cell.values["change"]): cell.scale.recipe(cell.request)
        for cell in cells(tmp_path, *words)
    }


@pytest.mark.parametrize(
    ("change", "arguments"),
    [
        ("point", {}),
        ("lr=3e-4", {"lr": 3e-4}),
        ("peak_lr*0.5", {"peak_lr": RECIPE.peak_lr / 2}),
        ("warmup_tokens*0.51", {"warmup_tokens": 10 * RECIPE.batch_tokens}),
        ("batch_tokens*0.5", {"batch_tokens": RECIPE.batch_tokens // 2}),
        ("schedule=wsd", {"schedule": "wsd"}),
        ("gap=1B", {"gap": 10**9}),
        ("count=6", {"count": 6}),
        ("location=1,2,5-8", {"location": "1,2,5-8"}),
        ("loss=kd+temperature=2", {"loss": "kd+temperature=2"}),
    ],
)
def test_a_change_is_a_field_and_its_value_or_a_factor(change, arguments):
    assert changed(LAPTOP, change) == arguments


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("lrr=1", "no field to change 'lrr'. Did you mean 'lr'?"),
        ("lr", "change 'lr': write field=value"),
        ("lr*fast", "change 'lr*fast': write field=value"),
        ("lr*nan", "change 'lr*nan': write field=value"),
        ("lr*inf", "change 'lr*inf': write field=value"),
        ("schedule*2", "change 'schedule*2': write field=value"),
        ("lr=fast", "lr=fast: it must be a number"),
        ("budget_tokens=1", "no field to change 'budget_tokens'"),
    ],
)
def test_what_is_no_change_is_refused(change, message):
    with pytest.raises(UsageError) as error:
        changed(LAPTOP, change)
    assert str(error.value).startswith(message)


def test_every_cell_of_the_sweep_differs_from_the_point_in_one_thing(tmp_path):
    point, *others = cells(tmp_path, "--change", "all")
    assert point.values["change"] == "point"
    assert len(others) >= 10
    for cell in others:
        pairs = [
            (point.scale.recipe(point.request), cell.scale.recipe(cell.request)),
            (point.request.gap, cell.request.gap),
            (point.request.loss, cell.request.loss),
            (point.request.location, cell.request.location),
        ]
        assert sum(one != other for one, other in pairs) == 1


def test_set_names_the_changes_and_around_the_point(tmp_path):
    around = ("--around", "lr=2e-3,weight_decay=0", "--set", "lr=1e-3,4e-3", "--set", "beta2=0.9")
    of_change = recipes(tmp_path, *around)
    assert list(of_change) == ["point", "lr=1e-3", "lr=4e-3", "beta2=0.9"]
    assert [recipe.peak_lr for recipe in of_change.values()] == [2e-3, 1e-3, 4e-3, 2e-3]
    assert [recipe.beta2 for recipe in of_change.values()] == [0.95, 0.95, 0.95, 0.9]
    assert {recipe.weight_decay for recipe in of_change.values()} == {0.0}


def test_factors_are_of_the_point(tmp_path):
    of_change = recipes(tmp_path, "--around", "lr=2e-3", "--change", "point,lr*2")
    assert [recipe.peak_lr for recipe in of_change.values()] == [2e-3, 4e-3]


def test_the_point_may_be_another_cell_too(tmp_path):
    around = ("--around", "location=1,2,loss=kd,count=2", "--set", "gap=1B", "--set", "loss=lm")
    found = cells(tmp_path, *around)
    assert [cell.request.loss for cell in found] == ["kd", "kd", "lm"]
    assert [cell.request.gap for cell in found] == [0, 10**9, 0]
    assert {cell.request.location for cell in found} == {"1,2"}


def test_values_say_what_is_run(tmp_path):
    point, other = cells(tmp_path, "--set", "location=output")
    assert point.values["location"] == "input"
    assert other.values["location"] == "output"


def test_a_point_has_one_value_of_each_field(tmp_path):
    with pytest.raises(UsageError, match="--around lr=1e-3,2e-3: a point has one value"):
        recipes(tmp_path, "--around", "lr=1e-3,2e-3,location=1,2")
    with pytest.raises(UsageError, match="--around lr=2e-3: a point has one value"):
        recipes(tmp_path, "--around", "lr=1e-3,lr=2e-3")
    with pytest.raises(UsageError, match="--around peak_lr=2e-3: a point has one value"):
        recipes(tmp_path, "--around", "lr=1e-3", "--around", "peak_lr=2e-3")


def test_around_belongs_to_an_ablation(tmp_path):
    with pytest.raises(UsageError, match="unknown flag or argument '--around'"):
        trained_here.plan(tmp_path, "--around", "lr=1e-3")
