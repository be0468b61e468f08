"""The storage: whether it can be written and read, how fast, and how much is left."""

import os
import shlex
import shutil
import stat
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from raydistill.core.errors import SetupError
from raydistill.core.text.redaction import redact
from raydistill.runners.diagnostics.finding import Finding, Level, ok
from raydistill.storage.object_store import ObjectStore, object_store_of

MB = 1_000_000
SAMPLE_BYTES = 16 * MB
SLOW_MB_PER_S = 20
LITTLE_BYTES = 5_000 * MB


def diagnose_storage(root: Path) -> Iterator[Finding]:
    """Write a sample, read it back and remove it; in an object store, an object."""
    remote = object_store_of(root)
    yield _speed(root, remote)
    free_bytes = shutil.disk_usage(_existing(root)).free
    where = "for this node's copy" if remote else "there"
    if free_bytes < LITTLE_BYTES:
        what = f"{free_bytes / 1e9:.1f} GB are left {where}"
        yield Finding(Level.NOTE, what, "make room, or name another with --storage")
    else:
        yield ok(f"{free_bytes / 1e9:.0f} GB are left {where}")
    if root.is_dir() and root.stat().st_mode & stat.S_IWOTH:
        what = "everybody on this machine may write into it, and what it says is believed"
        yield Finding(Level.NOTE, what, shlex.join(["chmod", "o-w", str(root)]))


def _speed(root: Path, remote: ObjectStore | None) -> Finding:
    sample = os.urandom(SAMPLE_BYTES)
    began_s = time.perf_counter()
    try:
        if remote:
            remote.check(sample)
        else:
            _write_and_read(root, sample)
    except (SetupError, OSError) as error:
        remedy = "see the keys and the address" if remote else "name another with --storage"
        return Finding(Level.WRONG, f"cannot be used: {redact(str(error))}", remedy)
    mb_per_s = SAMPLE_BYTES / MB / (time.perf_counter() - began_s)
    what = f"written and read back {SAMPLE_BYTES // MB} MB at {mb_per_s:.0f} MB/s"
    if mb_per_s < SLOW_MB_PER_S:
        remedy = "keep fewer checkpoints: --checkpoint-every 120"
        return Finding(Level.NOTE, f"{what}: slow", remedy)
    return ok(what)


def _write_and_read(root: Path, sample: bytes) -> None:
    root.mkdir(parents=True, exist_ok=True)
    probe = root / f".probe-{uuid.uuid4().hex}"
    try:
        with probe.open("wb") as file:
            file.write(sample)
            file.flush()
            os.fsync(file.fileno())
        if probe.read_bytes() != sample:
            raise OSError("what was read back is not what was written")
    finally:
        probe.unlink(missing_ok=True)


def _existing(path: Path) -> Path:
    return path if path.exists() else _existing(path.parent)
