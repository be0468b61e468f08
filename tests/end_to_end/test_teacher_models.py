"""KD from a model of one's own, wider than the students: run, in every table, and run again."""

import json

import pytest

from support import hub_models, sweeping, trained_here

SHAPE = {"hidden_size": 64, "num_hidden_layers": 3, "vocab_size": 2112}


@pytest.mark.parametrize(
    ("placement", "beside"),
    [
        pytest.param("auto", "own,", id="online"),
        pytest.param("own-devices", "", id="apart", marks=pytest.mark.soak),
        pytest.param("cached:top-k-tail=16", "", id="cached", marks=pytest.mark.soak),
    ],
)
def test_any_model_of_the_same_tokenizer_teaches(placement, beside, run_sweep, prepared, tmp_path):
    storage = prepared(tmp_path / "storage")
    wide = hub_models.save_model(tmp_path / "wide", "llama", **SHAPE)
    flags = (
        *("--age", "320B", "--location", "input", "--loss", "kd", "--teacher", f"{beside}{wide}"),
        *("--teacher-placement", placement),
    )
    if placement == "auto":  # within the trial, which needs no Ray
        trained_here.train(storage, *flags)
    else:
        done = run_sweep("where_to_drop", storage, *flags)
        assert done.returncode == 0, done.stderr
    before = sweeping.results(storage)
    again = run_sweep("where_to_drop", storage, *flags)
    assert "nothing is trained" in again.stdout
    assert sweeping.results(storage) == before
    taught = [trained["spec"]["teacher"] for trained, _ in before.values()]
    *own, name = sorted(teacher.get("base", teacher)["name"] for teacher in taught)
    assert own == ["smoke"] * bool(beside)
    assert name.startswith("wide-")
    assert f"{name}: 3 blocks, width 64" in " ".join(again.stdout.split())
    assert f"The teacher {name}@main is wide, main: 344." in " ".join(again.stdout.split())
    runs = {run.data.params.get("teacher") for run in sweeping.cells(storage)}
    assert runs == {f"{name}@main", *(["own"] if beside else [])}
    assert str(tmp_path) not in json.dumps(before)
