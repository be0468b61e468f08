"""Storages of several people become one: verified, nothing overwritten, nothing trained again."""

import argparse
import json
import re
import shutil

import pytest

from raydistill.cli.commands.merge_stores import merge
from raydistill.core.errors import SetupError
from raydistill.storage.lock import hold_lock
from raydistill.storage.owner import owner
from raydistill.storage.store import Store
from support import sweeping, trained_here


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
    return [shutil.copytree(path, tmp_path / path.name) for path in (ours, theirs)]


def test_what_the_other_has_comes_and_is_reported_with_its_owner(copies, run_sweep):
    ours, theirs = copies
    own = sweeping.results(ours)
    done = sweeping.command(ours, "store", "merge", theirs)
    assert done.returncode == 0, done.stdout
    assert "trials: 2 new, 2 there already" in done.stdout  # weights, and their description
    assert "warning" not in done.stdout
    assert own.items() <= sweeping.results(ours).items()
    assert sweeping.results(ours).keys() == sweeping.results(ours).keys() | sweeping.results(theirs)
    report = sweeping.command(ours, "report")
    assert "output" in report.stdout
    assert f"Run by ben (1) and {owner()} (2)." in " ".join(report.stdout.split())
    flags = ("--age", "320B", "--location", "none,input,output")
    assert "nothing is trained" in run_sweep("where_to_drop", ours, *flags).stdout


def test_merging_says_how_far_it_is(copies, all_progress):
    ours, theirs = copies
    done = sweeping.command(ours, "store", "merge", theirs)
    assert re.search(r"^merging: \d+ % of [\d.]+ [kM]B, about .* left$", done.stderr, re.MULTILINE)
    reported = sweeping.command(ours, "report", "--format", "csv")
    assert re.search(r"^comparing: \d+ of \d+ rows, about", reported.stderr, re.MULTILINE)
    assert re.search(r"^drawing: ", reported.stderr, re.MULTILINE)
    assert " left" not in reported.stdout


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
    scores = sorted(theirs.glob("scores/*/*.json"))
    shared = next(path for path in scores if (ours / path.relative_to(theirs)).exists())
    score = ours / shared.relative_to(theirs)
    shared.write_text(shared.read_text() + "\n")
    before = score.read_bytes()
    done = sweeping.command(ours, "store", "merge", theirs)
    assert f"{score.relative_to(ours)} differs; what {ours} had stays" in " ".join(
        done.stdout.split()
    )
    assert score.read_bytes() == before


def test_a_folder_that_is_no_storage_is_refused(ours, tmp_path):
    for other, message in ((tmp_path, "holds no storage"), (ours, "is this storage itself")):
        done = sweeping.command(ours, "store", "merge", other)
        assert done.returncode == 2
        assert message in done.stderr


def files_of(storage):
    """Every file of a storage but locks, and its content."""
    files = (path for path in storage.rglob("*") if path.is_file())
    return {path: path.read_bytes() for path in files if "lock" not in path.name}


def merged(ours, theirs):
    """The exit code of a merge in this process."""
    return merge(Store(ours), argparse.Namespace(other=str(theirs)))


@pytest.mark.parametrize("above", ["trials", "trials/*", "trials/*/weights", "scores/*"])
def test_a_link_above_what_is_copied_is_not_followed(copies, tmp_path, capsys, above):
    ours, theirs = copies
    outside = tmp_path / "outside"
    path = min(theirs.glob(above))
    path.rename(outside)
    (outside / "planted.json").write_text('"of somewhere else"')
    path.symlink_to(outside)
    assert merged(ours, theirs) == 3
    out = " ".join(capsys.readouterr().out.split())
    assert f"left out, damaged: {path.relative_to(theirs)}: it is a link" in out
    assert not list(ours.rglob("planted.json"))
    assert not any(path.is_symlink() for path in ours.rglob("*"))


@pytest.mark.parametrize("above", ["sweeps", "sweeps/*", "sweeps/*/*", "sweeps/*/*/asked.json"])
def test_a_sweep_behind_a_link_does_not_come(copies, tmp_path, capsys, above):
    ours, theirs = copies
    own = {path: path.read_bytes() for path in ours.glob("sweeps/*/*/asked.json")}
    (path,) = theirs.glob(above)
    path.rename(tmp_path / "outside")
    path.symlink_to(tmp_path / "outside")
    assert merged(ours, theirs) == 3
    assert f"{path.relative_to(theirs)}: it is a link" in " ".join(capsys.readouterr().out.split())
    assert {path: path.read_bytes() for path in own} == own


@pytest.mark.parametrize("sweep", ["where_to_drop", "when_to_drop"])
def test_while_a_sweep_runs_here_nothing_is_copied(copies, sweep):
    """Its own trials may be those that come, whichever sweep asked for them there."""
    ours, theirs = copies
    with hold_lock(ours / "sweeps" / sweep / "smoke/lock.json", print):
        before = files_of(ours)
        with pytest.raises(SetupError, match="this sweep is run by process"):
            merged(ours, theirs)
        assert files_of(ours) == before
    assert merged(ours, theirs) == 0


def test_a_sweep_that_was_also_searched_has_one_lock(copies, capsys):
    ours, theirs = copies
    (record,) = theirs.glob("sweeps/*/*/asked.json")
    shutil.copy(record, record.with_name("asked-searched.json"))
    assert merged(ours, theirs) == 0
    assert "sweeps: 2 new" in capsys.readouterr().out
    assert not list(ours.rglob("lock.json"))
