"""A model of one's own through a whole sweep: once, and then never again."""

import shutil

import pytest

import sweeping
from hub_models import save_model


def brought(storage):
    """The layers that each trained student has kept, and what was trained when."""
    return {
        path.parent.name: path.stat().st_mtime_ns for path in storage.glob("trials/*/trained.json")
    }


@pytest.mark.parametrize("family", ["llama", "gpt_neox"])
def test_a_folder_is_all_that_a_sweep_needs(run_sweep, prepared, tmp_path, family):
    folder = save_model(tmp_path / "mine", family)
    storage = prepared(tmp_path / "storage")
    flags = ("--model", str(folder), "--location", "none,input,block-influence")
    done = run_sweep("where_to_drop", storage, *flags)
    assert done.returncode == 0, done.stderr
    assert "block-influence" in (next(storage.glob("sweeps/*/mine-*/table.md"))).read_text()
    trained = brought(storage)
    assert len(trained) == 3
    asked = {
        (run.data.params["age"], run.data.params["location"]) for run in sweeping.cells(storage)
    }
    assert asked == {("main", "none"), ("main", "input"), ("main", "block-influence")}
    again = run_sweep("where_to_drop", storage, *flags)
    assert again.returncode == 0, again.stderr
    assert brought(storage) == trained


def test_revisions_are_ages(run_sweep, prepared, tmp_path):
    for seed, step in enumerate(("step1", "step2")):
        save_model(tmp_path / "mine" / step, seed=seed)
    storage = prepared(tmp_path / "storage")
    flags = ("--model", str(tmp_path / "mine"), "--location", "none,input")
    done = run_sweep("where_to_drop", storage, *flags, "--age", "step1,step2")
    assert done.returncode == 0, done.stderr
    asked = {
        (run.data.params["age"], run.data.params["location"]) for run in sweeping.cells(storage)
    }
    assert asked == {(age, at) for age in ("step1", "step2") for at in ("none", "input")}
    trained = brought(storage)
    assert len(trained) == 4
    again = run_sweep("where_to_drop", storage, *flags, "--age", "step2,step1")
    assert again.returncode == 0, again.stderr
    assert brought(storage) == trained


def test_row_47_two_revisions_of_equal_weights_are_no_axis(run_sweep, prepared, tmp_path):
    save_model(tmp_path / "mine" / "step1")
    shutil.copytree(tmp_path / "mine/step1", tmp_path / "mine/step2")
    flags = ("--model", str(tmp_path / "mine"), "--location", "none", "--age", "step1,step2")
    done = run_sweep("where_to_drop", prepared(tmp_path / "storage"), *flags)
    assert done.returncode == 3
    assert "ages step1 and step2 are the same weights" in done.stderr
