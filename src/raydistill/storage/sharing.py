"""Work that several processes need, on any node: one does it, the others wait and find it done.

    claims/<what>.json       a lock between the processes that share a folder (`storage/lock.py`)
    claims/<what>.<mark>     in an object store: the claim of a node

An object store cannot create an object only where there is none, but lists all that were created
before. So a node writes its claim and then lists: it has the turn if its claim is alone, else it
takes it back and tries again later. Of two that write at once at least one sees the other.

This spares work, without a guarantee, as `try_lock` does: whoever makes it, it is the same. A sweep
that was taken over stops, as `hold_lock` has it.
"""

import random
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

from raydistill.core.background import repeated
from raydistill.core.errors import SetupError
from raydistill.core.serialization import from_json, to_json
from raydistill.storage import lock
from raydistill.storage.lock import (
    BusyError,
    Holder,
    hang_detector,
    hold_lock,
    refuse,
    stop,
    taken_line,
    this_process,
    try_lock,
)
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


@contextmanager
def held_sweep(root: Path, name: str, scale: str, say: Callable[[str], None]) -> Iterator[None]:
    """Hold a sweep of a storage during the block, against every process on every machine.

    Args:
        root: of the storage.
        name: of the sweep.
        scale: its name.
        say: shows a line, if the lock of a dead holder is taken over.

    Raises:
        SetupError: if a live holder has it; the message names who, where and since when.
    """
    with ExitStack() as held:
        held.enter_context(hold_lock(root / "sweeps" / name / scale / "lock.json", say))
        if remote := object_store_of(root):
            claim = f"{CLAIMS}/sweep-{name}-{scale}"
            try:
                claimed = _claimed(remote, claim, on_takeover=partial(stop, "this sweep"))
                for holder in held.enter_context(claimed):
                    say(taken_line(holder))
            except BusyError as busy:
                refuse("this sweep is run", busy.holder)
        yield


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
def _claimed(
    remote: ObjectStore,
    name: str,
    hangs: Callable[[], bool] = lambda: False,
    on_takeover: Callable[[Holder], None] | None = None,
) -> Iterator[list[Holder]]:
    """Have the only claim of that name in the object store during the block.

    Yields the dead holders whose claims are gone now.

    Args:
        remote: the object store.
        name: of the claim.
        hangs: whether the block's work does.
        on_takeover: called once, if another process takes the claim over meanwhile; None: it is
            written again.

    Raises:
        BusyError: if a live holder has it.
    """
    own, dead = f"{name}.{uuid.uuid4().hex}", dict[str, Holder | None]()
    while True:
        if holder := _live_holder(remote, name, dead):
            raise BusyError(holder)
        _write(remote, own)
        if _claims(remote, name).keys() == {own}:
            break
        _delete(remote, own)
        time.sleep(random.uniform(0.2, 1.5))

    def beat() -> bool:
        """Write the claim again; true once it was given up or taken over."""
        with suppress(SetupError):  # an object store that is away for a moment
            if on_takeover and (holder := _later_holder(remote, name, own, dead)):
                on_takeover(holder)
                return True
            hung = hangs()
            (_delete if hung else _write)(remote, own)
            return hung
        return False

    try:
        with repeated(beat, lock.HEARTBEAT_S):
            yield [holder for holder in dead.values() if holder]
    finally:
        _delete(remote, own)


def _later_holder(remote: ObjectStore, name: str, own: str, dead: Collection[str]) -> Holder | None:
    """Whoever took a claim over: others claim only what no living process has.

    The claims of `dead` processes do not count: one that was suspended may have written its own
    again, and is about to notice.
    """
    claims = _claims(remote, name).keys()
    later = [holder for c in claims - {own, *dead} if (holder := _read(remote, c))]
    return later[0] if later else None


def _live_holder(remote: ObjectStore, name: str, dead: dict[str, Holder | None]) -> Holder | None:
    """Whoever has a claim and is seen to write it; others join the `dead`, their claims go."""
    for claim, written_ns in _claims(remote, name).items():
        holder = _read(remote, claim)
        if (
            holder
            and not lock.is_gone(holder)
            and _is_written_again(remote, name, claim, written_ns)
        ):
            return holder
        dead[claim] = holder
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
    return {path: ns for path, (_, ns) in objects.items() if path.rpartition(".")[0] == name}


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
