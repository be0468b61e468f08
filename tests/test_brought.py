"""A model of one's own through a whole sweep: once, and then never again."""

import shutil

import pytest

import sweeping
from hub_models import save_model


def trained(storage):
    """When each trial was trained."""
    files = storage.glob("trials/*/trained.json")
    return {path.parent.name: path.stat().st_mtime_ns for path in files}


def asked(storage):
    """Age and location of every cell that is tracked."""
    fields = [run.data.params for run in sweeping.cells(storage)]
    return {(each["age"], each["location"]) for each in fields}


@pytest.mark.parametrize("family", ["llama", "gpt_neox"])
def test_a_folder_is_all_that_a_sweep_needs(run_sweep, prepared, tmp_path, family):
    folder = save_model(tmp_path / "mine", family)
    storage = prepared(tmp_path / "storage")
    flags = ("--model", str(folder), "--location", "none,input,block-influence")
    done = run_sweep("where_to_drop", storage, *flags)
    assert done.returncode == 0, done.stderr
    assert "block-influence" in next(storage.glob("sweeps/*/mine-*/table.md")).read_text()
    assert asked(storage) == {("main", at) for at in ("none", "input", "block-influence")}
    once = trained(storage)
    assert len(once) in (2, 3)  # the score may take what "input" takes
    again = run_sweep("where_to_drop", storage, *flags)
    assert again.returncode == 0, again.stderr
    assert trained(storage) == once


def test_revisions_are_ages(run_sweep, prepared, tmp_path):
    for seed, step in enumerate(("step1", "step2")):
        save_model(tmp_path / "mine" / step, seed=seed)
    storage = prepared(tmp_path / "storage")
    flags = ("--model", str(tmp_path / "mine"), "--location", "none,input")
    done = run_sweep("where_to_drop", storage, *flags, "--age", "step1,step2")
    assert done.returncode == 0, done.stderr
    ages, locations = ("step1", "step2"), ("none", "input")
    assert asked(storage) == {(age, at) for age in ages for at in locations}
    once = trained(storage)
    assert len(once) == 4
    again = run_sweep("where_to_drop", storage, *flags, "--age", "step2,step1")
    assert again.returncode == 0, again.stderr
    assert trained(storage) == once


def test_row_47_two_revisions_of_equal_weights_are_no_axis(run_sweep, prepared, tmp_path):
    save_model(tmp_path / "mine" / "step1")
    shutil.copytree(tmp_path / "mine/step1", tmp_path / "mine/step2")
    flags = ("--model", str(tmp_path / "mine"), "--location", "none", "--age", "step1,step2")
    done = run_sweep("where_to_drop", prepared(tmp_path / "storage"), *flags)
    assert done.returncode == 3
    assert "ages step1 and step2 are the same weights" in done.stderr
