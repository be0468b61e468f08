"""Work that several processes need, on any node: one does it, the others wait and find it done.

    claims/<what>.json       a lock between the processes that share a folder (`storage/lock.py`)
    claims/<what>.<mark>     in an object store: the claim of a node

An object store cannot create an object only where there is none, but lists all that were created
before. So a node writes its claim and then lists: it has the turn if its claim is alone, else it
takes it back and tries again later. Of two that write at once at least one sees the other.

This spares work, without a guarantee, as `try_lock` does: whoever makes it, it is the same.
"""

import random
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from raydistill.core.background import repeated
from raydistill.core.errors import SetupError
from raydistill.core.serialization import from_json, to_json
from raydistill.storage import lock
from raydistill.storage.lock import BusyError, Holder, hang_detector, this_process, try_lock
from raydistill.storage.object_store import (
    Filter,
    ObjectStore,
    is_small,
    object_store_of,
    objects_in,
)

CLAIMS = "claims"
LISTED_EVERY_S = 1.0  # an object store, while another node has the turn


@contextmanager
def done_by_one(
    root: Path,
    *what: str,
    say: Callable[[str], None] = lambda line: None,
    is_wanted: Filter = is_small,
    progress: Callable[[], object] = time.monotonic,
) -> Iterator[None]:
    """Wait until no other process, on any node, has the turn of `what`; have it during the block.

    The block looks first whether the one before it made what is needed.

    Args:
        root: of the storage.
        what: names the work.
        say: shows one line, if there is another process to wait for.
        is_wanted: which files of other nodes the block needs.
        progress: of the block's work, as in `try_lock`.

    Raises:
        SetupError: if the object store does not answer.
    """
    waits = False
    with ExitStack() as turn:
        while True:
            try:
                turn.enter_context(turn_of(root, *what, is_wanted=is_wanted, progress=progress))
                break
            except BusyError as busy:
                if not waits:
                    say(waiting_line(busy.holder, what[0]))
                waits = True
        yield


@contextmanager
def turn_of(
    root: Path,
    *what: str,
    is_wanted: Filter = is_small,
    progress: Callable[[], object] = time.monotonic,
) -> Iterator[None]:
    """As `done_by_one`, but for its wait.

    Raises:
        BusyError: if another process has the turn, after ten seconds at most.
        SetupError: if the object store does not answer.
    """
    name = f"{CLAIMS}/{'-'.join(what)}"
    with try_lock(root / f"{name}.json", progress):
        remote = object_store_of(root)
        if remote is None:
            yield
            return
        with _claimed(remote, name, hang_detector(progress)):
            remote.pull(is_wanted)
            try:
                yield
            finally:
                remote.push()


def waiting_line(holder: Holder, what: str) -> str:
    """One line on whom a process waits for."""
    return (
        f"waiting for process {holder.pid} on {holder.host} ({holder.user}, since "
        f"{holder.since}), which makes the same {what}"
    )


def small_or_below(folder: str) -> Filter:
    """Small files, and all files below a folder."""
    return lambda name: is_small(name) or name.startswith(f"{folder}/")


@contextmanager
def _claimed(remote: ObjectStore, name: str, hangs: Callable[[], bool]) -> Iterator[None]:
    """Have the only claim of that name in the object store during the block."""
    own = f"{name}.{uuid.uuid4().hex}"
    while True:
        if holder := _live_holder(remote, name):
            raise BusyError(holder)
        _write(remote, own)
        if _claims(remote, name).keys() == {own}:
            break
        _delete(remote, own)
        time.sleep(random.uniform(0.2, 1.5))
    try:
        with repeated(lambda: _beat(remote, own, hangs), lock.HEARTBEAT_S):
            yield
    finally:
        _delete(remote, own)


def _beat(remote: ObjectStore, claim: str, hangs: Callable[[], bool]) -> bool:
    """Write the claim again; true once it was given up."""
    hung = hangs()
    with suppress(SetupError):  # an object store that is away for a moment
        (_delete if hung else _write)(remote, claim)
        return hung
    return False


def _live_holder(remote: ObjectStore, name: str) -> Holder | None:
    """Whoever has a claim and is seen to write it; the claims of others are deleted."""
    for claim, written_ns in _claims(remote, name).items():
        holder = _read(remote, claim)
        if (
            holder
            and not lock.is_gone(holder)
            and _is_written_again(remote, name, claim, written_ns)
        ):
            return holder
        _delete(remote, claim)
    return None


def _is_written_again(remote: ObjectStore, name: str, claim: str, written_ns: int) -> bool:
    deadline = time.monotonic() + lock.DEAD_AFTER_S
    while time.monotonic() < deadline:
        time.sleep(LISTED_EVERY_S)
        latest_ns = _claims(remote, name).get(claim)
        if latest_ns != written_ns:
            return latest_ns is not None
    return False


def _claims(remote: ObjectStore, name: str) -> dict[str, int]:
    """When each claim whose name begins so was written."""
    with remote.file_system() as files:
        objects = objects_in(files, CLAIMS)
    return {path: ns for path, (_, ns) in objects.items() if path.startswith(f"{name}.")}


def _read(remote: ObjectStore, claim: str) -> Holder | None:
    try:
        with remote.file_system() as files, files.open_input_stream(claim) as stream:
            return from_json(Holder, stream.read().decode())
    except SetupError as error:
        if isinstance(error.__cause__, FileNotFoundError | ValueError):
            return None  # given back meanwhile, or of another program
        raise


def _write(remote: ObjectStore, claim: str) -> None:
    with remote.file_system() as files, files.open_output_stream(claim) as stream:
        stream.write(to_json(this_process()).encode())


def _delete(remote: ObjectStore, claim: str) -> None:
    with remote.file_system() as files, suppress(FileNotFoundError):
        files.delete_file(claim)
