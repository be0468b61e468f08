"""Locks between processes and hosts, held by heartbeat and taken over from dead holders.

A lock is a file that names its holder's host and process. On the same host the process is looked
up. On another host, or in another container, the holder must be seen to touch the file, its
heartbeat: so no clocks are compared, and the lock of a lost machine is taken over after a while. A
holder that was suspended meanwhile notices the takeover, and stops.
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
from functools import partial
from pathlib import Path
from typing import NoReturn

from raydistill.core.errors import SetupError
from raydistill.core.serialization import from_json, to_json
from raydistill.storage.manifest import write_text
from raydistill.storage.owner import owner

HEARTBEAT_S = 10.0
DEAD_AFTER_S = 3 * HEARTBEAT_S
POLL_S = 0.2
HUNG_AFTER_S = 600.0  # without progress for so long, shared work is left to others


@dataclass(frozen=True, kw_only=True, slots=True)
class Holder:
    """The holder of a lock."""

    host: str
    pid: int
    born: str  # start time, in the kernel's count: a process id comes again
    user: str
    since: str
    mark: str  # unique
    machine: str = ""  # tells hosts of one name apart, and the processes of containers


@contextmanager
def hold_lock(
    path: Path, say: Callable[[str], None], what: str = "this sweep", done: str = "run"
) -> Iterator[None]:
    """Hold the lock at `path` during the block.

    Args:
        path: of the lock's file; its folder is made.
        say: shows a line, if the lock of a dead holder is taken over.
        what: the lock is for, such as a folder.
        done: what its holder does to that, such as "written".

    Raises:
        SetupError: if a live holder has it; the message names who, where and since when.
    """
    on_busy = partial(refuse, f"{what} is {done}")
    with _claim(path, on_busy=on_busy, on_takeover=partial(stop, what)) as dead:
        if dead:
            say(taken_line(dead))
        yield


def taken_line(dead: Holder) -> str:
    """One line on whose lock was taken over."""
    return f"process {dead.pid} on {dead.host} is gone; its lock since {dead.since} is taken"


class BusyError(Exception):
    """A live holder has the lock."""

    def __init__(self, holder: Holder) -> None:
        super().__init__(holder)
        self.holder = holder


@contextmanager
def try_lock(path: Path, progress: Callable[[], object] = time.monotonic) -> Iterator[None]:
    """Hold `path` during the block, unless a live holder has it, which takes up to ten seconds.

    It spares duplicate work, without a guarantee: a holder goes on after a takeover, so both must
    come to the same result. A holder lives if it is seen to touch the lock, also on this host.

    Args:
        path: of the lock's file; its folder is made.
        progress: of the block's work. If it stays the same for `HUNG_AFTER_S`, the lock is given
            away while the block goes on.

    Raises:
        BusyError: if a live holder has it.
    """
    with _claim(path, on_busy=_busy, on_takeover=lambda _: None, progress=progress):
        yield


def _busy(holder: Holder) -> NoReturn:
    raise BusyError(holder)


@contextmanager
def _claim(
    path: Path,
    *,
    on_busy: Callable[[Holder], NoReturn],
    on_takeover: Callable[[Holder], None],
    progress: Callable[[], object] | None = None,
) -> Iterator[Holder | None]:
    """Hold `path` during the block, with a heartbeat; yields the dead holder before, if any.

    Args:
        path: of a file; its folder is made.
        on_busy: called if a live holder has it; raises.
        on_takeover: called once, if another process takes it over meanwhile.
        progress: as in `try_lock`; None: it may stay the same, and a holder on this host lives as
            long as its process.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    me = this_process()
    dead = _acquire(path, me, on_busy, by_beat=progress is not None)
    ended, hangs = threading.Event(), hang_detector(progress or time.monotonic)
    arguments = (path, me, ended, on_takeover, hangs)
    threading.Thread(target=_beat, args=arguments, daemon=True).start()
    try:
        yield dead
    finally:
        ended.set()
        _give_back(path, me)


def _give_back(path: Path, me: Holder) -> None:
    with _guard(path):
        if _read(path) == me:
            path.unlink()


def hang_detector(progress: Callable[[], object]) -> Callable[[], bool]:
    """A function that tells whether `progress` has stayed the same for `HUNG_AFTER_S`."""
    latest, since_s = progress(), time.monotonic()

    def hangs() -> bool:
        nonlocal latest, since_s
        now = progress()
        if now != latest:
            latest, since_s = now, time.monotonic()
        return time.monotonic() - since_s > HUNG_AFTER_S

    return hangs


def _acquire(
    path: Path, me: Holder, on_busy: Callable[[Holder], NoReturn], *, by_beat: bool
) -> Holder | None:
    while True:
        holder = _read(path)
        if holder and _is_alive(holder, path, by_beat=by_beat):
            on_busy(holder)
        with _guard(path):
            if _read(path) == holder:  # else another process was faster, or it was released
                write_text(path, to_json(me))
                return holder


def refuse(doing: str, holder: Holder) -> NoReturn:
    """Raise a `SetupError` that says who has what is asked for, where and since when."""
    raise SetupError(
        f"{doing} by process {holder.pid} on {holder.host} ({holder.user}, since "
        f"{holder.since}); wait for its end, or stop it there"
    )


def this_process() -> Holder:
    """This process as the holder of one more lock."""
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
    """The namespace of process ids: this boot of the kernel, this container."""
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


def is_gone(holder: Holder) -> bool:
    """Whether a holder was on this host, and its process has ended."""
    return _is_here(holder) and _born(holder.pid) != holder.born


def _is_here(holder: Holder) -> bool:
    return (holder.host, holder.machine) == (platform.node(), _machine())


def _is_alive(holder: Holder, path: Path, *, by_beat: bool) -> bool:
    """Whether a holder lives.

    Args:
        holder: of the lock at `path`.
        path: the lock.
        by_beat: whether it must be seen to touch the lock even on this host.
    """
    if is_gone(holder) or (_is_here(holder) and not by_beat):
        return not is_gone(holder)
    deadline, first_ns = time.monotonic() + DEAD_AFTER_S, _touched_ns(path)
    while time.monotonic() < deadline:
        touched_ns = _touched_ns(path)
        if touched_ns == 0 or _read(path) != holder:  # it was released
            return False
        if touched_ns != first_ns:
            return True
        time.sleep(POLL_S)
    return False


def _touched_ns(path: Path) -> int:
    """The time of the last heartbeat; 0 if the lock was released."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _born(pid: int) -> str:
    """The start time of a process of this host, in the kernel's count; empty if it has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return ""
    state, *fields = stat.rpartition(")")[2].split()
    return "" if state == "Z" else fields[18]


def _beat(
    path: Path,
    me: Holder,
    ended: threading.Event,
    on_takeover: Callable[[Holder], None],
    hangs: Callable[[], bool],
) -> None:
    while not ended.wait(HEARTBEAT_S):
        with suppress(OSError):  # a file server that is away for a moment; the next beat tells
            holder = _read(path)
            # Not me: this machine was suspended, or the file server was away too long.
            if holder and holder != me and not ended.is_set():
                on_takeover(holder)
                return
            if hangs():
                _give_back(path, me)
                return
            os.utime(path)


def stop(what: str, holder: Holder) -> None:
    """End as at SIGTERM: with checkpoints, and before two processes write the same files."""
    print(
        f"process {holder.pid} on {holder.host} ({holder.user}) took the lock of {what} over; "
        "this one stops",
        file=sys.stderr,
    )
    os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def _guard(path: Path) -> Iterator[None]:
    """Serialise changes of a lock on this host."""
    guard = path.with_name(f"{path.name}.guard")
    while True:
        with guard.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            is_current = False  # where its last holder deleted it
            with suppress(FileNotFoundError):
                is_current = os.path.samestat(os.fstat(file.fileno()), guard.stat())
            if is_current:
                try:
                    yield
                finally:
                    guard.unlink()
                return
