"""Shared work is done by one process and waited for by the others, in a folder and on S3."""

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest

from raydistill.core.errors import SetupError
from raydistill.core.serialization import to_json
from raydistill.storage import lock, sharing
from raydistill.storage.lock import BusyError, this_process
from raydistill.storage.object_store import ObjectStore
from raydistill.storage.sharing import CLAIMS, done_by_one, held_sweep, small_or_below, turn_of
from raydistill.storage.urls import copy_of

WORKING = """
import sys, time
from pathlib import Path
from raydistill.storage import lock
from raydistill.storage.manifest import write_text
from raydistill.storage.sharing import done_by_one
from raydistill.storage.urls import copy_of

lock.HEARTBEAT_S = 0.2
root = copy_of(sys.argv[1]) if "://" in sys.argv[1] else Path(sys.argv[1])
with done_by_one(root, "corpus", "k", say=lambda line: print(line, flush=True)):
    if (root / "corpora/made.json").exists():
        print("found")
    else:
        print("working", flush=True)
        while not Path(sys.argv[2]).exists():
            time.sleep(0.05)
        write_text(root / "corpora/made.json", "{}")
"""


def work(storage, until, **environment):
    return subprocess.Popen(
        [sys.executable, "-c", WORKING, str(storage), str(until)], text=True,
        env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def claims(root):
    return [path.name for path in (root / CLAIMS).iterdir()]


def test_one_works_and_the_others_wait_and_find_it_done(tmp_path):
    first = work(tmp_path, tmp_path / "end")
    assert first.stdout.readline() == "working\n"
    others = [work(tmp_path, tmp_path / "end") for _ in range(2)]
    for process in others:
        line = process.stdout.readline()
        assert line.startswith(f"waiting for process {first.pid} on ")
        assert line.endswith(", which makes the same corpus\n")
    (tmp_path / "end").touch()
    assert [process.communicate(timeout=60)[0] for process in others] == ["found\n", "found\n"]
    assert first.communicate()[0] == ""
    assert claims(tmp_path) == []


def test_what_a_killed_process_had_in_work_another_does(tmp_path):
    killed = work(tmp_path, tmp_path / "end")
    assert killed.stdout.readline() == "working\n"
    killed.kill()
    killed.wait()
    (tmp_path / "end").touch()
    assert work(tmp_path, tmp_path / "end").communicate(timeout=60)[0] == "working\n"


def test_a_process_that_is_stopped_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "DEAD_AFTER_S", 2.0)
    stopped = work(tmp_path, tmp_path / "end")
    assert stopped.stdout.readline() == "working\n"
    with pytest.raises(BusyError), turn_of(tmp_path, "corpus", "k"):
        pytest.fail("it lives")
    stopped.send_signal(signal.SIGSTOP)
    with done_by_one(tmp_path, "corpus", "k"):
        (tmp_path / "end").touch()
        stopped.send_signal(signal.SIGCONT)
        assert stopped.wait(60) == 0  # it goes on, though it has the turn no more
        assert claims(tmp_path) == ["corpus-k.json"]


def test_work_without_progress_loses_its_turn(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "HEARTBEAT_S", 0.05)
    monkeypatch.setattr(lock, "HUNG_AFTER_S", 0.3)
    steps = []
    with turn_of(tmp_path, "corpus", progress=lambda: len(steps)):
        for _ in range(8):
            time.sleep(0.1)
            steps.append("one more")
        with pytest.raises(BusyError), turn_of(tmp_path, "corpus"):
            pytest.fail("it gets on")
        with done_by_one(tmp_path, "corpus"):
            assert len(claims(tmp_path)) == 1
    assert claims(tmp_path) == []


def test_other_work_is_not_waited_for(tmp_path):
    with turn_of(tmp_path, "trial", "a"), turn_of(tmp_path, "trial", "b"):
        assert sorted(claims(tmp_path)) == ["trial-a.json", "trial-b.json"]


@pytest.fixture
def own(url, tmp_path):
    """A storage on S3 that no other test sees."""
    return url.replace("/mine", f"/{tmp_path.name}")


def test_on_s3_one_node_works_and_the_others_get_what_it_made(own, tmp_path):
    nodes = [tmp_path / name for name in ("one", "two")]
    (tmp_path / "end").touch()  # each works for as long as it takes
    processes = [work(own, tmp_path / "end", RAYDISTILL_LOCAL_COPIES=str(node)) for node in nodes]
    outputs = [process.communicate(timeout=60) for process in processes]
    assert sorted(out.splitlines()[-1] for out, _ in outputs) == ["found", "working"], outputs
    for node in nodes:
        assert len(list(node.glob("*/corpora/made.json"))) == 1
    assert remote_claims(ObjectStore(own, tmp_path / "three")) == []


def remote_claims(remote):
    return list(sharing._claims(remote, f"{CLAIMS}/corpus-k"))


@pytest.fixture
def node(own, tmp_path, monkeypatch):
    monkeypatch.setenv("RAYDISTILL_LOCAL_COPIES", str(tmp_path / "node"))
    monkeypatch.setattr(sharing, "LISTED_EVERY_S", 0.1)
    monkeypatch.setattr(lock, "DEAD_AFTER_S", 2.5)  # the times of objects are whole seconds
    return ObjectStore(own, copy_of(own))


def claimed_by(node, holder):
    with node.file_system() as files, files.open_output_stream(f"{CLAIMS}/corpus-k.1") as stream:
        stream.write(to_json(holder).encode())


def test_on_s3_the_claim_of_a_process_that_ended_here_goes_at_once(node, monkeypatch):
    monkeypatch.setattr(lock, "DEAD_AFTER_S", 60)
    claimed_by(node, replace(this_process(), born="1"))
    with turn_of(node.root, "corpus", "k"):
        assert len(remote_claims(node)) == 1
    assert remote_claims(node) == []


def test_on_s3_a_node_that_is_silent_is_gone_and_one_that_beats_lives(node):
    elsewhere = replace(this_process(), host="another")
    claimed_by(node, elsewhere)
    with turn_of(node.root, "corpus", "k"):
        assert f"{CLAIMS}/corpus-k.1" not in remote_claims(node)
    claimed_by(node, elsewhere)
    beating = threading.Timer(1.2, claimed_by, [node, elsewhere])
    beating.start()
    with pytest.raises(BusyError, match="another"), turn_of(node.root, "corpus", "k"):
        pytest.fail("it lives")
    beating.join()
    assert claims(node.root) == []


def test_on_s3_a_claim_that_came_at_the_same_time_is_seen(node, monkeypatch):
    """Both wrote before either listed: this one takes its claim back, and waits for the other."""
    write, living = sharing._write, replace(this_process(), host="another")

    def beside(remote, claim):
        write(remote, claim)
        claimed_by(node, living)

    monkeypatch.setattr(sharing, "_write", beside)
    monkeypatch.setattr(sharing, "_is_written_again", lambda *_: True)
    with pytest.raises(BusyError), turn_of(node.root, "corpus", "k"):
        pytest.fail("both have the turn")
    assert remote_claims(node) == [f"{CLAIMS}/corpus-k.1"]


def test_a_sweep_that_runs_on_another_machine_is_refused_on_s3(own, node, tmp_path):
    program = WORKING.replace(
        'done_by_one(root, "corpus", "k", say', 'held_sweep(root, "s", "smoke", say'
    )
    elsewhere = {**os.environ, "RAYDISTILL_LOCAL_COPIES": str(tmp_path / "elsewhere")}
    process = subprocess.Popen(
        [sys.executable, "-c", program.replace("import done_by_one", "import held_sweep"), own,
         str(tmp_path / "end")], text=True, env=elsewhere, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout.readline() == "working\n"
    with pytest.raises(SetupError) as refusal, held_sweep(node.root, "s", "smoke", print):
        pytest.fail("it runs elsewhere")
    assert refusal.value.exit_code == 4
    assert str(refusal.value).startswith(f"this sweep is run by process {process.pid} on ")
    with (
        held_sweep(node.root, "s", "laptop", print),
        held_sweep(node.root, "other", "smoke", print),
    ):
        pass
    process.kill()
    process.wait()
    lines = []
    with held_sweep(node.root, "s", "smoke", lines.append):
        assert len(lines) == 1
        assert lines[0].startswith(f"process {process.pid} on ")
    with held_sweep(node.root, "s", "smoke", pytest.fail):
        assert len(claims_of_sweep(node)) == 1
    assert claims_of_sweep(node) == []


def claims_of_sweep(remote):
    return list(sharing._claims(remote, f"{CLAIMS}/sweep-s-smoke"))


def test_of_a_sweep_on_s3_that_was_taken_over_the_first_process_hears(node, monkeypatch):
    """The one that took it over does not stop when the first wrote its claim once more."""
    monkeypatch.setattr(lock, "HEARTBEAT_S", 0.1)
    name, heard = f"{CLAIMS}/corpus-k", threading.Event()
    with sharing._claimed(node, name, on_takeover=lambda holder: heard.set()):
        (first,) = remote_claims(node)
        monkeypatch.setattr(sharing, "_is_written_again", lambda *_: False)
        with sharing._claimed(node, name, on_takeover=pytest.fail) as dead:
            assert [holder.pid for holder in dead] == [os.getpid()]
            assert heard.wait(20)
            sharing._write(node, first)
            time.sleep(0.5)
            assert len(remote_claims(node)) == 2


def test_what_is_wanted_are_small_files_and_all_of_one_folder():
    is_wanted = small_or_below("trials/ab")
    assert is_wanted("trials/ab/weights/model.safetensors")
    assert not is_wanted("trials/abc/weights/model.safetensors")
    assert is_wanted("trials/abc/trained.json")
