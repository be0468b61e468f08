import math
import threading

import optuna
import pytest

from raydistill.core.errors import UsageError
from raydistill.planning.axes.ranges import Range
from raydistill.planning.prepared import prepare
from raydistill.planning.search_settings import (
    OBJECTIVES,
    check_objectives,
    check_search,
    first_of_permutation,
    on_front,
)
from raydistill.runners.cluster.work import FINISHED, Candidate
from raydistill.runners.tune.in_order import END, InOrder
from raydistill.runners.tune.optuna_search import Study, StudyRequest
from raydistill.runners.tune.optuna_search import study as study_of
from raydistill.storage.store import Store
from support import finished, trained_here

CELLS = [
    Candidate(key=f"{location}-{age}", axes={"location": location, "age": age}, job=None)
    for location in ("input", "middle", "output", "both")
    for age in (80, 320)
    if (location, age) != ("both", 80)
]


@pytest.fixture
def study(tmp_path):
    """`study(cells)` makes a study with a database of its own; by default of one objective."""

    def make(cells, known=(), trials=100, objectives=("delta_nll",), **more):
        request = StudyRequest(
            objectives=objectives, trials=trials, seed=0,
            url=f"sqlite:///{tmp_path}/optuna.db", name="a-study", **more,
        )  # fmt: skip
        return Study(cells, {key: losses(value) for key, value in dict(known).items()}, request)

    return make


def losses(delta_nll, parameters=1.0):
    """The objectives' values in a finished trial's report."""
    return {OBJECTIVES["delta_nll"]: delta_nll, OBJECTIVES["parameters"]: parameters}


def search_to_the_end(search, values):
    """Every key that `search` suggests, one after the other is finished."""
    keys = []
    while (config := search.suggest(str(len(keys)))) != END:
        value = values(config)
        result = {FINISHED: 1} | losses(value) if value is not None else None
        search.on_trial_complete(str(len(keys)), result, error=value is None)
        keys.append(config["key"])
    return keys


def stored_trials(tmp_path):
    """The trials in the database by key, and the number of its rows."""
    (summary,) = optuna.get_all_study_summaries(f"sqlite:///{tmp_path}/optuna.db")
    trials = optuna.load_study(
        study_name=summary.study_name, storage=f"sqlite:///{tmp_path}/optuna.db"
    ).trials
    return {trial.user_attrs["key"]: trial for trial in trials}, len(trials)


def test_a_search_that_does_not_exist_names_the_nearest():
    with pytest.raises(UsageError, match="Did you mean 'random'"):
        check_search("radnom")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["delta_nl"], "no objective 'delta_nl'. Did you mean 'delta_nll'"),
        (["delta_nll", "params"], "There are: delta_nll, downstream, flops, parameters"),
        (["flops", "flops"], "name each once"),
    ],
)
def test_row_11_an_objective_with_a_typo_is_refused(names, message):
    with pytest.raises(UsageError, match=message):
        check_objectives(names)


def test_rates_are_chosen_by_the_probe_or_by_the_search_not_by_both(tmp_path):
    with pytest.raises(UsageError, match="--lr-probe chooses the rates that lr_factor names"):
        finished.plan("search", Store(tmp_path), "--lr-probe")
    plan = finished.plan("search", Store(tmp_path), "--lr-probe", "--lr_factor", "1")
    assert {cell.request.peak_lr for cell in plan.cells} == {"scale"}


def candidate(**axes):
    return Candidate(key="-".join(map(str, axes.values())), axes=axes, job=None)


def test_a_study_draws_the_temperature_of_a_loss_that_has_one(study):
    cells = [
        candidate(loss="lm"),
        *(candidate(loss="kd", temperature=t) for t in (1, 2, 4)),
    ]
    keys = search_to_the_end(study(cells), lambda config: 1.0)
    assert sorted(keys) == ["kd-1", "kd-2", "kd-4", "lm"]


def test_the_levels_of_a_range_are_drawn_between_its_ends(study, tmp_path):
    rates = Range(low=1e-5, high=1e-3, is_log=True).levels(64)
    decays = Range(low=0, high=0.1).levels(24)
    cells = [candidate(lr=rate, weight_decay=decay) for rate in rates for decay in decays]
    keys = search_to_the_end(
        study(cells, trials=24),
        lambda c: abs(math.log(c["lr"] / 1e-4)) + 10 * c["weight_decay"],
    )
    rate_of = {cell.key: cell.axes["lr"] for cell in cells}
    near = [3e-5 < rate_of[key] < 3e-4 for key in keys]
    assert sum(near[12:]) > sum(near[:12])  # it learns where to look
    trials, _ = stored_trials(tmp_path)
    kinds = {name: kind.log for name, kind in next(iter(trials.values())).distributions.items()}
    assert kinds == {"lr": True, "weight_decay": False}


def test_a_larger_random_search_keeps_the_cells_of_a_smaller_one():
    three, five = (first_of_permutation(CELLS, n, seed=1) for n in (3, 5))
    assert three == five[:3]
    assert five != first_of_permutation(CELLS, 5, seed=2)


def test_a_grid_is_the_cells_as_listed():
    assert search_to_the_end(InOrder(CELLS), lambda c: 1.0) == [cell.key for cell in CELLS]


def test_the_pareto_set_has_equals_and_no_loser():
    assert on_front({"a": (1, 2), "b": (1, 2), "c": (1, 3), "d": (0, 9)}) == ("a", "b", "d")


@pytest.mark.parametrize("trials", [1, 4, 7, 100])
def test_a_study_ends_with_as_many_distinct_possible_cells(study, trials):
    keys = search_to_the_end(study(CELLS, trials=trials), lambda c: float(c["age"]))
    assert len(keys) == len(set(keys)) == min(trials, len(CELLS))
    assert set(keys) <= {cell.key for cell in CELLS}


def test_it_counts_known_cells_and_does_not_train_them(study):
    known = {"input-80": 0.3, "middle-320": 0.1}
    search = study(CELLS, known, trials=5)
    keys = search_to_the_end(search, lambda c: 0.2)
    assert len(keys) == 3
    assert not set(keys) & set(known)
    assert {cell.key for cell in search.drawn} == {*keys, *known}


def test_it_goes_on_after_a_failure_and_does_not_draw_the_cell_again(study, tmp_path):
    keys = search_to_the_end(
        study(CELLS, trials=7), lambda c: None if c["location"] == "input" else 0.1
    )
    assert sorted(keys) == sorted(cell.key for cell in CELLS)
    assert sorted(stored_trials(tmp_path)[0]) == sorted(
        key for key in keys if not key.startswith("input")
    )


def test_cells_that_are_the_same_work_are_trained_once(study):
    same = [
        Candidate(key="control", axes={"location": "none", "count": count}, job=None)
        for count in (1, 2, 3)
    ]
    search = study([*same, *(cell(c) for c in (1, 2))], trials=5)
    assert sorted(search_to_the_end(search, lambda c: 1.0)) == ["control", "input-1", "input-2"]
    assert len(search.drawn) == 5


def cell(count):
    return Candidate(key=f"input-{count}", axes={"location": "input", "count": count}, job=None)


def test_cells_to_try_first_are_tried_first(study):
    first = ({"location": "output"}, {"location": "both", "age": 320}, {"location": "nowhere"})
    keys = search_to_the_end(study(CELLS, trials=4, first=first), lambda c: 1.0)
    assert keys[:2] == ["output-80", "both-320"]


def test_a_study_in_the_database_goes_on_and_holds_every_finished_cell_once(study, tmp_path):
    first = search_to_the_end(study(CELLS, trials=3), lambda c: float(c["age"]))
    known = {key: float(key.partition("-")[2]) for key in first}
    more = search_to_the_end(study(CELLS, known, trials=6), lambda c: float(c["age"]))
    assert len(more) == 3
    stored, rows = stored_trials(tmp_path)
    assert sorted(stored) == sorted([*first, *more])
    assert rows == 6
    for key, trial in stored.items():
        assert f"{trial.params['location']}-{trial.params['age']}" == key
        assert trial.values == [trial.params["age"]]


def test_several_objectives_are_kept_by_name(study, tmp_path):
    search = study(CELLS, trials=5, objectives=("delta_nll", "parameters"))
    search_to_the_end(search, lambda c: float(c["age"]))
    stored, _ = stored_trials(tmp_path)
    assert {tuple(trial.values) for trial in stored.values()} <= {(80.0, 1.0), (320.0, 1.0)}
    assert search.stored.metric_names == ["delta_nll", "parameters"]


def test_a_rate_is_drawn_on_a_log_scale_and_rounded_to_its_grid(study, tmp_path):
    grid = (0.25, 0.5, 1.0, 2.0)
    cells = [
        Candidate(key=f"{a}/{lr}", axes={"a": a, "lr": lr}, job=None)
        for a in range(3)
        for lr in grid
    ]
    keys = search_to_the_end(study(cells, trials=9), lambda c: c["lr"])
    assert len(set(keys)) == 9
    stored, _ = stored_trials(tmp_path)
    assert {trial.params["lr"] for trial in stored.values()} <= set(grid)
    lr = stored[keys[0]].distributions["lr"]
    assert (lr.low, lr.high, lr.log) == (0.25, 2.0, True)


def test_it_learns_where_the_loss_is_low(study):
    cells = [
        Candidate(key=f"{a}/{b}", axes={"a": a, "b": b}, job=None)
        for a in range(12)
        for b in range(12)
    ]
    keys = search_to_the_end(study(cells, trials=48), lambda c: abs(c["a"] - 6) + c["b"] * 0.1)
    near = [key for key in keys if abs(int(key.split("/")[0]) - 6) <= 1]
    # a random third of the cells holds 12 of these 36
    assert len(near) >= 17


def test_searches_that_begin_at_once_create_one_database(tmp_path):
    """Two that create its tables at once would end with an error of sqlite."""
    prepared = prepare(trained_here.plan(tmp_path, script="where_to_drop"), Store(tmp_path))
    all_ready, names = threading.Barrier(4), []

    def run():
        all_ready.wait()
        names.append(study_of(prepared, CELLS, {}).stored.study_name)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names) == 4
    assert len(set(names)) == 1
