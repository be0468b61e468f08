"""Which control a cell is compared with: MLflow, table, a report from MLflow and card agree."""

import dataclasses
import shutil

import pytest

from raydistill.core.units import B
from raydistill.driver.tracking_snapshot import for_tracker
from raydistill.planning.history.state import read_state
from raydistill.reports.results.controls import control_key
from raydistill.specs.locations import NONE
from raydistill.specs.results import NoControl
from raydistill.specs.trial import ExternalBase
from support.compared import Storage
from support.reported import cell as made_up

LATE = ("--age", "320B")


@pytest.fixture
def storage(tmp_path, migrated):
    shutil.copy(migrated, tmp_path)
    return Storage(tmp_path)


def recipe_of(sample, **changes):
    recipe = dataclasses.replace(sample.train.recipe, **changes)
    return dataclasses.replace(sample, train=dataclasses.replace(sample.train, recipe=recipe))


CELL, CONTROL = made_up("input"), made_up("none")
ARM = dataclasses.replace(CELL, values={**CELL.values, "arm": "teacher-free"})
PROBED = dataclasses.replace(CELL, probed=True)


@pytest.mark.parametrize(
    ("cell", "control", "is_one"),
    [
        (CELL, CONTROL, True),
        (CELL, recipe_of(CONTROL, budget_tokens=640_000), False),
        (ARM, recipe_of(CONTROL, budget_tokens=640_000), True),  # by design
        (CELL, recipe_of(CONTROL, peak_lr=1.0), False),
        (PROBED, recipe_of(CONTROL, peak_lr=1.0), False),
        (PROBED, dataclasses.replace(recipe_of(CONTROL, peak_lr=1.0), probed=True), True),
        (CELL, dataclasses.replace(recipe_of(CONTROL, peak_lr=1.0), probed=True), False),
        (CELL, dataclasses.replace(CONTROL, scale="smoke"), False),
        (CELL, dataclasses.replace(CONTROL, age=80 * B), False),
        (recipe_of(CELL, budget_tokens=0), CONTROL, False),
        (recipe_of(ARM, budget_tokens=0), recipe_of(CONTROL, peak_lr=1.0), True),
        (dataclasses.replace(ARM, start="scratch"), recipe_of(CONTROL, peak_lr=1.0), True),
        (recipe_of(ARM, peak_lr=1.0), CONTROL, False),
    ],
)
def test_a_control_has_the_schedule_of_its_cell(cell, control, is_one):
    assert (control_key(cell, control) is not None) == is_one


def test_of_controls_of_other_lengths_the_longer_and_nearer_count():
    lengths = (100_352, 258_048, 380_928, 819_200)  # of the cell: 319,488
    controls = [recipe_of(CONTROL, budget_tokens=tokens) for tokens in lengths]
    keys = [control_key(ARM, control) for control in controls]
    assert [keys.index(key) for key in sorted(keys)] == [2, 3, 1, 0]


def same(one, other):
    assert one.keys() == other.keys()
    assert {k: v and round(v, 9) for k, v in one.items()} == {
        k: v and round(v, 9) for k, v in other.items()
    }


def assert_all_agree(storage):
    """Returns what all have, by trial."""
    mlflow, table = storage.mlflow(), storage.table()
    same(table, {trial: mlflow[trial] for trial in table})
    cards = storage.cards()
    same(cards, {trial: mlflow[trial] for trial in cards})
    whole, filtered = storage.tables_from_mlflow("", "tags.role = 'cell'")
    same(whole, table)
    same(filtered, {trial: table[trial] for trial in filtered})
    return mlflow


def is_control(cell):
    return cell.request.location == NONE and cell.request.budget > 0


TEACHERS = ("--size", "smoke", "--teacher", "none,smoke@80B,smoke@320B,smoke_small@320B")
SEARCHED = ("--location", "none,input", "--count", "1", "--gap", "0", "--trials", "99")
SWEEPS = {
    "where": ("where_to_drop",),
    "where, probed": ("where_to_drop", "--lr-probe"),
    "where, with a teacher": ("where_to_drop", "--loss", "kd"),
    "where, with both": ("where_to_drop", *LATE, "--loss", "kd", "--reference", "smoke_small@320B"),
    "when": ("when_to_drop",),
    "how many": ("how_many_to_drop",),
    "arms": ("teacher_free_vs_kd", "--seed", "1"),
    "arms, probed": ("teacher_free_vs_kd", "--seed", "1", "--lr-probe"),
    "arms, nothing removed": ("teacher_free_vs_kd", "--seed", "1", "--location", "none"),
    "teachers": ("capacity_gap", *TEACHERS),
    "search": ("search", *SEARCHED, "--lr_factor", "0.5,1"),
    "axes of a recipe": (
        "where_to_drop", *LATE, "--location", "none,input",
        "--set", "lr=1e-4,3e-4", "--set", "weight_decay=0,0.1",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SWEEPS)
def test_every_cell_of_every_sweep_has_one_control(name, storage):
    losses = assert_all_agree(storage.run(*SWEEPS[name]))
    assert losses
    assert None not in losses.values()


def test_a_student_of_a_teacher_is_no_control(storage):
    """Its control is the student on as many tokens without one; the longer anchors are not."""
    storage.run("capacity_gap", *TEACHERS)
    cells = storage.tracked.cells
    roles = {(c.values["start"], c.spec.train.loss, c.role) for c in cells}
    assert {role for start, loss, role in roles if loss == "kd"} == {"taught"}
    assert ("own", "lm", "control") in roles
    for spec, control in storage.controls():
        assert control.train.loss == "lm"
        if spec.train.loss == "kd":
            assert control.train.recipe.budget_tokens == 8192


def test_the_base_that_its_own_teaches_is_a_control_where_layers_leave(storage):
    storage.run("where_to_drop", *LATE, "--loss", "kd", "--teacher", "80B,320B")
    roles = {c.role for c in storage.tracked.cells if c.values["location"] == NONE}
    assert roles == {"control"}


def test_what_no_seed_changes_is_compared_with_every_seed_of_the_control_in_a_table(storage):
    """MLflow and the card, which know one run, take the first of them."""
    storage.run("teacher_free_vs_kd", "--seed", "2,3", "--arm", "control,one-shot,teacher-free")
    first = {
        spec.trial_id: control.train.seed == 2
        for spec, control in storage.controls()
        if not spec.train.recipe.budget_tokens or control.train.seed == spec.train.seed
    }
    assert len(first) == len(storage.controls())
    mlflow, table, cards = storage.mlflow(), storage.table(), storage.cards()
    same(cards, {trial: mlflow[trial] for trial in cards})
    (one_shot,) = {s.trial_id for s, _ in storage.controls() if not s.train.recipe.budget_tokens}
    assert first[one_shot]
    taught = cards.keys() - {one_shot}
    assert {table[trial] for trial in taught} == {sum(mlflow[trial] for trial in taught) / 2}
    controls = [c.outcome.result.after.nll for c in storage.tracked.cells if c.role == "control"]
    apart = max(controls) - min(controls)
    assert table[one_shot] == pytest.approx(mlflow[one_shot] - apart / 2)


def test_a_control_that_has_not_finished_is_none(storage):
    storage.run("where_to_drop", *LATE, without=is_control)
    assert set(assert_all_agree(storage).values()) == {None}


def test_a_seed_whose_control_has_not_finished_has_none(storage):
    seeds = ("--seed", "1,2")
    storage.run(
        "where_to_drop", *LATE, *seeds, without=lambda c: is_control(c) and c.request.seed == 2
    )
    assert {
        (spec.train.seed, control and control.train.seed) for spec, control in storage.controls()
    } == {(1, 1), (2, None)}
    mlflow, cards = storage.mlflow(), storage.cards()
    same(cards, {trial: mlflow[trial] for trial in cards})
    table = storage.table()  # of both seeds, on the one that the control has
    assert all(mlflow[trial] in (table[trial], None) for trial in table)


@pytest.mark.parametrize("other", [("--set", "lr=1e-4"), ("--budget", "40B")])
@pytest.mark.parametrize("script", ["where_to_drop", "teacher_free_vs_kd"])
def test_two_recipes_have_a_control_each(script, other, storage):
    flags = (script, *LATE, "--seed", "1")
    storage.run(*flags).run(*flags, *other)
    pairs = [
        (spec.train.recipe, control.train.recipe)
        for spec, control in storage.controls()
        if isinstance(spec.base, ExternalBase) and spec.train.recipe.budget_tokens
    ]
    assert len({control for _, control in pairs}) == 2
    assert all(own.peak_lr == control.peak_lr for own, control in pairs)
    longer = [own.budget_tokens / control.budget_tokens for own, control in pairs]
    assert all(0.5 < share <= 1 for share in longer)  # less at equal FLOPs


def test_the_control_without_a_teacher_stands_for_all_losses(storage):
    storage.run("where_to_drop", *LATE, "--loss", "kd").run("where_to_drop", *LATE)
    assert {control.train.loss for _, control in storage.controls()} == {"lm"}
    assert_all_agree(storage)


def test_a_rate_that_a_flag_sets_needs_a_control_at_that_rate(storage):
    """One that was probed does not: it is each arm's own (METHOD 7)."""
    flags = ("search", *SEARCHED, "--loss", "lm", "--lr_factor", "0.5,1,2")
    storage.run(*flags, without=lambda c: is_control(c) and c.request.peak_lr != "scale")
    assert_all_agree(storage)
    peaks = {(spec.train.recipe.peak_lr, control is None) for spec, control in storage.controls()}
    assert peaks == {(5e-4, True), (1e-3, False), (2e-3, True)}


def test_a_control_that_was_trained_before_the_rates_were_probed_still_is_one(storage):
    storage.run("where_to_drop", *LATE, "--location", "none", "--set", "lr=5e-4")
    storage.run("where_to_drop", *LATE, "--location", "input", "--lr-probe")
    assert None not in assert_all_agree(storage).values()


@pytest.mark.parametrize("script", ["where_to_drop", "when_to_drop"])
def test_a_student_trained_elsewhere_has_the_control_of_its_base(script, storage):
    storage.run(script, *LATE, "--seed", "2").add(lambda cell: cell.request.location == "input")
    losses = assert_all_agree(storage)
    assert None not in losses.values()


def test_weights_of_another_base_have_no_control_here(storage):
    storage.run("where_to_drop", *LATE)
    record = storage.record
    other = [
        dataclasses.replace(requested, base_sha256=f"{80 * B:064d}")
        for requested in record.cells
        if not is_control(requested.cell)
    ]
    state = read_state(dataclasses.replace(record, cells=(*record.cells, *other)), storage.store)
    tracked = for_tracker(state, command="", running=False, environment={}, files={})
    assert [isinstance(cell.control, NoControl) for cell in tracked.cells] == [
        *[False] * len(record.cells), *[True] * len(other)
    ]  # fmt: skip
