import pytest

from raydistill.errors import UsageError
from raydistill.runners.in_order import END, InOrder
from raydistill.runners.tpe import Tpe
from raydistill.runners.work import FINISHED, Candidate
from raydistill.search import check_search, first_of_permutation

CELLS = [
    Candidate(key=f"{location}-{age}", axes={"location": location, "age": age}, job=None)
    for location in ("input", "middle", "output", "both")
    for age in (80, 320)
    if (location, age) != ("both", 80)
]


def search_to_the_end(search, values):
    """Every key that `search` wants trained, each finished before the next is asked for."""
    keys = []
    while (config := search.suggest(str(len(keys)))) != END:
        value = values(config)
        result = {FINISHED: 1, "delta_nll_selection": value} if value is not None else None
        search.on_trial_complete(str(len(keys)), result, error=value is None)
        keys.append(config["key"])
    return keys


def test_a_search_that_does_not_exist_names_the_nearest():
    with pytest.raises(UsageError, match="Did you mean 'random'"):
        check_search("radnom")


def test_a_larger_random_search_keeps_the_cells_of_a_smaller_one():
    three, five = (first_of_permutation(CELLS, n, seed=1) for n in (3, 5))
    assert three == five[:3]
    assert five != first_of_permutation(CELLS, 5, seed=2)


def test_a_grid_is_the_cells_as_listed():
    assert search_to_the_end(InOrder(CELLS), lambda c: 1.0) == [cell.key for cell in CELLS]


@pytest.mark.parametrize("trials", [1, 4, 7, 100])
def test_tpe_ends_with_as_many_distinct_possible_cells(trials):
    keys = search_to_the_end(Tpe(CELLS, {}, trials, seed=0), lambda c: float(c["age"]))
    assert len(keys) == len(set(keys)) == min(trials, len(CELLS))
    assert set(keys) <= {cell.key for cell in CELLS}


def test_tpe_counts_known_cells_and_does_not_train_them():
    known = {"input-80": 0.3, "middle-320": 0.1}
    search = Tpe(CELLS, known, 5, seed=0)
    keys = search_to_the_end(search, lambda c: 0.2)
    assert len(keys) == 3
    assert not set(keys) & set(known)
    assert {cell.key for cell in search.drawn} == {*keys, *known}


def test_tpe_goes_on_after_a_failure_and_does_not_draw_the_cell_again():
    keys = search_to_the_end(
        Tpe(CELLS, {}, 7, seed=0), lambda c: None if c["location"] == "input" else 0.1
    )
    assert sorted(keys) == sorted(cell.key for cell in CELLS)


def test_cells_that_are_the_same_work_are_trained_once():
    same = [
        Candidate(key="control", axes={"location": "none", "count": count}, job=None)
        for count in (1, 2, 3)
    ]
    search = Tpe([*same, *(cell(c) for c in (1, 2))], {}, 5, seed=0)
    assert sorted(search_to_the_end(search, lambda c: 1.0)) == ["control", "input-1", "input-2"]
    assert len(search.drawn) == 5


def cell(count):
    return Candidate(key=f"input-{count}", axes={"location": "input", "count": count}, job=None)


def test_tpe_learns_where_the_loss_is_low():
    cells = [
        Candidate(key=f"{a}/{b}", axes={"a": a, "b": b}, job=None)
        for a in range(12)
        for b in range(12)
    ]
    keys = search_to_the_end(Tpe(cells, {}, 48, seed=0), lambda c: abs(c["a"] - 6) + c["b"] * 0.1)
    near = [key for key in keys if abs(int(key.split("/")[0]) - 6) <= 1]
    assert len(near) >= 17  # a random third of the cells holds 12 of these 36
