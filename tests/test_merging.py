"""Storages of several people become one: verified, nothing overwritten, nothing trained again."""

import json
import shutil

import pytest

import sweeping
import trained_here
from raydistill.owner import owner


@pytest.fixture(scope="module")
def ours(prepared, tmp_path_factory):
    storage = prepared(tmp_path_factory.mktemp("ours"))
    trained_here.train(storage, "--age", "320B", "--location", "none,input")
    return storage


@pytest.fixture(scope="module")
def theirs(prepared, tmp_path_factory):
    storage = prepared(tmp_path_factory.mktemp("theirs"))
    trained_here.train(storage, "--age", "320B", "--location", "none,output")
    for path in storage.glob("trials/*/trained.json"):
        about = json.loads(path.read_text())
        about["made_by"]["owner"] = "ben"
        path.write_text(json.dumps(about, indent=1))
    return storage


@pytest.fixture
def copies(ours, theirs, tmp_path):
    return [shutil.copytree(each, tmp_path / each.name) for each in (ours, theirs)]


def test_what_the_other_has_comes_and_is_reported_with_its_owner(copies, run_sweep):
    ours, theirs = copies
    own = sweeping.results(ours)
    done = sweeping.command(ours, "store", "merge", theirs)
    assert done.returncode == 0, done.stdout
    assert "trials: 2 new, 2 there already" in done.stdout  # weights, and what is said of them
    assert "warning" not in done.stdout
    assert own.items() <= sweeping.results(ours).items()
    assert sweeping.results(ours).keys() == sweeping.results(ours).keys() | sweeping.results(theirs)
    report = sweeping.command(ours, "report")
    assert "output" in report.stdout
    assert f"Run by ben (1) and {owner()} (2)." in " ".join(report.stdout.split())
    flags = ("--age", "320B", "--location", "none,input,output")
    assert "nothing is trained" in run_sweep("where_to_drop", ours, *flags).stdout


def test_a_second_merge_brings_nothing(copies):
    ours, theirs = copies
    sweeping.command(ours, "store", "merge", theirs)
    files = [path for path in ours.glob("*/*/**/*") if path.is_file() and "lock" not in path.name]
    before = {path: path.stat().st_mtime_ns for path in files}
    done = sweeping.command(ours, "store", "merge", theirs)
    assert done.returncode == 0
    assert "trials: 0 new, 4 there already" in done.stdout
    after = {path: path.stat().st_mtime_ns for path in before}
    assert after == before


@pytest.mark.parametrize("damage", ["flipped", "truncated", "another"])
def test_what_is_damaged_is_left_out_and_named(copies, damage):
    ours, theirs = copies
    new = sweeping.results(theirs).keys() - sweeping.results(ours).keys()
    (trial_id,) = new
    weights = theirs / "trials" / trial_id / "weights/model.safetensors"
    content = bytearray(weights.read_bytes())
    if damage == "flipped":
        content[-100] ^= 1
    elif damage == "truncated":
        del content[-100:]
    else:  # whole, but of another training
        trained = weights.parents[1] / "trained.json"
        about = json.loads(trained.read_text())
        about["weights_sha256"] = "0" * 64
        trained.write_text(json.dumps(about))
    weights.write_bytes(content)
    done = sweeping.command(ours, "store", "merge", theirs)
    assert done.returncode == 3
    assert "left out, damaged: trials/" in done.stdout
    assert trial_id not in sweeping.results(ours)


def test_where_both_have_something_else_what_was_here_stays(copies):
    ours, theirs = copies
    (score, *_) = sorted(ours.glob("scores/*/*.json"))
    there = theirs / score.relative_to(ours)
    there.write_text(there.read_text() + "\n")
    before = score.read_bytes()
    done = sweeping.command(ours, "store", "merge", theirs)
    assert f"{score.relative_to(ours)} differs; what {ours} had stays" in " ".join(
        done.stdout.split()
    )
    assert score.read_bytes() == before


def test_a_folder_that_is_no_storage_is_refused(ours, tmp_path):
    for other, said in ((tmp_path, "holds no storage"), (ours, "is this storage itself")):
        done = sweeping.command(ours, "store", "merge", other)
        assert done.returncode == 2
        assert said in done.stderr
