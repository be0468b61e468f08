"""A lock is held by heartbeat, and taken over from a holder that is dead."""

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from raydistill.core.errors import SetupError
from raydistill.core.serialization import to_json
from raydistill.storage import lock
from raydistill.storage.lock import Holder, hold_lock
from raydistill.storage.manifest import write_text

ELSEWHERE = Holder(
    host="another", pid=os.getpid(), born="1", user="ada", since="yesterday", mark="1"
)
HOLDING = """
import sys
from pathlib import Path
from raydistill.storage.lock import hold_lock
with hold_lock(Path(sys.argv[1]), print):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "sweep" / "lock.json"


@contextlib.contextmanager
def held_by_another_process(path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "held\n"
    yield process
    process.communicate()


def messages_on_taking(path):
    messages = []
    with hold_lock(path, messages.append):
        pass
    return messages


def test_a_lock_is_given_back(path):
    assert messages_on_taking(path) == []
    assert messages_on_taking(path) == []
    assert not path.exists()


def test_it_is_given_back_after_an_error_too(path):
    with pytest.raises(ZeroDivisionError), hold_lock(path, print):
        print(1 / 0)
    assert messages_on_taking(path) == []


def test_a_living_holder_is_named(path):
    with held_by_another_process(path) as process, pytest.raises(SetupError) as refusal:
        messages_on_taking(path)
    assert f"this sweep is run by process {process.pid} on " in str(refusal.value)
    assert refusal.value.exit_code == 4
    assert messages_on_taking(path) == []


def test_the_lock_of_a_killed_process_is_taken_over_and_said(path):
    with held_by_another_process(path) as process:
        process.kill()
        process.wait()
        (message,) = messages_on_taking(path)
    assert message.startswith(f"process {process.pid} on ")
    assert "is gone; its lock since" in message


def test_a_killed_process_whose_parent_has_not_noticed_is_gone_too(path):
    with held_by_another_process(path) as process:
        process.kill()
        while ") Z " not in Path(f"/proc/{process.pid}/stat").read_text():
            pass
        (message,) = messages_on_taking(path)
    assert "is gone; its lock since" in message


def test_a_lock_that_a_full_disk_left_empty_is_nobodys(path):
    path.parent.mkdir()
    path.touch()
    assert messages_on_taking(path) == []


def test_another_process_with_the_same_number_is_not_the_holder(path):
    with hold_lock(path, print):
        stale = dataclasses.replace(lock._read(path), born="1")
    path.write_text(to_json(stale))
    assert len(messages_on_taking(path)) == 1


def test_a_holder_on_another_host_lives_if_it_touches_its_lock(path):
    path.parent.mkdir()
    path.write_text(to_json(ELSEWHERE))
    beating = threading.Timer(0.5, os.utime, [path])
    beating.start()
    with pytest.raises(SetupError, match=r"on another \(ada, since yesterday\)"):
        messages_on_taking(path)
    assert path.read_text() == to_json(ELSEWHERE)


def test_a_holder_on_another_host_that_is_silent_is_gone(path, monkeypatch):
    monkeypatch.setattr(lock, "DEAD_AFTER_S", 0.5)
    path.parent.mkdir()
    path.write_text(to_json(ELSEWHERE))
    assert "process" in messages_on_taking(path)[0]


def test_a_holder_touches_its_lock(path, monkeypatch):
    monkeypatch.setattr(lock, "HEARTBEAT_S", 0.01)
    with hold_lock(path, print):
        before = path.stat().st_mtime_ns
        while path.stat().st_mtime_ns == before:
            pass


def test_a_host_of_the_same_name_is_another_one(path, monkeypatch):
    monkeypatch.setattr(lock, "DEAD_AFTER_S", 0.5)
    with held_by_another_process(path):
        monkeypatch.setattr(lock, "_machine", lambda: "another kernel")
        process = Holder(**json.loads(path.read_text())).pid
        assert f"process {process} on " in messages_on_taking(path)[0]  # it beats every ten seconds


def test_a_holder_whose_lock_was_taken_over_says_so_and_stops(path):
    program = HOLDING.replace(
        "with hold_lock",
        "import raydistill.storage.lock as lock; lock.HEARTBEAT_S = 0.1\nwith hold_lock",
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "held\n"
    write_text(path, to_json(ELSEWHERE))
    assert process.wait(20) == -signal.SIGTERM
    assert "on another (ada) took the lock of this sweep over" in process.stderr.read()
    assert path.read_text() == to_json(ELSEWHERE)


def test_of_many_who_find_a_dead_holder_one_takes_over(path, monkeypatch):
    monkeypatch.setattr(lock, "DEAD_AFTER_S", 0.5)
    path.parent.mkdir()
    path.write_text(to_json(ELSEWHERE))
    taken, refused, ended = [], [], threading.Event()

    def run():
        try:
            with hold_lock(path, taken.append):
                ended.wait(20)
        except SetupError as error:
            refused.append(error)
            ended.set()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(taken), len(refused)) == (1, 1)
