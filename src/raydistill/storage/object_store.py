"""A storage in an object store: every node works on a copy of its own, which is kept in step.

`--storage s3://bucket/folder` (or `gs://…`) has on each node a folder, the copy, on which all other
code works as on any storage. What is in the copy and changed since it was last in step is uploaded;
what another node made is downloaded. An object appears whole or not at all; of a folder its
`manifest.json` comes last in either direction, so a folder with one is whole everywhere.

What only one machine can use stays there: drafts, databases, logs, Ray's cache, locks.
"""

import os
import re
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from raydistill.core.errors import SetupError
from raydistill.core.paths import check_writable
from raydistill.core.redaction import redact
from raydistill.storage.manifest import MANIFEST
from raydistill.storage.urls import copy_of, url_of


def check_storage(root: Path) -> None:
    """Make the storage folder and write into it; into its object store too.

    Raises:
        SetupError: if that fails, with the absolute path.
    """
    check_writable(root, f"the storage {root} cannot be written")
    if remote := object_store_of(root):
        remote.check()


REMOTE = "RAYDISTILL_REMOTE"
"""Tells workers which object store their job's storage is."""

EVERY_S = 5.0

TIMEOUT_S = 10

CHUNK_BYTES = 8 << 20

_STAYS = re.compile(
    r"(^|/)(\.|mlflow\.db|mlartifacts/|lock\.json|ray\.log|tune\.csv|ray/)|\.db(-\w+)?$|^faults/"
)

_LARGE = re.compile(r"\.(safetensors|bin|npy)$")

_OF_ONE = re.compile(r"^(?:bases|trials)/([0-9a-f]+)/(?!trained|failure|estimate|rungs)")

Wanted = Callable[[str], bool]
"""Of a file's name below the root: whether it is to be downloaded."""


def is_small(name: str) -> bool:
    """All but weights and tokens: what the driver and the tables read."""
    return not _LARGE.search(name)


def trials_named_in(text: str) -> Wanted:
    """What a job that is written out as `text` reads: of bases and trials those it names."""

    def wanted(name: str) -> bool:
        of_one = _OF_ONE.match(name)
        return of_one is None or of_one[1] in text

    return wanted


@dataclass(slots=True)
class ObjectStore:
    """An object store and this node's copy.

    Attributes:
        url: of the storage.
        root: of the copy.
    """

    url: str
    root: Path
    _seen: dict[str, tuple[int, int]] = field(default_factory=dict)  # size and time, when in step
    _lock: Any = field(default_factory=threading.Lock)
    _pushed: bool = False

    def check(self, data: bytes = b"x") -> None:
        """Write, read and delete an object.

        Raises:
            SetupError: if that cannot be done, within seconds, with the store's own reason.
        """
        name = f"{self._prefix}/.probe-{os.getpid()}"
        with self._told():
            files = self._files()
            with files.open_output_stream(name) as stream:
                stream.write(data)
            with files.open_input_stream(name) as stream:
                if stream.read() != data:
                    raise OSError("what was read back is not what was written")
            files.delete_file(name)

    def pull(self, wanted: Wanted = is_small) -> None:
        """Download what is wanted and is not here, or newer there.

        Raises:
            SetupError: if the object store does not answer.
        """
        with self._lock, self._told():
            files, there = self._files(), self._there()
            for name in sorted(there, key=_manifest_last):
                if _STAYS.search(name) or not wanted(name):
                    continue  # nor does "../" lead out of the copy
                if self._is_older(name, *there[name]):
                    self._download(files, name, there[name][1])

    def push(self) -> None:
        """Upload what changed here, and delete there what was in step and left here.

        Raises:
            SetupError: if the object store does not answer.
        """
        with self._lock, self._told():
            files, here = self._files(), self._here()
            there = {} if self._pushed else self._there()
            if self._seen and not here:  # or all that it held would be deleted there
                raise SetupError(f"this node's copy {self.root} is gone; the same command goes on")
            for name in sorted(here, key=_manifest_last):
                if _STAYS.search(name):
                    continue
                with suppress(FileNotFoundError):  # it may leave while we look
                    if name not in self._seen and self._is_left(here[name], there.get(name)):
                        self._note(name)
                    else:
                        self._upload(files, name, here[name])
            self._pushed = True
            for name in sorted(self._seen.keys() - here.keys(), key=_manifest_last, reverse=True):
                if files.get_file_info(self._key(name)).is_file:
                    files.delete_file(self._key(name))
                del self._seen[name]

    @contextmanager
    def kept_up(self, *, pulls: bool = False) -> Iterator[None]:
        """Push, and pull what is small, every few seconds during the block and at its end."""
        ended = threading.Event()

        def keep() -> None:
            while not ended.wait(EVERY_S):
                try:
                    self.sync(pulls=pulls)
                except SetupError:
                    continue  # the end of the block tries once more, and tells

        thread = threading.Thread(target=keep, name="remote", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            self.sync(pulls=pulls)

    def sync(self, *, pulls: bool = True) -> None:
        """Push, then pull what is small."""
        self.push()
        if pulls:
            self.pull()

    def _upload(self, files: Any, name: str, path: Path) -> None:
        with path.open("rb") as file:
            before = _mark(os.fstat(file.fileno()))
            if self._seen.get(name) == before:
                return
            with files.open_output_stream(self._key(name)) as stream:
                shutil.copyfileobj(file, stream, CHUNK_BYTES)
            self._seen[name] = before
            if _mark(os.fstat(file.fileno())) == before:  # or it goes once more
                made_ns = files.get_file_info(self._key(name)).mtime_ns
                os.utime(file.fileno(), ns=(made_ns, made_ns))
                self._seen[name] = before[0], made_ns

    def _download(self, files: Any, name: str, mtime_ns: int) -> None:
        path = self.root / name
        draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        draft.parent.mkdir(parents=True, exist_ok=True)
        with files.open_input_stream(self._key(name)) as stream, draft.open("wb") as file:
            shutil.copyfileobj(stream, file, CHUNK_BYTES)
        os.utime(draft, ns=(mtime_ns, mtime_ns))
        draft.replace(path)
        self._note(name)

    def _note(self, name: str) -> None:
        self._seen[name] = _mark((self.root / name).stat())

    def _is_older(self, name: str, size: int, mtime_ns: int) -> bool:
        """Whether the copy of a file is missing, or was changed there and not here."""
        path = self.root / name
        if not path.is_file():
            return True
        here, known = _mark(path.stat()), self._seen.get(name)
        if here == (size, mtime_ns):
            self._note(name)
            return False
        return here == known if known else mtime_ns > here[1]

    def _is_left(self, path: Path, known: tuple[int, int] | None) -> bool:
        """Whether a process before this one left a file that was uploaded, or made anew, since."""
        return known is not None and path.stat().st_mtime_ns <= known[1]

    def _here(self) -> dict[str, Path]:
        """Every file of the copy by its name; others rename and delete beside it."""
        found = (Path(folder, name) for folder, _, names in os.walk(self.root) for name in names)
        return {str(path.relative_to(self.root)): path for path in found if path.is_file()}

    def _there(self) -> dict[str, tuple[int, int]]:
        """Size and time of every object, by its name below the root."""
        from pyarrow.fs import FileSelector  # noqa: PLC0415  (numpy, which a folder does not need)

        every = FileSelector(self._prefix, recursive=True, allow_not_found=True)
        found = self._files().get_file_info(every)
        start = len(self._prefix) + 1
        return {f.path[start:]: (f.size, f.mtime_ns) for f in found if f.is_file}

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}"

    @property
    def _prefix(self) -> str:
        parts = urlsplit(self.url)
        return re.sub("/+", "/", f"{parts.netloc}{parts.path}").rstrip("/")

    def _files(self) -> Any:
        from pyarrow import fs  # noqa: PLC0415  (as above)

        if not self.url.startswith("s3://"):
            return fs.FileSystem.from_uri(self.url)[0]
        options = dict(parse_qsl(urlsplit(self.url).query))
        endpoint = options.get("endpoint_override", "")
        return fs.S3FileSystem(
            endpoint_override=endpoint.partition("://")[2] or endpoint or None,
            scheme=endpoint.partition("://")[0] if "://" in endpoint else "https",
            region=options.get("region") or os.environ.get("AWS_REGION") or None,
            connect_timeout=TIMEOUT_S,
            request_timeout=6 * TIMEOUT_S,
            retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=2),
        )

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:  # pyarrow's for a key that it cannot read
            reason = " ".join(str(error).split())[:300]
            raise SetupError(f"the storage {redact(self.url)}: {redact(reason)}") from error


def object_store_of(path: Path) -> ObjectStore | None:
    """The object store that a copy belongs to; None for a folder."""
    url = url_of(path)
    return _opened(url) if url else None


def download(root: Path, wanted: Wanted = is_small) -> None:
    """Download into a copy what is wanted; a folder stays as it is.

    Raises:
        SetupError: if the object store does not answer.
    """
    if remote := object_store_of(root):
        remote.pull(wanted)


def upload(root: Path) -> None:
    """Upload what was made in a copy; a folder stays as it is.

    Raises:
        SetupError: if the object store does not answer.
    """
    if remote := object_store_of(root):
        remote.push()


def everything(name: str) -> bool:
    """All that a storage holds, weights too."""
    del name
    return True


_REMOTES: dict[str, ObjectStore] = {}


def _opened(url: str) -> ObjectStore:
    """One for each, so that what is in step is known to the whole process."""
    return _REMOTES.setdefault(f"{os.getpid()} {copy_of(url)}", ObjectStore(url, copy_of(url)))


def _mark(stat: os.stat_result) -> tuple[int, int]:
    """What tells a file from what it was: its size and time."""
    return stat.st_size, stat.st_mtime_ns


def _manifest_last(name: str) -> tuple[int, str]:
    """In the order of copying: what says that a folder or a trial is whole comes after the rest."""
    return (2 if name.endswith("trained.json") else int(name.endswith(MANIFEST))), name
