"""MLflow comes to hold what the store holds, however often a sweep is delivered."""

import dataclasses
import os
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from raydistill.core.errors import SetupError
from raydistill.core.text.redaction import printed_command
from raydistill.storage.store import Store
from raydistill.tracking.client import open_client
from raydistill.tracking.destination import default_uri
from raydistill.tracking.sync import storage_id, sync_sweep
from raydistill.tracking.writer import KEY, WRITTEN
from support import sweeping
from support.tracked_runs import deliver, points_of, runs_of, the_run
from support.tracked_samples import (
    LATE,
    STEP_TOKENS,
    cell,
    failed,
    fourteen_cells,
    measured,
    partial,
    sweep_of,
)


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


def test_curves_have_tokens_as_steps_and_grow_without_duplicates(store):
    for steps in (3, 7, 7, 12):
        deliver(store, sweep_of(cell(LATE, "input", partial(LATE, "input", steps)), running=True))
    assert the_run(store, "tags.role = 'cell'").info.status == "RUNNING"
    deliver(store, sweep_of(cell(LATE, "input", measured(LATE, "input"))))
    run = the_run(store, "tags.role = 'cell'")
    steps = [step for step, _ in points_of(store, run, "train_loss")]
    assert steps == [(n + 1) * STEP_TOKENS for n in range(20)]
    assert run.info.status == "FINISHED"


def test_a_curve_of_another_training_replaces_the_one_in_mlflow(store):
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


def test_what_a_killed_command_left_open_is_closed_by_one_with_fewer_cells(store):
    begun = [cell(LATE, name, partial(LATE, name, 3)) for name in ("input", "middle")]
    deliver(store, sweep_of(*begun, running=True))
    deliver(store, sweep_of(cell(LATE, "input", measured(LATE, "input"))))
    statuses = {run.info.run_name: run.info.status for run in runs_of(store)}
    assert statuses["middle age=320B"] == "KILLED"
    assert "RUNNING" not in statuses.values()


def test_a_run_created_twice_because_an_answer_was_lost_is_one_again(store):
    begun = sweep_of(cell(LATE, "input", partial(LATE, "input", 3)), running=True)
    delivery = deliver(store, begun)
    run = the_run(store, "tags.role = 'cell'")
    client = open_client(default_uri(store))
    client.create_run(delivery.experiment_id, run.info.start_time + 1, run.data.tags)
    assert deliver(store, begun) == dataclasses.replace(delivery, written=0)
    assert the_run(store, "tags.role = 'cell'").info.run_id == run.info.run_id


def test_runs_of_an_older_version_are_found_and_brought_to_the_new_content(store):
    sweep = sweep_of(cell(LATE, "input", measured(LATE, "input")))
    delivery = deliver(store, sweep)
    client = open_client(default_uri(store))
    for run in runs_of(store):
        for name, former in ((KEY, "raydistill.key"), (WRITTEN, "raydistill.written")):
            client.set_tag(run.info.run_id, former, run.data.tags[name])
            client.delete_tag(run.info.run_id, name)
        client.set_tag(run.info.run_id, "mlflow.note.content", "former")
    assert deliver(store, sweep) == dataclasses.replace(delivery, written=3)
    for run in runs_of(store):
        assert not [name for name in run.data.tags if name.startswith("raydistill.")]
        assert run.data.tags["mlflow.note.content"] != "former"
    assert deliver(store, sweep) == dataclasses.replace(delivery, written=0)


def test_a_sweep_s_run_sums_up_its_cells_while_they_come(store):
    begun = [cell(LATE, name, partial(LATE, name, 3)) for name in ("input", "both")]
    deliver(store, sweep_of(*begun, running=True))
    assert the_run(store, "tags.role = 'sweep'").data.metrics["num_finished"] == 0
    for done in (["both"], ["both", "input"]):
        ended = [cell(LATE, name, measured(LATE, name)) for name in done]
        deliver(store, sweep_of(*ended, *begun[: 2 - len(done)], running=True))
    metrics = the_run(store, "tags.role = 'sweep'").data.metrics
    assert (metrics["num_cells"], metrics["num_finished"]) == (2, 2)
    assert metrics["best_delta_nll"] == 0.08


def test_another_owner_or_command_does_not_rewrite_what_is_finished(store):
    cells = [cell(LATE, "input", measured(LATE, "input"))]
    deliver(store, sweep_of(*cells))
    assert deliver(store, sweep_of(*cells, owner="ben", command="other")).written == 0
    assert the_run(store, "tags.role = 'cell'").data.tags["owner"] == "ann"


def test_a_score_measured_again_replaces_the_earlier_one(store):
    outcome = measured(LATE, "input")
    deliver(store, sweep_of(cell(LATE, "input", outcome)))
    after = dataclasses.replace(outcome.result.after, nll=4.0)
    result = dataclasses.replace(outcome.result, after=after)
    deliver(store, sweep_of(cell(LATE, "input", dataclasses.replace(outcome, result=result))))
    assert the_run(store, "tags.role = 'cell'").data.metrics["nll"] == 4.0


def test_an_infinite_perplexity_is_delivered_once(store):
    outcome = measured(LATE, "input")
    after = dataclasses.replace(outcome.result.after, nll=1e4)
    result = dataclasses.replace(outcome.result, after=after)
    worst = cell(LATE, "input", dataclasses.replace(outcome, result=result))
    deliver(store, sweep_of(worst))
    deliver(store, sweep_of(dataclasses.replace(worst, layer_map="changed")))
    run = the_run(store, "tags.role = 'cell'")
    ((_, value),) = points_of(store, run, "perplexity")
    assert value >= sys.float_info.max / 2  # its database keeps a number for infinity


def test_two_storages_may_deliver_to_one_database(store, tmp_path):
    other = Store(tmp_path / "other")
    for source in (store, other):
        sync_sweep(sweep_of(), uri=default_uri(store), store=source)
    assert len({run.data.tags["storage"] for run in runs_of(store)}) == 2
    assert len(runs_of(store)) == 4


def test_tables_and_scores_by_document_are_artifacts_of_the_runs(store):
    delivery = deliver(store, sweep_of(cell(LATE, "input", measured(LATE, "input"))))
    client = open_client(default_uri(store))
    names = {
        run_id: [file.path for file in client.list_artifacts(run_id)]
        for run_id in (delivery.sweep_run_id, *delivery.run_ids)
    }
    files = [["table.md"], ["scores_by_document.json"], ["scores_by_document.json"]]
    assert list(names.values()) == files


def test_a_deleted_experiment_is_an_error_that_says_how_to_restore_it(store):
    delivery = deliver(store, sweep_of())
    open_client(default_uri(store)).delete_experiment(delivery.experiment_id)
    with pytest.raises(SetupError, match="was deleted; bring it back: MLFLOW_") as error:
        deliver(store, sweep_of())
    command = str(error.value).partition("bring it back: ")[2]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = sweeping.environment(store.root, PATH=path)
    subprocess.run(["sh", "-c", command], cwd="/", env=environment, check=True)
    assert deliver(store, sweep_of()).experiment_id == delivery.experiment_id


def test_the_command_that_restores_an_experiment_hides_a_password():
    command = printed_command(["mlflow", "gc"], {"MLFLOW_TRACKING_URI": "http://ann:pw@host:5000"})
    assert command == (
        "MLFLOW_TRACKING_URI=http://***@host:5000 mlflow gc  # *** hides a secret: write it there"
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
