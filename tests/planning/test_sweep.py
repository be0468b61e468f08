"""From a question and its axes to cells."""

import logging
import re
import runpy
from pathlib import Path

import pytest

from raydistill.core.errors import UsageError
from raydistill.core.units import B
from raydistill.planning.artifacts import Artifacts
from raydistill.planning.cell import axes_of
from raydistill.planning.preview.columns import cell_fields
from raydistill.planning.resolve import distinct
from raydistill.planning.sweep import Sweep
from raydistill.specs.locations import LOCATIONS, NONE, RANDOM_LOCATIONS
from raydistill.specs.scale import load_scale, scale_names

SMOKE = load_scale("smoke")
SWEEPS = sorted((Path(__file__).parents[2] / "sweeps").glob("*.py"))
OF_SIZES = "family|reduced|honey"  # scales of few blocks, for sweeps over sizes


def trial(scale, location, count):
    return scale.trial(age=80 * B, location=location, count=count) if count < 4 else None


def a_sweep(**changes):
    axes = {"location": ("input", "output"), "count": (1, 2, 4)}
    return Sweep(**{"name": "some", "question": "Which?", "axes": axes, "trial": trial} | changes)


def values_of(cells):
    return [(*cell.values.values(),) for cell in cells]


def test_cells_are_the_product_of_the_axes_without_those_that_cannot_be():
    cells = a_sweep().cells(SMOKE)
    assert values_of(cells) == [("input", 1), ("input", 2), ("output", 1), ("output", 2)]
    assert [cell.request.count for cell in cells] == [1, 2, 1, 2]


def test_chosen_values_stand_in_for_an_axis():
    cells = a_sweep().cells(SMOKE, {"location": ("middle",), "count": (3,)})
    assert values_of(cells) == [("middle", 3)]


def test_a_field_that_is_no_axis_is_fixed_for_every_cell():
    cells = a_sweep().cells(SMOKE, {"age": (320 * B,), "gap": (1 * B,)})
    assert {cell.request.age for cell in cells} == {320 * B}
    assert {cell.request.gap for cell in cells} == {1 * B}
    assert all("age" not in cell.values for cell in cells)


def test_several_values_of_any_field_are_an_axis_behind_the_sweeps_own():
    one = {"location": ("input",), "count": (1,)}
    cells = a_sweep().cells(SMOKE, {**one, "gap": (0, 1 * B), "weight_decay": (0, 0.1)})
    assert [cell.values for cell in cells] == [
        {"location": "input", "count": 1, "gap": gap, "weight_decay": decay}
        for gap in (0, 1 * B)
        for decay in (0, 0.1)
    ]
    recipes = [cell.scale.recipe(cell.request) for cell in cells]
    assert [recipe.weight_decay for recipe in recipes] == [0.0, 0.1] * 2
    assert [cell.request.gap for cell in cells] == [0, 0, 1 * B, 1 * B]
    assert axes_of(("location", "count"), cells) == ("location", "count", "gap", "weight_decay")


def test_a_budget_as_an_axis_is_the_scales_so_an_arm_keeps_its_share():
    def half(scale, location):
        return scale.trial(age=80 * B, location=location, count=1, share=0.5)

    sweep = a_sweep(axes={"location": ("input",)}, trial=half)
    cells = sweep.cells(SMOKE, {"budget": (10 * B, 20 * B)})
    assert [(cell.request.budget, cell.scale.budget) for cell in cells] == [
        (5 * B, 10 * B),
        (10 * B, 20 * B),
    ]


def test_fields_of_the_recipe_are_axes_of_a_sweep_by_their_names():
    def trial(scale, location, lr, optimizer):
        return scale.trial(age=80 * B, location=location, count=1, lr=lr, optimizer=optimizer)

    axes = {"location": ("input",), "lr": (1e-4, 3e-4), "optimizer": ("lion", "adamw")}
    sweep = a_sweep(axes=axes, trial=trial)
    recipes = [cell.scale.recipe(cell.request) for cell in sweep.cells(SMOKE)]
    assert [(recipe.peak_lr, recipe.optimizer) for recipe in recipes] == [
        *((1e-4, "lion"), (1e-4, "adamw"), (3e-4, "lion"), (3e-4, "adamw")),
    ]
    assert values_of(sweep.cells(SMOKE, {"lr": (1.0,), "optimizer": ("lion",)})) == [
        ("input", 1, "lion")
    ]
    with pytest.raises(UsageError, match="lr is '1e-4': it must be a number, above 0"):
        a_sweep(axes={**axes, "lr": ("1e-4",)}, trial=trial)


def test_what_a_trial_function_gives_itself_goes_before_a_flag():
    def trial(scale, location):
        return scale.trial(age=80 * B, location=location, count=1, lr=2 * scale.heal.peak_lr)

    cells = a_sweep(axes={"location": ("input",)}, trial=trial).cells(SMOKE, {"lr": (0.1, 0.2)})
    assert [cell.scale.recipe(cell.request).peak_lr for cell in cells] == [0.2, 0.4]


def test_a_recipe_that_is_an_axis_is_that_of_healing():
    """From scratch a trial has the recipe of a base, as with `--set` of one value."""

    def trial(scale, location, start):
        return scale.trial(age=80 * B, location=location, count=1, start=start)

    axes = {"location": ("input",), "start": ("base", "scratch")}
    cells = a_sweep(axes=axes, trial=trial).cells(SMOKE, {"weight_decay": (0.1, 0.2)})
    decays = [cell.scale.recipe(cell.request).weight_decay for cell in cells]
    assert decays == [0.1, 0.2, SMOKE.pretrain.weight_decay, SMOKE.pretrain.weight_decay]


def test_a_budget_of_nothing_has_no_recipe():
    def trial(scale, location):
        return scale.trial(age=80 * B, location=location, count=1, share=0)

    settings = {"weight_decay": (0.1, 0.2), "lr": (0.1,)}
    cells = a_sweep(axes={"location": ("input",)}, trial=trial).cells(SMOKE, settings)
    assert cells[0].request == cells[1].request


def test_settings_of_a_loss_are_axes_where_they_are_named():
    axes = {"location": ("input",), "count": (1,)}
    losses = ("lm", "kd+temperature=1", "kd+hidden=0.5+temperature=2.0")
    cells = a_sweep(axes=axes).cells(SMOKE, {"loss": losses, "temperature": (1, 2)})
    assert [{**cell.values} for cell in cells] == [
        {"location": "input", "count": 1, "loss": "lm"},
        {"location": "input", "count": 1, "loss": "kd", "temperature": 1},
        {"location": "input", "count": 1, "loss": "kd+hidden=0.5", "temperature": 2},
    ]
    assert [cell.request.loss for cell in cells][1:] == [
        "kd",
        "kd+hidden=0.5+temperature=2",
    ]
    (one, two) = a_sweep(axes=axes).cells(
        SMOKE, {"loss": ("kd+temperature=1", "kd+temperature=2"), "temperature": (1, 2)}
    )
    assert (one.values, two.values["temperature"]) == (
        {"location": "input", "count": 1, "temperature": 1},
        2,
    )


def test_a_default_that_a_loss_writes_out_is_the_same_loss():
    chosen = {"location": ("input",), "count": (1,)}
    losses = ("kd", "kd+temperature=1.0", "kd+lm=1", "kd+hidden=0")
    cells = a_sweep().cells(SMOKE, {**chosen, "loss": losses})
    assert [cell.values["loss"] for cell in cells] == list(losses)
    assert {cell.request.loss for cell in cells} == {"kd"}
    temperatures = {"loss": ("kd+temperature=1", "kd+temperature=2"), "temperature": (1, 2)}
    columns = [cell_fields(cell) for cell in a_sweep().cells(SMOKE, {**chosen, **temperatures})]
    assert [(of["loss"], of["temperature"]) for of in columns] == [("kd", 1), ("kd", 2)]


def test_a_scale_may_have_a_union_of_small_grids_of_its_own():
    grids = (
        {"location": ("input",), "count": (1, 2)},
        {"location": ("input", "output"), "count": (1,)},
    )
    sweep = a_sweep(at={"smoke": grids})
    assert values_of(sweep.cells(SMOKE)) == [("input", 1), ("input", 2), ("output", 1)]
    assert len(sweep.cells(load_scale("laptop"))) == 4
    assert values_of(sweep.cells(SMOKE, {"count": (3,)})) == [("input", 3), ("output", 3)]


def test_ages_ascend_in_a_plan_whatever_was_named_first():
    def of_age(scale, age, location):
        return scale.trial(age=age, location=location, count=1)

    ages = {"age": (320 * B, 80 * B)}
    planned = a_sweep(axes={**ages, "location": ("input", "output")}, trial=of_age).cells(SMOKE)
    assert [cell.request.age for cell in planned] == [80 * B, 80 * B, 320 * B, 320 * B]
    union = tuple({"age": (age,), "location": ("input",)} for age in (320 * B, 80 * B))
    joined = a_sweep(axes={**ages, "location": ("input",)}, at={"smoke": union}, trial=of_age)
    assert [cell.request.age for cell in joined.cells(SMOKE)] == [80 * B, 320 * B]


def test_nothing_leaves_at_none_whatever_the_count():
    cells = a_sweep().cells(SMOKE, {"location": ("none",), "gap": (1 * B,)})
    assert {(cell.request.count, cell.request.gap) for cell in cells} == {(0, 0)}


def test_a_list_of_layers_has_its_own_count():
    assert a_sweep().cells(SMOKE, {"location": ("1,3-4",), "count": (3,)})
    with pytest.raises(UsageError, match="leave one of them out"):
        a_sweep().cells(SMOKE, {"location": ("1,3-4",), "count": (2,)})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "../up"}, "sweep name '../up'"),
        ({"name": "-rf"}, "sweep name '-rf'"),
        ({"axes": {"location": ("input",)}}, "takes scale, location, count, but its axes ask"),
        ({"axes": {"location": (), "count": (1,)}}, "axis 'location' is empty"),
        ({"at": {"labtop": ()}}, "Did you mean 'laptop'"),
        ({"at": {"smoke": ({"locatoin": ("input",)},)}}, "Did you mean 'location'"),
        ({"at": {"smoke": ({"location": ("input",)},)}}, "axis 'count' is empty"),
    ],
)
def test_a_sweep_is_checked_where_it_is_made(changes, message):
    with pytest.raises(UsageError, match=message):
        a_sweep(**changes)


def test_equal_values_are_taken_once_and_that_is_said(caplog):
    with caplog.at_level(logging.WARNING):
        cells = a_sweep().cells(SMOKE, {"count": (1, 1.0, 2)})
    assert len(cells) == 4
    assert "axis 'count' repeats 1" in caplog.text


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"lr": ("fast",)}, "lr is 'fast': it must be a number, above 0 and finite"),
        ({"batch_tokens": (64.5,)}, "batch_tokens is 64.5: it must be a whole number"),
        ({"gap": ("2",)}, "TrialRequest.gap is '2', of type str: it takes a whole number"),
        ({"lcation": ("input",)}, "Did you mean 'location'"),
        ({"loss": ("lmm",)}, "no loss 'lmm'. Did you mean 'lm'"),
    ],
)
def test_values_that_cannot_be_chosen_are_refused(chosen, message):
    with pytest.raises(UsageError, match=message):
        a_sweep().cells(SMOKE, chosen)


def test_ten_thousand_cells_need_a_yes():
    many = {"location": tuple(f"random-{i}" for i in range(2501)), "count": (1, 2, 3, 4)}
    with pytest.raises(UsageError, match="10,004 cells"):
        a_sweep().cells(SMOKE, many)
    assert len(a_sweep().cells(SMOKE, many, allow_many=True)) == 7503


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
@pytest.mark.parametrize("scale", [s for s in scale_names() if not re.search(OF_SIZES, s)])
def test_every_cell_of_every_sweep_plans_at_every_scale(path, scale):
    """Before any stage: every base is still to be made, every score still to be read."""
    cells = (sweep := runpy.run_path(str(path))["sweep"]).cells(load_scale(scale))
    assert sweep.name == path.stem
    planned = distinct(cells, Artifacts(corpora={}, bases={}, layer_choices={}))
    assert sum(len(trial.cells) for trial in planned) == len(cells) > 0


def test_every_cell_is_asked_once_a_seed():
    cells = a_sweep().cells(SMOKE, {"location": ("none", "input"), "seed": (1, 2)})
    assert [cell.request.seed for cell in cells] == [1, 2] * 4
    assert cells[0].values == {"location": "none", "count": 1, "seed": 1}


def test_what_draws_no_data_has_no_seed():
    cells = runpy.run_path(str(SWEEPS[0].with_name("teacher_free_vs_kd.py")))["sweep"].cells(SMOKE)
    seeds = {}
    for cell in cells:
        seeds.setdefault(cell.values["arm"], []).append(cell.request.seed)
    once = {"base", "one-shot", "scratch-with-age"}
    assert {arm for arm, drawn in seeds.items() if drawn == [1]} == once
    assert {tuple(drawn) for arm, drawn in seeds.items() if arm not in once} == {(1, 2, 3)}


def test_a_size_is_the_scale_of_that_name():
    def trial(scale, size, count):
        return scale.trial(age=80 * B, location="input", count=count)

    sizes = {"size": ("smoke", "smoke_small"), "count": (1,)}
    cells = a_sweep(axes=sizes, trial=trial).cells(SMOKE)
    assert [cell.scale.name for cell in cells] == ["smoke", "smoke_small"]
    assert [cell.base.key for cell in cells] == [("smoke", 80 * B), ("smoke_small", 80 * B)]


@pytest.mark.parametrize(
    ("loss", "canonical"),
    [
        ("kd+temperature=2.0", "kd+temperature=2"),
        ("kd+temperature=2+kl=.5", "kd+kl=0.5+temperature=2"),
    ],
)
def test_a_loss_has_one_name(loss, canonical):
    (cell,) = a_sweep().cells(SMOKE, {"location": ("input",), "count": (1,), "loss": (loss,)})
    assert cell.request.loss == canonical


def test_where_to_drop_asks_for_table_5_in_the_papers_numbers():
    sweep = runpy.run_path(str(SWEEPS[0].with_name("where_to_drop.py")))["sweep"]
    paper = sweep.cells(load_scale("paper_300m"))
    assert {cell.request.age for cell in paper} == {80 * B, 320 * B}
    locations = {NONE, *LOCATIONS, "block-influence", *RANDOM_LOCATIONS}
    assert {cell.request.location for cell in paper} == locations
    assert {cell.request.count for cell in paper} == {0, 8}
    large = sweep.cells(load_scale("paper_1b"))
    assert {(cell.request.age, cell.request.count) for cell in large} == {
        (160 * B, 0),
        (160 * B, 12),
    }
