"""URLs of object stores, and the local copy of each."""

import hashlib
import os
from pathlib import Path
from urllib.parse import urlsplit

from raydistill.core.errors import UsageError
from raydistill.core.text.redaction import redact
from raydistill.storage.manifest import write_bytes

DEFAULT_STORAGE = "~/.raydistill"
COPIES = "RAYDISTILL_LOCAL_COPIES"  # the folder of a node's copies, on its own disk
SCHEMES = ("gs", "s3")


def is_url(text: str) -> bool:
    """Whether a storage is an object store, not a folder.

    Raises:
        UsageError: if its scheme is unknown, the URL cannot be read, or it holds a key.
    """
    scheme, separator, _ = text.partition("://")
    if separator and scheme not in SCHEMES:
        raise UsageError(
            f"--storage {redact(text)!r}: no storage is at {scheme}://; write a folder, "
            "s3://bucket/folder or gs://bucket/folder"
        )
    try:
        netloc = urlsplit(text).netloc if separator else ""
    except ValueError as error:
        raise UsageError(f"--storage {redact(text)!r} is no address: {error}") from None
    if "@" in netloc:
        raise UsageError(f"--storage {redact(text)!r}: keys come from the environment, not the URL")
    return bool(separator)


def copy_of(url: str) -> Path:
    """This node's copy of the storage at `url`, a folder whose `.url` names its object store."""
    base = os.environ.get(COPIES) or "~/.cache/raydistill"
    root = Path(base).expanduser().absolute() / hashlib.sha256(url.encode()).hexdigest()[:16]
    if url_of(root) != url:
        write_bytes(root / ".url", url.encode())
    return root


def url_of(path: Path) -> str:
    """The object store whose copy holds `path`; empty for a folder."""
    for folder in (path, *path.parents):
        if (folder / ".url").is_file():
            return (folder / ".url").read_text(encoding="utf-8")
    return ""


def storage_flag(root: Path) -> tuple[str, ...]:
    """The words of a printed command that name the storage at `root`; none for the default.

    >>> storage_flag(Path("/data/raydistill")), storage_flag(Path(DEFAULT_STORAGE).expanduser())
    (('--storage', '/data/raydistill'), ())
    """
    if root == Path(DEFAULT_STORAGE).expanduser():
        return ()
    return "--storage", url_of(root) or str(root.absolute())
