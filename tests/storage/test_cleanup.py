"""Row 20: what a killed process left half-written goes, with a notice; what is in work stays."""

import os
import time
import uuid

import pytest

from raydistill.storage.cleanup import IDLE_S, remove_leftovers
from raydistill.storage.manifest import write_text


def drafts(root):
    """One of each kind: of a folder, of a checkpoint, of a file, of a test."""
    mark = uuid.uuid4().hex
    folders = [root / "bases" / f".abc.{mark}", root / "trials/t1/checkpoints" / f".{mark}"]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(bytes(1_500_000))
    files = [root / "scores/ab" / f".heldout.json.{mark}", root / f".probe-{mark}"]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("half")
    return [*folders, *files]


def aged(path, seconds):
    for entry in (path, *path.rglob("*")):
        os.utime(entry, (time.time() - seconds,) * 2)


def test_old_drafts_go_and_whole_files_stay(tmp_path):
    complete = [tmp_path / "trials/t1/trained.json", tmp_path / ".url", tmp_path / "lock.json"]
    for path in complete:
        write_text(path, "{}")
        aged(path, 2 * IDLE_S)
    for path in drafts(tmp_path):
        aged(path, 2 * IDLE_S)
    assert (
        remove_leftovers(tmp_path) == "swept up 4 half-written leftover(s) of killed runs, 3.0 MB"
    )
    assert sorted(p for p in tmp_path.rglob("*") if p.is_file()) == sorted(complete)
    assert remove_leftovers(tmp_path) == ""


def test_a_draft_that_somebody_writes_to_stays(tmp_path):
    leftovers = drafts(tmp_path)
    for path in leftovers:
        aged(path, 2 * IDLE_S)
    (leftovers[0] / "model.safetensors").write_bytes(bytes(10))  # its folder keeps its time
    os.utime(leftovers[0], (0, 0))
    assert remove_leftovers(tmp_path).startswith("swept up 3 ")
    assert leftovers[0].is_dir()


@pytest.mark.parametrize("hours", [2, -2])
def test_a_machine_whose_clock_goes_wrong_deletes_no_draft_that_is_seconds_old(
    tmp_path, monkeypatch, hours
):
    fresh, (leftover, *_) = drafts(tmp_path / "fresh"), drafts(tmp_path / "left")
    aged(leftover, 2 * IDLE_S)
    now_s = time.time()
    monkeypatch.setattr(time, "time", lambda: now_s + hours * 3600)
    assert remove_leftovers(tmp_path).startswith("swept up 1 ")
    assert all(path.exists() for path in fresh)
    assert not leftover.exists()


@pytest.mark.parametrize("folder", ["mlartifacts", "ray"])
def test_what_others_keep_in_a_storage_is_theirs(tmp_path, folder):
    theirs = tmp_path / folder / f".{uuid.uuid4().hex}"
    write_text(theirs, "")
    aged(theirs, 2 * IDLE_S)
    assert remove_leftovers(tmp_path) == ""
