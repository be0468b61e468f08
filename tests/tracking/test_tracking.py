"""What MLflow shows is what the store holds, and a server that is away costs nothing."""

import dataclasses
import math
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from raydistill.core.errors import SetupError, UsageError
from raydistill.core.units import B
from raydistill.storage.store import Store
from raydistill.tracking.client import open_client
from raydistill.tracking.destination import check_destination, default_uri
from raydistill.tracking.environment import environment
from raydistill.tracking.links import experiment_url
from raydistill.tracking.sync import storage_id, sync_sweep
from raydistill.tracking.tracker import Tracker
from support.mlflow_server import free_port, server
from support.tracked_samples import (
    AGES,
    STEP_TOKENS,
    before_of,
    cell,
    failed,
    fourteen_cells,
    measured,
    partial,
    spec_of,
    sweep_of,
)

LATE = 320 * B


@pytest.fixture
def store(tmp_path, migrated):
    shutil.copy(migrated, tmp_path / "mlflow.db")
    return Store(tmp_path)


def deliver(store, sweep):
    return sync_sweep(sweep, uri=default_uri(store), store=store)


def runs_of(store, condition=""):
    client = open_client(default_uri(store))
    experiment = client.get_experiment_by_name("raydistill/where_to_drop")
    return client.search_runs([experiment.experiment_id], condition)


def the_run(store, condition):
    (run,) = runs_of(store, condition)
    return run


def points_of(store, run, name):
    history = open_client(default_uri(store)).get_metric_history(run.info.run_id, name)
    return [(point.step, point.value) for point in history]


def test_a_sweep_becomes_one_parent_and_a_child_for_every_cell_and_base(store):
    delivery = deliver(store, fourteen_cells())
    roles = Counter(run.data.tags["role"] for run in runs_of(store))
    assert roles == {"sweep": 1, "base": 2, "control": 2, "cell": 12}
    children = runs_of(store, f"tags.`mlflow.parentRunId` = '{delivery.sweep_run_id}'")
    assert {run.info.run_id for run in children} == set(delivery.run_ids)


def test_delivering_the_same_sweep_again_writes_nothing(store):
    first = deliver(store, fourteen_cells())
    before = (store.root / "mlflow.db").read_bytes()
    assert deliver(store, fourteen_cells()) == dataclasses.replace(first, written=0)
    assert (store.root / "mlflow.db").read_bytes() == before


def test_a_cell_is_shown_as_asked_and_as_run(store):
    deliver(store, sweep_of(cell(LATE, "input", measured(LATE, "input"))))
    params = the_run(store, "tags.role = 'cell'").data.params
    asked = {"age": "320B", "location": "input", "count": "4", "gap": "0", "loss": "lm"}
    as_run = {"age_tokens": str(AGES[LATE]), "layers": "1 2 3 4", "peak_lr": "0.0006"}
    assert (
        params.items() >= (asked | as_run | {"sweep": "where_to_drop", "scale": "laptop"}).items()
    )


def test_the_control_is_logged_with_nothing_removed(store):
    deliver(store, sweep_of(cell(LATE, "none", measured(LATE, "none"))))
    run = the_run(store, "tags.role = 'control'")
    assert (run.data.params["count"], run.data.params["gap"]) == ("0", "0")
    assert run.info.run_name == "control age=320B"


def test_drops_are_against_the_base_and_against_the_control(store):
    control = measured(LATE, "none").result.after
    outcome = measured(LATE, "input")
    deliver(store, sweep_of(cell(LATE, "input", outcome, control)))
    metrics = the_run(store, "tags.role = 'cell'").data.metrics
    before, after = before_of(LATE), outcome.result.after
    assert metrics["delta_nll"] == round(after.nll - before.nll, 4)
    assert metrics["perplexity_drop_pct"] == round(100 * math.expm1(after.nll - before.nll), 4)
    ratio = after.downstream / control.downstream
    assert metrics["downstream_drop_pct_vs_control"] == round(100 * (1 - ratio), 4)
    assert metrics["tokens"] == 20 * STEP_TOKENS


def test_every_mean_is_over_the_tasks_of_the_sweep_and_a_tag_names_them(store):
    """Of those, guessing gives 0.25 in one and 0.5 in the other."""
    control, outcome = measured(LATE, "none").result.after, measured(LATE, "input")
    averaged = ("continuation", "word-order")
    asked = cell(LATE, "input", outcome, control)
    deliver(store, sweep_of(asked, tasks_averaged=averaged))
    data = the_run(store, "tags.role = 'cell'").data
    before, after, whole = (
        sum(scores.tasks[task].value for task in averaged) / 2
        for scores in (before_of(LATE), outcome.result.after, control)
    )
    assert data.tags["tasks_averaged"] == "continuation, word-order"
    assert data.metrics["downstream"] == round(after, 4)
    assert data.metrics["downstream_drop_pct"] == round(100 * (1 - after / before), 4)
    assert data.metrics["downstream_drop_pct_vs_control"] == round(100 * (1 - after / whole), 4)
    assert data.metrics["retention"] == round((after - 0.375) / (before - 0.375), 4)
    assert "task.last-word" in data.metrics
    level = the_run(store, "tags.role = 'base'").data.metrics["downstream"]
    assert level == round(before, 4)


def test_the_base_has_drops_of_zero(store):
    deliver(store, sweep_of())
    metrics = the_run(store, "tags.role = 'base'").data.metrics
    drops = [metrics[f"{name}_drop_pct"] for name in ("perplexity", "downstream")]
    assert [*drops, metrics["delta_nll"]] == [0, 0, 0]


def test_curves_have_tokens_as_steps_and_grow_without_doubles(store):
    for steps in (3, 7, 7, 12):
        deliver(store, sweep_of(cell(LATE, "input", partial(LATE, "input", steps)), running=True))
    assert the_run(store, "tags.role = 'cell'").info.status == "RUNNING"
    deliver(store, sweep_of(cell(LATE, "input", measured(LATE, "input"))))
    run = the_run(store, "tags.role = 'cell'")
    steps = [step for step, _ in points_of(store, run, "train_loss")]
    assert steps == [(n + 1) * STEP_TOKENS for n in range(20)]
    assert run.info.status == "FINISHED"


def test_a_curve_of_another_training_takes_the_place_of_the_one_that_stands(store):
    begun = partial(LATE, "input", 5)
    other = tuple(dataclasses.replace(step, loss=step.loss + 1) for step in begun.curve)
    for curve in (begun.curve, other):
        outcome = dataclasses.replace(begun, curve=curve)
        deliver(store, sweep_of(cell(LATE, "input", outcome), running=True))
    run = the_run(store, "tags.role = 'cell'")
    assert points_of(store, run, "train_loss") == [(step.tokens, step.loss) for step in other]


def test_a_failed_cell_has_its_reason_and_is_reopened_when_it_succeeds(store):
    deliver(store, sweep_of(cell(LATE, "input", failed(LATE, "input"))))
    run = the_run(store, "tags.role = 'cell'")
    assert run.info.status == "FAILED"
    assert run.data.tags["failure"] == "training: out of memory: HF_TOKEN=***"
    assert "out of memory" in run.data.tags["mlflow.note.content"]
    deliver(store, sweep_of(cell(LATE, "input", measured(LATE, "input"))))
    again = the_run(store, "tags.role = 'cell'")
    assert (again.info.run_id, again.info.status) == (run.info.run_id, "FINISHED")
    assert "failure" not in again.data.tags


def test_a_sweep_that_is_stopped_leaves_nothing_running(store):
    unfinished = cell(LATE, "input", partial(LATE, "input", 3))
    deliver(store, sweep_of(unfinished, running=True))
    deliver(store, sweep_of(unfinished, running=False))
    assert {run.info.status for run in runs_of(store)} == {"KILLED", "FINISHED"}
    deliver(store, sweep_of(unfinished, running=True))
    assert the_run(store, "tags.role = 'cell'").info.status == "RUNNING"


def test_what_a_killed_command_left_open_is_closed_by_one_that_asks_for_less(store):
    begun = [cell(LATE, name, partial(LATE, name, 3)) for name in ("input", "middle")]
    deliver(store, sweep_of(*begun, running=True))
    deliver(store, sweep_of(cell(LATE, "input", measured(LATE, "input"))))
    statuses = {run.info.run_name: run.info.status for run in runs_of(store)}
    assert statuses["middle age=320B"] == "KILLED"
    assert "RUNNING" not in statuses.values()


def test_a_run_made_twice_because_an_answer_was_lost_is_one_again(store):
    begun = sweep_of(cell(LATE, "input", partial(LATE, "input", 3)), running=True)
    delivery = deliver(store, begun)
    run = the_run(store, "tags.role = 'cell'")
    client = open_client(default_uri(store))
    client.create_run(delivery.experiment_id, run.info.start_time + 1, run.data.tags)
    assert deliver(store, begun) == dataclasses.replace(delivery, written=0)
    assert the_run(store, "tags.role = 'cell'").info.run_id == run.info.run_id


def test_another_owner_or_command_does_not_rewrite_what_is_finished(store):
    cells = [cell(LATE, "input", measured(LATE, "input"))]
    deliver(store, sweep_of(*cells))
    assert deliver(store, sweep_of(*cells, owner="ben", command="other")).written == 0
    assert the_run(store, "tags.role = 'cell'").data.tags["owner"] == "ann"


def test_a_tracker_survives_a_mistake_in_the_snapshot(store):
    def snapshot():
        raise ZeroDivisionError("of the snapshot")

    said = []
    tracker = Tracker(snapshot, uri=default_uri(store), store=store, say=said.append)
    with tracker:
        pass
    assert "(of the snapshot)" in said[-1]


def test_a_score_measured_later_is_the_one_that_is_shown(store):
    outcome = measured(LATE, "input")
    deliver(store, sweep_of(cell(LATE, "input", outcome)))
    after = dataclasses.replace(outcome.result.after, nll=4.0)
    result = dataclasses.replace(outcome.result, after=after)
    deliver(store, sweep_of(cell(LATE, "input", dataclasses.replace(outcome, result=result))))
    assert the_run(store, "tags.role = 'cell'").data.metrics["nll"] == 4.0


def test_two_cells_that_share_a_trial_are_two_runs(store):
    one = cell(LATE, "input", measured(LATE, "input"))
    same = dataclasses.replace(one, values={**one.values, "location": "1-4"})
    deliver(store, sweep_of(one, same))
    runs = runs_of(store, f"tags.trial_id = '{spec_of(LATE, 'input').trial_id}'")
    assert {run.data.params["location"] for run in runs} == {"input", "1-4"}
    assert {run.data.tags["trained_in"] for run in runs} == {"how_many"}


def test_two_storages_may_deliver_to_one_place(store, tmp_path):
    other = Store(tmp_path / "other")
    for source in (store, other):
        sync_sweep(sweep_of(), uri=default_uri(store), store=source)
    assert len({run.data.tags["storage"] for run in runs_of(store)}) == 2
    assert len(runs_of(store)) == 4


def test_tables_and_scores_by_document_lie_beside_the_runs(store):
    delivery = deliver(store, sweep_of(cell(LATE, "input", measured(LATE, "input"))))
    client = open_client(default_uri(store))
    names = {
        run_id: [file.path for file in client.list_artifacts(run_id)]
        for run_id in (delivery.sweep_run_id, *delivery.run_ids)
    }
    files = [["table.md"], ["scores_by_document.json"], ["scores_by_document.json"]]
    assert list(names.values()) == files


def test_a_deleted_experiment_is_an_error_that_says_how_to_bring_it_back(store):
    delivery = deliver(store, sweep_of())
    open_client(default_uri(store)).delete_experiment(delivery.experiment_id)
    with pytest.raises(SetupError, match="mlflow experiments restore --experiment-id"):
        deliver(store, sweep_of())


def test_an_infinite_perplexity_is_delivered_once(store):
    outcome = measured(LATE, "input")
    after = dataclasses.replace(outcome.result.after, nll=1e4)
    result = dataclasses.replace(outcome.result, after=after)
    worst = cell(LATE, "input", dataclasses.replace(outcome, result=result))
    deliver(store, sweep_of(worst))
    deliver(store, sweep_of(dataclasses.replace(worst, layer_map="changed")))
    run = the_run(store, "tags.role = 'cell'")
    assert len(points_of(store, run, "perplexity")) == 1


@pytest.mark.parametrize(
    ("uri", "kind", "says"),
    [
        ("file:///tmp/mlruns", UsageError, "write sqlite:////"),
        ("/tmp/mlruns", UsageError, "write sqlite:////"),
        ("mlruns", UsageError, "write sqlite:////"),
        (
            "ftp://ann:pw@host/x",
            UsageError,
            r"'ftp' \(ftp://\*\*\*@host/x\); write http://host:5000",
        ),
        ("sqlite:///mlflow.db", UsageError, "no absolute path; write sqlite:////"),
        ("sqlite://", UsageError, "no absolute path"),
        ("http://ann:pw@127.0.0.1:1", SetupError, r"http://\*\*\*@127.0.0.1:1 does not answer"),
        ("https://no.such.host.invalid", SetupError, "does not answer"),
    ],
)
def test_a_uri_that_cannot_work_is_refused_with_one_that_does(store, uri, kind, says):
    with pytest.raises(kind, match=says) as caught:
        check_destination(uri, store)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize("content", [b"garbage" * 1000, "folder", "foreign"])
def test_a_file_that_is_not_mlflows_is_refused(tmp_path, content):
    path = tmp_path / "other.db"
    if content == "folder":
        path.mkdir()
    elif content == "foreign":
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE mine (x)")
    else:
        path.write_bytes(content)
    with pytest.raises(SetupError, match=r"other\.db"):
        check_destination(f"sqlite:///{path}", Store(tmp_path))


def test_a_new_database_is_announced_and_an_old_one_is_not(store, tmp_path):
    assert check_destination(default_uri(store), store).endswith("mlflow.db")
    assert check_destination(f"sqlite:///{tmp_path}/new.db", store).endswith(
        "is new and will be created"
    )


def test_sweeps_that_begin_at_once_give_a_fresh_storage_one_name(tmp_path):
    def name_of(store, started):
        started.wait()
        return storage_id(store)

    for number in range(20):
        store, started = Store(tmp_path / str(number)), threading.Barrier(4)
        with ThreadPoolExecutor(4) as sweeps:
            names = set(sweeps.map(name_of, [store] * 4, [started] * 4))
        assert names == {storage_id(store)}
        assert [path.name for path in store.path("tracking").iterdir()] == ["storage_id"]


@pytest.mark.parametrize("refusal", [PermissionError, OSError])
def test_a_storage_without_hard_links_has_a_name_too(tmp_path, monkeypatch, refusal):
    def refuse(*_):
        raise refusal("no hard links here")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    assert len(storage_id(Store(tmp_path))) == 16
    assert storage_id(Store(tmp_path)) == storage_id(Store(tmp_path))


def test_a_secret_in_a_parameter_or_the_command_does_not_reach_mlflow(store):
    asked = cell(LATE, "input", measured(LATE, "input"))
    leaky = dataclasses.replace(asked, as_run={"HF_TOKEN": "hf_secret", "num_tokens": 5})
    deliver(store, sweep_of(leaky, command="HF_TOKEN=hf_secret python x.py"))
    assert b"hf_secret" not in (store.root / "mlflow.db").read_bytes()
    assert the_run(store, "tags.role = 'cell'").data.params["num_tokens"] == "5"


def test_the_environment_names_versions_and_the_commit(tmp_path):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    assert "git_commit" not in environment(tmp_path)
    who = ["-c", "user.name=ann", "-c", "user.email=ann@example.org"]
    commit = ["commit", "-q", "--allow-empty", "-m", "first"]
    subprocess.run(["git", "-C", tmp_path, *who, *commit], check=True)
    found = environment(tmp_path)
    assert (len(found["git_commit"]), found["git_dirty"]) == (40, "false")
    assert found["version_torch"]


def test_addresses_of_the_pages_hold_no_password():
    assert experiment_url("http://ann:pw@host:5000", "3").startswith("http://host:5000/#/")


def test_importing_tracking_imports_no_mlflow():
    heavy = "{'mlflow', 'torch', 'numpy'} & set(sys.modules)"
    code = f"import sys, raydistill.tracking; assert not {heavy}"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_server_that_goes_away_in_mid_sweep_loses_nothing(tmp_path, migrated):
    shutil.copy(migrated, tmp_path / "served.db")
    store, port, said = Store(tmp_path), free_port(), []
    uri = f"http://127.0.0.1:{port}"
    control = measured(LATE, "none").result.after
    begun = sweep_of(cell(LATE, "input", partial(LATE, "input", 5)), running=True)
    ended = sweep_of(
        cell(LATE, "none", measured(LATE, "none"), control),
        cell(LATE, "input", measured(LATE, "input"), control),
        cell(LATE, "middle", failed(LATE, "middle")),
    )

    with server(tmp_path, port):
        assert check_destination(uri, store).endswith("answers")
        assert Tracker(lambda: begun, uri=uri, store=store, say=said.append).close() is True

    assert check_destination(uri, store).startswith("warning: ")  # it has delivered there before
    with pytest.raises(SetupError, match="does not answer"):
        check_destination(uri, Store(tmp_path / "another"))
    away = Tracker(lambda: ended, uri=uri, store=store, say=said.append, every_s=3600)
    assert away.start().close() is False
    assert [line.startswith("warning: ") for line in said] == [True, False]
    assert "Connection refused" in said[0]
    assert "the same command" in said[1]

    with server(tmp_path, port):
        assert Tracker(lambda: ended, uri=uri, store=store, say=said.append).close() is True
        assert_all_is_there(open_client(uri))


def assert_all_is_there(client):
    experiment = client.get_experiment_by_name("raydistill/where_to_drop").experiment_id
    runs = client.search_runs([experiment])
    statuses = {run.info.run_name: run.info.status for run in runs}
    assert statuses == {
        "where_to_drop (laptop)": "FAILED",
        "base age=320B": "FINISHED",
        "control age=320B": "FINISHED",
        "input age=320B": "FINISHED",
        "middle age=320B": "FAILED",
    }
    query = "params.location = 'input' and metrics.downstream_drop_pct < 50"
    (found,) = client.search_runs([experiment], query)
    history = client.get_metric_history(found.info.run_id, "train_loss")
    assert [point.step for point in history] == [(n + 1) * STEP_TOKENS for n in range(20)]
    files = client.list_artifacts(found.info.run_id)
    assert [file.path for file in files] == ["scores_by_document.json"]


def test_runs_stand_side_by_side_without_gaps(store):
    deliver(store, fourteen_cells())
    trained = runs_of(store, "tags.trial_id LIKE '%'")
    assert len({frozenset(run.data.params) for run in trained}) == 1
    finished = [run for run in trained if run.info.status == "FINISHED"]
    assert len({frozenset(run.data.metrics) for run in finished}) == 1
    for run in runs_of(store, "tags.role != 'sweep'"):
        assert run.data.tags.keys() >= {"sweep", "age", "role", "layer_map", "owner"}
        assert run.data.params.keys() >= {"sweep", "age", "location", "count", "gap", "scale"}


def test_a_stopped_sweep_does_not_wait_for_a_delivery_that_hangs(store):
    hanging = threading.Event()
    tracker = Tracker(hanging.wait, uri=default_uri(store), store=store, say=print, patience_s=0.01)
    with pytest.raises(KeyboardInterrupt), tracker:
        raise KeyboardInterrupt
    hanging.set()
