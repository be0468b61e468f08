"""A node's local copy of a storage in an object store, kept in step with it.

Without an object store (`REMOTE` is not set) all of this does nothing.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Any

from raydistill.storage.object_store import REMOTE, ObjectStore, object_store_of, trials_named_in
from raydistill.storage.store import Store
from raydistill.storage.urls import copy_of
from raydistill.training.jobs import TrialJob


@contextmanager
def local_storage(*arguments: Any) -> Iterator[tuple[Any, ...]]:
    """On a worker: a task's arguments, with this node's copy as their storage.

    Trials that the arguments name are downloaded first; what the block makes is uploaded
    meanwhile, and at its end, also if it fails.

    Yields:
        The arguments.

    Raises:
        SetupError: if the object store does not answer.
    """
    remote = _remote()
    if remote is None:
        yield arguments
        return
    trials = [job.spec.trial_id for job in arguments if isinstance(job, TrialJob)]
    remote.pull(trials_named_in(f"{arguments} {trials}"))
    with remote.kept_up():
        yield tuple(_moved(argument, remote.root) for argument in arguments)


def sync_object_store() -> None:
    """In the driver: upload what was made here, and download what is small there."""
    if remote := _remote():
        remote.sync()


@contextmanager
def sync_driver(url: str) -> Iterator[None]:
    """In the driver, within the block: keep the copy in step with the object store."""
    if not url:
        yield
        return
    before = os.environ.get(REMOTE)
    os.environ[REMOTE] = url
    try:
        remote = _remote()
        assert remote is not None
        with remote.kept_up(pulls=True):
            yield
    finally:
        del os.environ[REMOTE]
        if before is not None:
            os.environ[REMOTE] = before


def _remote() -> ObjectStore | None:
    url = os.environ.get(REMOTE, "")
    return object_store_of(copy_of(url)) if url else None


def _moved(value: Any, root: Path) -> Any:
    """`value` with `root` as its storage, if it is or holds one: copies are named by address."""
    if isinstance(value, str | Path) and Path(value).name == root.name:
        return type(value)(str(root))
    if isinstance(value, Store) and value.root.name == root.name:
        return Store(root)
    if is_dataclass(value) and not isinstance(value, type):
        storage = getattr(value, "storage", None)
        if isinstance(storage, str):
            return replace(value, storage=_moved(storage, root))
    return value
