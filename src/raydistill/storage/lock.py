"""One at a time works on something: who holds it, and whether that one still lives.

The lock is a file with its holder's host and process. On the same host the process is looked for.
On another host, or in another container, the holder must be seen to touch the file, which it does
every few seconds: so no clocks are compared, and the lock of a machine that is gone is taken over
after a while. A holder that was away so long itself sees that its lock was taken over, and stops.
"""

import fcntl
import os
import platform
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from raydistill.core.errors import SetupError
from raydistill.core.serialization import from_json, to_json
from raydistill.core.user import owner
from raydistill.storage.manifest import write_text

BEAT_S = 10.0

DEAD_AFTER_S = 3 * BEAT_S

LOOK_S = 0.2


@dataclass(frozen=True, kw_only=True, slots=True)
class Holder:
    """Who holds a lock; `mark` tells two processes apart that had one number."""

    host: str
    pid: int
    born: str
    user: str
    since: str
    mark: str
    machine: str = ""  # which tells hosts of one name apart, and the processes of containers


@contextmanager
def hold_lock(path: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock at `path` during the block.

    Args:
        path: of the lock's file; its folder is made.
        say: shows one line, if the lock of a holder that is gone is taken over.

    Raises:
        SetupError: if somebody who lives holds it; the message names who, where and since when.
    """
    with _claimed(path, busy=_refuse, lost=_stop) as gone:
        if gone:
            say(f"process {gone.pid} on {gone.host} is gone; its lock since {gone.since} is taken")
        yield


@contextmanager
def turn(path: Path) -> Iterator[None]:
    """Wait until nobody who lives holds `path`, then hold it during the block.

    It spares work that two would do at once, and may fail to: one whose turn was taken over goes
    on, so both must come to the same.
    """
    with _claimed(path, busy=lambda _: time.sleep(LOOK_S), lost=lambda _: None):
        yield


@contextmanager
def _claimed(
    path: Path, *, busy: Callable[[Holder], None], lost: Callable[[Holder], None]
) -> Iterator[Holder | None]:
    """Hold `path` during the block, and touch it; the holder that is gone, if there was one.

    Args:
        path: of a file; its folder is made.
        busy: called, again and again, while somebody who lives holds it.
        lost: called once, if somebody takes it over meanwhile.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    me = _me()
    gone = _take(path, me, busy)
    ended = threading.Event()
    beating = threading.Thread(target=_beat, args=(path, me, ended, lost), name="lock", daemon=True)
    beating.start()
    try:
        yield gone
    finally:
        ended.set()
        with _guard(path):
            if _read(path) == me:
                path.unlink()


def _take(path: Path, me: Holder, busy: Callable[[Holder], None]) -> Holder | None:
    while True:
        holder = _read(path)
        if holder and _lives(holder, path):
            busy(holder)
            continue
        with _guard(path):
            if _read(path) == holder:  # else somebody was faster, or it was given back
                write_text(path, to_json(me))
                return holder


def _refuse(holder: Holder) -> NoReturn:
    raise SetupError(
        f"this sweep is run by process {holder.pid} on {holder.host} ({holder.user}, since "
        f"{holder.since}); wait for its end, or stop it there"
    )


def _me() -> Holder:
    return Holder(
        host=platform.node(),
        pid=os.getpid(),
        born=_born(os.getpid()),
        user=owner(),
        since=time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
        mark=uuid.uuid4().hex,
        machine=_machine(),
    )


def _machine() -> str:
    """Where the number of a process means that process: this start of a kernel, this container."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _read(path: Path) -> Holder | None:
    try:
        return from_json(Holder, path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # nobody's: it is written whole or not at all
        return None


def _lives(holder: Holder, path: Path) -> bool:
    if (holder.host, holder.machine) == (platform.node(), _machine()):
        return Path(f"/proc/{holder.pid}").exists() and _born(holder.pid) == holder.born
    deadline, seen = time.monotonic() + DEAD_AFTER_S, _touched_ns(path)
    while time.monotonic() < deadline:
        if _touched_ns(path) not in (seen, 0):
            return True
        time.sleep(LOOK_S)
    return False


def _touched_ns(path: Path) -> int:
    """When its holder last touched a lock; 0 if it was given back."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _born(pid: int) -> str:
    """When a process of this host began, in the kernel's count; empty if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]


def _beat(path: Path, me: Holder, ended: threading.Event, lost: Callable[[Holder], None]) -> None:
    while not ended.wait(BEAT_S):
        with suppress(OSError):  # a file server that is away for a moment; the next beat tells
            holder = _read(path)
            # Not me: this machine slept, or the file server was away too long.
            if holder and holder != me and not ended.is_set():
                lost(holder)
                return
            os.utime(path)


def _stop(holder: Holder) -> None:
    """End as at SIGTERM: with checkpoints, and before two write to one place for long."""
    print(
        f"process {holder.pid} on {holder.host} ({holder.user}) took the lock of this sweep over; "
        "this one stops",
        file=sys.stderr,
    )
    os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def _guard(path: Path) -> Iterator[None]:
    """Of those who would change a lock at the same time, one after the other."""
    guard = path.with_name(f"{path.name}.guard")
    while True:
        with guard.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            there = False  # unless who had it before took it away
            with suppress(FileNotFoundError):
                there = os.path.samestat(os.fstat(file.fileno()), guard.stat())
            if there:
                try:
                    yield
                finally:
                    guard.unlink()
                return
