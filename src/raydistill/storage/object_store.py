"""A storage in an object store: every node works on a local copy, which is kept in sync.

With `--storage s3://bucket/folder` (or `gs://…`) each node has a folder, the copy, which all other
code uses as any storage. Files of the copy that changed since the last sync are uploaded; what
other nodes made is downloaded. An object appears complete or not at all, and the `manifest.json` of
a folder comes last in either direction: so a folder with one is complete everywhere.

What only one machine can use stays local: drafts, databases, logs, Ray's cache, locks.
"""

import os
import re
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raydistill.core.background import repeated
from raydistill.core.errors import SetupError
from raydistill.core.paths import check_writable
from raydistill.core.progress import tracked
from raydistill.core.text.redaction import redact
from raydistill.storage.manifest import MANIFEST
from raydistill.storage.object_client import open_object_store
from raydistill.storage.urls import copy_of, url_of

REMOTE = "RAYDISTILL_REMOTE"  # tells workers the object store of their job's storage
SYNC_EVERY_S = 5.0
CHUNK_BYTES = 8 << 20
MOST_SKEW_NS = 2 * 10**9  # the times of objects are whole seconds

_LOCAL = re.compile(
    r"(^|/)(\.|mlflow\.db|mlartifacts/|lock\.json|ray\.log|tune\.csv|ray/)|\.db(-\w+)?$"
    r"|^(faults|claims)/"
)
_LARGE = re.compile(r"\.(safetensors|bin|npy)$")
_OWN_FILE = re.compile(r"^(?:bases|trials)/([0-9a-f]+)/(?!trained|failure|estimate|rungs)")

Filter = Callable[[str], bool]  # of a file's name below the root: whether it is downloaded


def is_small(name: str) -> bool:
    """All files but weights and tokens: what the driver and the tables read."""
    return not _LARGE.search(name)


def is_any(name: str) -> bool:
    """All files of a storage."""
    del name
    return True


def trials_named_in(text: str) -> Filter:
    """The files that a job with these arguments reads: of bases and trials those it names."""

    def is_read(name: str) -> bool:
        match = _OWN_FILE.match(name)
        return match is None or match[1] in text

    return is_read


@dataclass(slots=True)
class ObjectStore:
    """An object store and this node's copy of it.

    Attributes:
        url: of the storage.
        root: of the copy.
    """

    url: str
    root: Path
    _synced: dict[str, tuple[int, int]] = field(default_factory=dict)  # size and time, by name
    _lock: Any = field(default_factory=threading.Lock)
    _pushed: bool = False
    _ahead: int | None = None  # see `_ahead_ns`

    def check(self, data: bytes = b"x") -> None:
        """Write, read and delete an object.

        Raises:
            SetupError: if that fails, within seconds, with the store's own reason.
        """
        name = f".probe-{os.getpid()}"
        with self.file_system() as files:
            with files.open_output_stream(name) as stream:
                stream.write(data)
            with files.open_input_stream(name) as stream:
                if stream.read() != data:
                    raise OSError("what was read back is not what was written")
            files.delete_file(name)

    def pull(self, is_wanted: Filter = is_small) -> None:
        """Download the wanted files that the copy lacks, or has in an older version.

        Raises:
            SetupError: if the object store does not answer.
        """
        with self._lock, self.file_system() as files:
            objects = objects_in(files)
            chosen = filter(is_wanted, sorted(objects, key=_manifest_last))
            names = [n for n in chosen if not _LOCAL.search(n)]  # nor does "../" lead out
            for name in tracked(names, "downloading", "bytes", size=lambda name: objects[name][0]):
                if self._is_outdated(files, name, *objects[name]):
                    self._download(files, name, objects[name][1])

    def push(self) -> None:
        """Upload the files that changed in the copy, and delete what was deleted from it.

        Raises:
            SetupError: if the object store does not answer.
        """
        with self._lock, self.file_system() as files:
            paths, objects = self._paths(), {} if self._pushed else objects_in(files)
            if self._synced and not paths:  # or all objects would be deleted
                raise SetupError(f"this node's copy {self.root} is gone; the same command goes on")
            names = [n for n in sorted(paths, key=_manifest_last) if not _LOCAL.search(n)]
            for name in tracked(names, "uploading", "files"):
                with suppress(FileNotFoundError):  # others delete meanwhile
                    if name not in self._synced and self._is_stale(files, name, objects):
                        self._note(name)
                    else:
                        self._upload(files, name, paths[name])
            self._pushed = True
            deleted = self._synced.keys() - paths.keys()
            for name in sorted(deleted, key=_manifest_last, reverse=True):
                if files.get_file_info(name).is_file:
                    files.delete_file(name)
                del self._synced[name]

    def sync(self, *, pulls: bool = True) -> None:
        """Push, then pull small files.

        Raises:
            SetupError: if the object store does not answer.
        """
        self.push()
        if pulls:
            self.pull()

    @contextmanager
    def kept_up(self, *, pulls: bool = False) -> Iterator[None]:
        """Sync every few seconds during the block, and at its end."""

        def keep() -> None:
            with suppress(SetupError):  # the end of the block tries once more, and raises
                self.sync(pulls=pulls)

        try:
            with repeated(keep, SYNC_EVERY_S):
                yield
        finally:
            self.sync(pulls=pulls)

    def _upload(self, files: Any, name: str, path: Path) -> None:
        with path.open("rb") as file:
            state = _state(os.fstat(file.fileno()))
            if self._synced.get(name) == state:
                return
            with files.open_output_stream(name) as stream:
                shutil.copyfileobj(file, stream, CHUNK_BYTES)
            self._synced[name] = state
            if _state(os.fstat(file.fileno())) == state:  # or it is uploaded once more
                mtime_ns = files.get_file_info(name).mtime_ns
                os.utime(file.fileno(), ns=(mtime_ns, mtime_ns))
                self._synced[name] = state[0], mtime_ns

    def _download(self, files: Any, name: str, mtime_ns: int) -> None:
        path = self.root / name
        draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        draft.parent.mkdir(parents=True, exist_ok=True)
        with files.open_input_stream(name) as stream, draft.open("wb") as file:
            shutil.copyfileobj(stream, file, CHUNK_BYTES)
        os.utime(draft, ns=(mtime_ns, mtime_ns))
        draft.replace(path)
        self._note(name)

    def _note(self, name: str) -> None:
        self._synced[name] = _state((self.root / name).stat())

    def _is_outdated(self, files: Any, name: str, size: int, mtime_ns: int) -> bool:
        """Whether the copy lacks an object, or has an older version that it did not change."""
        path = self.root / name
        if not path.is_file():
            return True
        state, synced = _state(path.stat()), self._synced.get(name)
        if state == (size, mtime_ns):
            self._note(name)
            return False
        if synced:
            return state == synced
        return mtime_ns + self._ahead_ns(files) > state[1]

    def _is_stale(self, files: Any, name: str, objects: Mapping[str, tuple[int, int]]) -> bool:
        """Whether a file of an earlier process is no newer than its object."""
        if name not in objects:
            return False
        mtime_ns = (self.root / name).stat().st_mtime_ns
        return mtime_ns <= objects[name][1] + self._ahead_ns(files)

    def _ahead_ns(self, files: Any) -> int:
        """How far the clock of this machine, which dates its files, is ahead of the objects'.

        A clock that is behind counts as right: what was written by it is written again rather than
        taken for newer than what another machine made.
        """
        if self._ahead is None:
            name, now_ns = f".probe-{uuid.uuid4().hex}", time.time_ns()
            with files.open_output_stream(name) as stream:
                stream.write(b"x")
            ahead_ns = now_ns - files.get_file_info(name).mtime_ns
            files.delete_file(name)
            self._ahead = ahead_ns if ahead_ns > MOST_SKEW_NS else 0
        return self._ahead

    def _paths(self) -> dict[str, Path]:
        """The files of the copy by name; others rename and delete meanwhile."""
        paths = (Path(folder, name) for folder, _, names in os.walk(self.root) for name in names)
        return {str(path.relative_to(self.root)): path for path in paths if path.is_file()}

    @contextmanager
    def file_system(self) -> Iterator[Any]:
        """The objects as files below the root; errors of pyarrow become a `SetupError`."""
        try:
            yield open_object_store(self.url)
        except (OSError, ValueError) as error:  # pyarrow's for a key that it cannot read
            reason = " ".join(str(error).split())[:300]
            raise SetupError(f"the storage {redact(self.url)}: {redact(reason)}") from error


def objects_in(files: Any, folder: str = "") -> dict[str, tuple[int, int]]:
    """Size and time of every object below a folder, by its name below the root."""
    from pyarrow.fs import FileSelector  # noqa: PLC0415  (as above)

    infos = files.get_file_info(FileSelector(folder, recursive=True, allow_not_found=True))
    return {info.path: (info.size, info.mtime_ns) for info in infos if info.is_file}


_STORES: dict[tuple[int, Path], ObjectStore] = {}


def object_store_of(path: Path) -> ObjectStore | None:
    """The object store whose copy holds `path`, one object in a process; None for a folder."""
    url = url_of(path)
    if not url:
        return None
    root = copy_of(url)
    return _STORES.setdefault((os.getpid(), root), ObjectStore(url, root))


def check_storage(root: Path) -> None:
    """Make the storage folder, and check that it and its object store can be written.

    Raises:
        SetupError: if that fails, with the absolute path.
    """
    check_writable(root, f"the storage {root} cannot be written")
    if remote := object_store_of(root):
        remote.check()


def download(root: Path, is_wanted: Filter = is_small) -> None:
    """Download the wanted files into a copy; a folder stays as it is.

    Raises:
        SetupError: if the object store does not answer.
    """
    if remote := object_store_of(root):
        remote.pull(is_wanted)


def upload(root: Path) -> None:
    """Upload what changed in a copy; a folder stays as it is.

    Raises:
        SetupError: if the object store does not answer.
    """
    if remote := object_store_of(root):
        remote.push()


def _state(stat: os.stat_result) -> tuple[int, int]:
    """Size and time: a file that changed has another state."""
    return stat.st_size, stat.st_mtime_ns


def _manifest_last(name: str) -> tuple[int, str]:
    """Sort key: the files that declare a folder or a trial complete come after all others."""
    return (2 if name.endswith("trained.json") else int(name.endswith(MANIFEST))), name
