"""A folder that a command writes is there whole or not at all, wherever the command is killed."""

import os
import signal
import subprocess
import sys

import pytest

from raydistill.core import fault_injection
from raydistill.core.errors import SetupError, UsageError
from raydistill.core.fault_injection import LOG_VARIABLE, PLAN_VARIABLE
from raydistill.storage.manifest import verify
from raydistill.storage.output_folder import check_output, output_folder, write_errors

WRITING = """
import sys
from raydistill.storage.output_folder import output_folder
with output_folder(sys.argv[1], overwrite=True, replaced=["weights*"]) as draft:
    (draft / f"weights-{sys.argv[2]}").write_text(sys.argv[2])
    (draft / "map").write_text(sys.argv[2])
    if sys.argv[3:]:
        print("filling", flush=True)
        sys.stdin.read()
"""


def write(to, content):
    with output_folder(to, overwrite=True, replaced=["weights*"]) as draft:
        (draft / f"weights-{content}").write_text(content)
        (draft / "map").write_text(content)


def by_another(to, content, *more, **environment):
    return subprocess.Popen(
        [sys.executable, "-c", WRITING, str(to), content, *more],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, **environment},
    )  # fmt: skip


def fail_amid(to, error):
    with output_folder(to) as draft:
        (draft / "half").touch()
        raise error


def is_whole(to, content):
    verify(to)
    files = {p.name: p.read_text() for p in to.iterdir() if p.name != "manifest.json"}
    return files == {f"weights-{content}": content, "map": content, "mine.txt": "mine"}


def hidden(folder):
    return sorted(path.name for path in folder.glob(".*"))


@pytest.mark.parametrize("rename", [1, 2, 3, 4])
def test_killed_at_a_rename_it_leaves_one_whole_folder_and_the_same_command_succeeds(
    tmp_path, rename
):
    to = tmp_path / "out"
    write(to, "old")
    (to / "mine.txt").write_text("mine")
    faults = {PLAN_VARIABLE: f"kill@output={rename}", LOG_VARIABLE: str(tmp_path / "faults")}
    assert by_another(to, "new", **faults).wait(20) == -signal.SIGKILL
    if rename == 2:  # between the two renames
        assert not to.exists()
        assert is_whole(tmp_path / ".out.raydistill.old", "old")
    else:
        assert is_whole(to, "old" if rename == 1 else "new")
    again = by_another(to, "new", **faults)
    assert again.communicate() == ("", "")
    assert is_whole(to, "new")
    assert hidden(tmp_path) == []


def test_killed_between_the_renames_the_old_folder_is_back_before_the_next_one_is_written(tmp_path):
    to = tmp_path / "out"
    write(to, "old")
    (to / "mine.txt").write_text("mine")
    faults = {PLAN_VARIABLE: "kill@output=2", LOG_VARIABLE: str(tmp_path / "faults")}
    assert by_another(to, "new", **faults).wait(20) == -signal.SIGKILL
    with pytest.raises(UsageError, match="is not empty: --overwrite"), output_folder(to):
        pytest.fail("the old folder is there")
    assert is_whole(to, "old")


@pytest.mark.parametrize("rename", [1, 2])
def test_a_rename_that_fails_leaves_the_old_folder(tmp_path, monkeypatch, rename):
    to = tmp_path / "out"
    write(to, "old")
    (to / "mine.txt").write_text("mine")
    fault_injection._occurrences.clear()
    monkeypatch.setenv(PLAN_VARIABLE, f"enospc@output={rename}")
    monkeypatch.setenv(LOG_VARIABLE, str(tmp_path / "faults"))
    with pytest.raises(SetupError, match="out cannot be written: No space left"):
        write(to, "new")
    assert is_whole(to, "old")
    assert hidden(tmp_path) == []


def test_killed_before_its_only_rename_a_new_folder_is_not_there(tmp_path):
    to = tmp_path / "deep" / "out"
    faults = {PLAN_VARIABLE: "kill@output=1", LOG_VARIABLE: str(tmp_path / "faults")}
    assert by_another(to, "new", **faults).wait(20) == -signal.SIGKILL
    assert not to.exists()
    assert len(hidden(to.parent)) == 2  # its draft and its lock
    write(to, "new")
    verify(to)
    assert hidden(to.parent) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_amid_the_renames_waits_for_their_end(tmp_path, monkeypatch, number):
    to = tmp_path / "out"
    write(to, "old")
    monkeypatch.setattr(
        "raydistill.storage.output_folder.fault_point", lambda _: os.kill(os.getpid(), number)
    )
    with pytest.raises(KeyboardInterrupt):
        write(to, "new")
    verify(to)
    assert (to / "map").read_text() == "new"
    assert hidden(tmp_path) == []


def test_an_error_or_a_signal_while_it_is_filled_leaves_nothing(tmp_path):
    to = tmp_path / "deep" / "out"
    for error in (ZeroDivisionError, KeyboardInterrupt):
        with pytest.raises(error):
            fail_amid(to, error)
        assert list(tmp_path.iterdir()) == []


def test_what_others_put_there_stays_and_what_a_command_wrote_before_goes(tmp_path):
    to = tmp_path / "out"
    with output_folder(to) as draft:
        (draft / "sub").mkdir()
        for name in ("weights-1", "card", "edited", "sub/own"):
            (draft / name).write_text("first")
    (to / "edited").write_text("by hand")
    (to / "sub/mine").write_text("mine")
    (to / "link").symlink_to("/nowhere")
    (to / "weights-of-mine").touch()
    with output_folder(to, overwrite=True, replaced=["weights*"]) as draft:
        (draft / "sub").mkdir()
        (draft / "sub/new").write_text("second")
    names = sorted(str(p.relative_to(to)) for p in to.rglob("*"))
    assert names == ["edited", "link", "manifest.json", "sub", "sub/mine", "sub/new"]
    assert (to / "edited").read_text() == "by hand"


def test_one_process_at_a_time_writes_a_folder(tmp_path):
    to = tmp_path / "out"
    other = by_another(to, "1", "slowly")
    assert other.stdout.readline() == "filling\n"
    with pytest.raises(SetupError, match=f"{to} is written by process {other.pid} on "):
        write(to, "2")
    write(tmp_path / "beside", "2")
    other.communicate()
    assert (to / "map").read_text() == "1"
    assert hidden(tmp_path) == []


def test_drafts_of_killed_runs_go_and_nothing_else_does(tmp_path, monkeypatch):
    other = by_another(tmp_path / "other", "1", "slowly")
    other.stdout.readline()
    killed = by_another(tmp_path / "killed", "1", "slowly")
    killed.stdout.readline()
    killed.kill()
    killed.wait()
    (tmp_path / ".mine.raydistill.txt").touch()
    (tmp_path / f".mine.{'0' * 32}").touch()
    write(tmp_path / "out", "1")
    assert len(hidden(tmp_path)) == 6  # an hour has not passed
    for path in tmp_path.glob(".killed*"):
        os.utime(path, (0, 0))
        for file in path.rglob("*"):
            os.utime(file, (0, 0))
    for path in tmp_path.glob(".other*"):
        if path.is_dir():  # its lock is touched by its holder
            os.utime(path, (0, 0))
            for file in path.rglob("*"):
                os.utime(file, (0, 0))
    write(tmp_path / "out", "1")
    assert [name for name in hidden(tmp_path) if "killed" in name] == [".killed.raydistill.lock"]
    other.communicate()
    assert (tmp_path / "other/map").read_text() == "1"
    assert hidden(tmp_path) == [
        ".killed.raydistill.lock", f".mine.{'0' * 32}", ".mine.raydistill.txt",
    ]  # fmt: skip


def test_what_may_not_be_written_is_refused_before_anything_is_made(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "here").mkdir()
    (tmp_path / "model/rest").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    before = sorted(tmp_path.rglob("*"))
    source = {"the folder that the model comes from": tmp_path / "model/rest"}
    for to, kind, message in (
        (tmp_path / "file", UsageError, "is a file: name a folder"),
        (tmp_path / "file/out", SetupError, "file is no folder"),
        (tmp_path / "dangling", UsageError, "dangling is a link to .*/nothing, where nothing is"),
        (tmp_path / "circle", UsageError, "is a link to circle, where nothing is"),
        (tmp_path / "circle/out", SetupError, "cannot be filled"),
        (".", UsageError, r"--to \. is the folder that you are in: name another"),
        (tmp_path, UsageError, "holds the folder that you are in"),
        (tmp_path / "model/rest", UsageError, "is the folder that the model comes from"),
        (tmp_path / "model", UsageError, "holds the folder that the model comes from"),
        ("/proc", UsageError, "--to /proc is where a disk is mounted: name a folder in it"),
        ("/proc/out", SetupError, "/proc/out cannot be filled"),
    ):
        with (
            pytest.raises(kind, match=message),
            output_folder(to, overwrite=True, apart_from=source),
        ):
            pytest.fail(f"{to} was written")
        if to != "/proc/out":  # nobody knows before
            with pytest.raises(kind, match=message):
                check_output(to, source)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_link_to_a_folder_means_that_folder(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    for content in ("1", "2"):
        write(tmp_path / "out", content)
    assert (tmp_path / "out").is_symlink()
    assert (tmp_path / "disk/map").read_text() == "2"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["disk", "out"]


def test_an_error_of_writing_names_the_folder_not_its_draft(tmp_path):
    with (
        pytest.raises(SetupError, match=f"^{tmp_path}/out cannot be written: No such file"),
        output_folder(tmp_path / "out") as draft,
        write_errors(draft),
    ):
        (draft / "deep/file").touch()


def test_a_file_system_without_hard_links_copies_what_stays(tmp_path, monkeypatch):
    write(tmp_path / "out", "1")
    (tmp_path / "out/mine.txt").write_text("mine")

    def refused(*_, **__):
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", refused)
    write(tmp_path / "out", "2")
    assert is_whole(tmp_path / "out", "2")
