"""Addresses of object stores, and where the copy of one lies."""

import hashlib
import os
from pathlib import Path
from urllib.parse import urlsplit

from raydistill.core.errors import UsageError
from raydistill.core.redaction import redact
from raydistill.storage.manifest import write_bytes

COPIES = "RAYDISTILL_LOCAL_COPIES"
"""Where a node has its copies; a folder of its own disk."""

SCHEMES = ("gs", "s3")


def is_url(text: str) -> bool:
    """Whether a storage is in an object store.

    Raises:
        UsageError: if it is of another kind.
    """
    scheme, found, _ = text.partition("://")
    if found and scheme not in SCHEMES:
        raise UsageError(
            f"--storage {redact(text)!r}: no storage is at {scheme}://; write a folder, "
            "s3://bucket/folder or gs://bucket/folder"
        )
    if found and "@" in urlsplit(text).netloc:
        raise UsageError(f"--storage {redact(text)!r}: keys come from the environment, not the URL")
    return bool(found)


def copy_of(url: str) -> Path:
    """This node's copy of the storage at `url`; it is made, and knows where it belongs."""
    base = os.environ.get(COPIES) or "~/.cache/raydistill"
    root = Path(base).expanduser().absolute() / hashlib.sha256(url.encode()).hexdigest()[:16]
    if url_of(root) != url:
        write_bytes(root / ".url", url.encode())
    return root


def url_of(path: Path) -> str:
    """The object store whose copy `path` is in; empty for a folder."""
    for folder in (path, *path.parents):
        if (folder / ".url").is_file():
            return (folder / ".url").read_text(encoding="utf-8")
    return ""
