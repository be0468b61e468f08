"""The command in a model card means its trial, for every cell of every sweep."""

import shlex
from pathlib import Path

import pytest

from raydistill.core.text.commands import sweep_command
from raydistill.planning.history.rerun_command import command_of, keep_command, last_command
from raydistill.planning.history.sweep_record import record_of
from raydistill.storage.store import Store
from support import finished

SWEEPS = {
    "where_to_drop": ("--seed", "1,2", "--set", "lr=1e-3", "--allow-ends"),
    "when_to_drop": (),
    "how_many_to_drop": ("--budget", "40B"),
    "teacher_free_vs_kd": ("--arm", "control,one-shot,kd,kd-cached,kd-equal-flops,scratch"),
    "capacity_gap": ("--size", "smoke", "--teacher", "none,smoke@80B,smoke@320B"),
    "ablate": ("--around", "lr=2e-3,loss=kd", "--set", "weight_decay=0,0.1", "--set", "gap=1B"),
    "search": ("--location", "input,2-3", "--count", "2", "--search", "grid"),
}


AXES = (
    *("--set", "lr=1e-3,2e-3", "--set", "weight_decay=0,0.1", "--set", "optimizer=lion,adamw"),
    *("--count", "1,2", "--location", "input", "--age", "80B", "--budget", "20B,40B"),
)


@pytest.mark.parametrize(
    ("name", "flags"), [*SWEEPS.items(), ("where_to_drop", AXES)], ids=lambda item: str(item)[:16]
)
def test_the_command_of_a_cell_means_its_trial(name, flags, tmp_path):
    store = Store(tmp_path)
    finished.prepare(store)
    record = record_of(finished.prepared(finished.plan(name, store, *flags), store))
    assert len(record.cells) > 3
    for cell in record.cells:
        words = shlex.split(command_of(record, cell, store))
        assert words[:2] == sweep_command(name)
        assert Path(words[1]).is_absolute()
        (trial,) = finished.prepared(finished.plan(name, store, *words[2:]), store).trials
        assert trial.trial_id == cell.spec.trial_id


def test_the_last_command_is_kept_and_gives_the_script(tmp_path):
    store = Store(tmp_path)
    finished.prepare(store)
    record = record_of(finished.prepared(finished.plan("when_to_drop", store), store))
    script = sweep_command("when_to_drop")[1]
    assert last_command(record, store) == f"python {script} --scale smoke"
    command = "python '/my sweeps/x.py' --tracking-uri http://ann:pw@host:5000"
    keep_command(command, store, record.name, record.scale)
    assert last_command(record, store).endswith(" --tracking-uri http://***@host:5000")
    words = shlex.split(command_of(record, record.cells[0], store))
    assert words[:2] == ["python", "/my sweeps/x.py"]
    keep_command("raydistill sweep when_to_drop --gap 0", store, record.name, record.scale)
    words = shlex.split(command_of(record, record.cells[0], store))
    assert words[:4] == ["raydistill", "sweep", "when_to_drop", "--scale"]


def test_a_script_of_a_repository_elsewhere_is_named_as_it_is_here(tmp_path):
    store = Store(tmp_path)
    finished.prepare(store)
    record = record_of(finished.prepared(finished.plan("when_to_drop", store), store))
    elsewhere = f"python {tmp_path}/her/sweeps/when_to_drop.py --gap 0"
    keep_command(elsewhere, store, record.name, record.scale)
    words = shlex.split(command_of(record, record.cells[0], store))
    assert words[:2] == sweep_command("when_to_drop")
    assert Path(words[1]).is_file()
