"""A custom model through a whole sweep: trained once, and then never again."""

import json
import shutil

import pytest

from raydistill.core.errors import DataError
from support import sweeping, trained_here
from support.hub_models import save_model


def trained(storage):
    """When each trial was trained."""
    files = storage.glob("trials/*/trained.json")
    return {path.parent.name: path.stat().st_mtime_ns for path in files}


def tracked_cells(storage):
    """Age and location of every cell that is tracked."""
    fields = [run.data.params for run in sweeping.cells(storage)]
    return {(params["age"], params["location"]) for params in fields}


def test_a_folder_is_all_that_a_sweep_needs(run_sweep, prepared, tmp_path):
    folder = save_model(tmp_path / "mine", "llama")
    storage = prepared(tmp_path / "storage")
    flags = ("--model", str(folder), "--location", "none,input,block-influence")
    done = run_sweep("where_to_drop", storage, *flags)
    assert done.returncode == 0, done.stderr
    assert "by the recipe of 'smoke', a test" in " ".join(done.stdout.split())  # row 48
    assert "block-influence" in next(storage.glob("sweeps/*/mine-*/table.md")).read_text()
    assert tracked_cells(storage) == {("main", at) for at in ("none", "input", "block-influence")}
    once = trained(storage)
    assert len(once) in (2, 3)  # the score may take what "input" takes
    again = run_sweep("where_to_drop", storage, *flags)
    assert again.returncode == 0, again.stderr
    assert trained(storage) == once


def test_revisions_are_ages(prepared, tmp_path):
    for seed, step in enumerate(("step1", "step2")):
        save_model(tmp_path / "mine" / step, "gpt_neox", seed=seed)
    storage = prepared(tmp_path / "storage")
    flags = ("--model", str(tmp_path / "mine"), "--location", "input", "--no-lr-probe")
    trained_here.train(storage, *flags, "--age", "step1,step2")
    sweeping.command(storage, "track", "sync")
    assert tracked_cells(storage) == {(age, "input") for age in ("step1", "step2")}
    once = trained(storage)
    assert len(once) == 2
    trained_here.train(storage, *flags, "--age", "step2,step1")
    assert trained(storage) == once


def test_row_47_two_revisions_of_equal_weights_are_no_axis(prepared, tmp_path):
    save_model(tmp_path / "mine" / "step1")
    shutil.copytree(tmp_path / "mine/step1", tmp_path / "mine/step2")
    storage = prepared(tmp_path / "storage")
    flags = ("--model", str(tmp_path / "mine"), "--location", "none", "--age", "step1,step2")
    with pytest.raises(DataError, match="ages step1 and step2 are the same weights"):
        trained_here.train(storage, *flags)


@pytest.mark.parametrize("file", ["tokenizer.json", "tokenizer_config.json"])
def test_a_revision_with_another_tokenizer_is_refused(prepared, tmp_path, file):
    for seed, step in enumerate(("step1", "step2")):
        save_model(tmp_path / "mine" / step, seed=seed)
    path = tmp_path / "mine/step2" / file
    told = json.loads(path.read_text())
    if file == "tokenizer.json":
        told["pre_tokenizer"]["add_prefix_space"] = True
    else:
        told["eos_token"] = "."
    path.write_text(json.dumps(told))
    flags = ("--model", str(tmp_path / "mine"), "--location", "none", "--age", "step1,step2")
    with pytest.raises(DataError, match=r"revision step2 of .*/mine has another tokenizer than"):
        trained_here.train(prepared(tmp_path / "storage"), *flags)


OTHERS = {
    "when_to_drop": (("--location", "input", "--gap", "0,1024"), [4, 4, 4]),
    "how_many_to_drop": (("--count", "0,1,3"), [3, 5, 6]),
    "search": (
        (
            *("--location", "input,2-3", "--count", "2", "--gap", "0"),
            *("--loss", "lm", "--lr_factor", "1"),
        ),
        [4, 4],
    ),
    "teacher_free_vs_kd": (("--arm", "teacher-free,kd,scratch", "--seed", "1"), [3, 3, 3]),
}
"""For each of the other sweeps some of its cells, and how many layers each leaves of six."""

IN_SOAK = ("when_to_drop", "how_many_to_drop")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.soak] * (n in IN_SOAK)) for n in OTHERS]
)
def test_every_other_sweep_takes_a_custom_model_too(name, prepared, tmp_path):
    folder, storage = save_model(tmp_path / "mine", "gpt_neox"), prepared(tmp_path / "storage")
    flags, layers = OTHERS[name]
    trained_here.train(storage, "--model", str(folder), *flags, script=name)
    results = [trained for trained, _ in sweeping.results(storage).values()]
    assert sorted(len(trained["kept"]) for trained in results) == layers
    assert {trained["model"]["family"] for trained in results} == {"hub"}
