"""Folders that commands write outside the storage: each is there whole, or not at all.

A folder is filled as a draft beside it, and renamed. Beside NAME lie meanwhile

    .NAME.raydistill.lock        held by the process that writes NAME
    .NAME.raydistill.<32 hex>    the draft, which counts for nothing
    .NAME.raydistill.old         what NAME was, where it is written over

    1. the draft is filled, its manifest last    killed here: NAME is as it was
    2. NAME is renamed to the old one            killed here: the old one is whole, NAME is missing
    3. the draft is renamed to NAME              killed here: NAME is new
    4. the old one is renamed to a draft, and deleted

Who next writes NAME holds its lock, so that what lies there is a killed process's: where NAME is
missing the old one becomes NAME again, and all drafts are deleted.
"""

import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path

from raydistill.core.errors import DataError, SetupError, UsageError
from raydistill.core.fault_injection import fault_point
from raydistill.core.paths import check_writable, resolve_path
from raydistill.core.signals import interrupts_held
from raydistill.storage.cleanup import idle_drafts, remove_drafts
from raydistill.storage.lock import hold_lock
from raydistill.storage.manifest import files_of, sha256_of, write_manifest

_OWN = ".raydistill."


@contextmanager
def output_folder(
    to: str | Path,
    *,
    overwrite: bool = False,
    apart_from: Mapping[str, Path | None] | None = None,
    replaced: Sequence[str] = (),
    sums: Mapping[str, str] | None = None,
) -> Iterator[Path]:
    """A draft to fill, which becomes the folder `to` when the block ends well.

    Args:
        to: as the user wrote it; a link to a folder means that folder.
        overwrite: whether a folder that is not empty may be replaced. What the draft lacks of it
            stays, but for unchanged files of its manifest.
        apart_from: folders that `to` must neither be nor hold, by what they are.
        replaced: patterns of names, of which the draft's files alone stay.
        sums: the sha256 of files of the draft that the block knows, by name; it may fill this.

    Raises:
        UsageError: before the block, if `to` may not be written.
        SetupError: before the block, if it cannot be, or another process writes it; after it, if
            writing failed.
    """
    folder = check_output(to, apart_from)
    parents = [path for path in folder.parents if not path.exists()]
    check_writable(folder.parent, f"{folder} cannot be filled")
    draft = _beside(folder, uuid.uuid4().hex)
    try:
        with hold_lock(_beside(folder, "lock"), lambda _: None, str(folder), "written"):
            with interrupts_held(), write_errors(folder):
                _recover(folder)
            if _is_filled(folder) and not overwrite:
                raise UsageError(
                    f"{folder} is not empty: --overwrite replaces what is written anew"
                )
            try:
                with write_errors(folder):
                    draft.mkdir()
                yield draft
                with write_errors(folder):
                    write_manifest(draft, sums)
                    with interrupts_held():
                        _place(draft, folder, replaced)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
    finally:
        for path in parents if not folder.exists() else ():
            with suppress(OSError):  # others may have put something there
                path.rmdir()


@contextmanager
def write_errors(folder: Path) -> Iterator[None]:
    """In the block, which writes a folder or its draft, an `OSError` becomes a `SetupError`."""
    try:
        yield
    except OSError as error:
        name = re.sub(rf"^\.(.+){re.escape(_OWN)}[0-9a-f]{{32}}$", r"\1", folder.name)
        reason = error.strerror or error
        raise SetupError(f"{folder.with_name(name)} cannot be written: {reason}") from error


def check_output(to: str | Path, apart_from: Mapping[str, Path | None] | None = None) -> Path:
    """The folder that `to` means, absolute; nothing is made.

    Args:
        to: as the user wrote it.
        apart_from: as in `output_folder`.

    Raises:
        UsageError: if `to` may not be written.
        SetupError: if it cannot be.
    """
    path = resolve_path(to)
    try:
        folder, here = _folder_at(path, to), Path.cwd()
    except (OSError, RuntimeError) as error:  # links in a circle
        raise SetupError(f"{path.absolute()} cannot be filled: {error}") from error
    for what, other in {"the folder that you are in": here, **(apart_from or {})}.items():
        if other is not None and other.resolve().is_relative_to(folder):
            verb = "is" if other.resolve() == folder else "holds"
            raise UsageError(f"--to {to} {verb} {what}: name another")
    if folder.is_mount():
        raise UsageError(f"--to {to} is where a disk is mounted: name a folder in it")
    return folder


def _folder_at(path: Path, to: str | Path) -> Path:
    """The folder at `path`, or where it could be made."""
    if path.is_symlink() and not path.exists():
        raise UsageError(
            f"--to {to} is a link to {path.readlink()}, where nothing is: name a folder"
        )
    if path.exists() and not path.is_dir():
        raise UsageError(f"--to {to} is a file: name a folder")
    folder = path.resolve()
    parent = next(parent for parent in (*folder.parents, folder) if parent.exists())
    if not parent.is_dir():
        raise SetupError(f"{folder} cannot be filled: {parent} is no folder")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise SetupError(f"{folder} cannot be filled: nothing may be written into {parent}")
    return folder


def _beside(folder: Path, end: str) -> Path:
    return folder.with_name(f".{folder.name}{_OWN}{end}")


def _is_filled(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _recover(folder: Path) -> None:
    """Bring back what a killed process had moved away, and delete the drafts of killed processes.

    Those of other folders are theirs if neither they nor their lock were touched for an hour.
    """
    old = _beside(folder, "old")
    if old.is_dir() and _is_filled(folder):
        _discard(old, folder)
    elif old.is_dir():
        old.rename(folder)
    drafts = [p for p in folder.parent.glob(f".*{_OWN}*") if re.search(r"\.[0-9a-f]{32}$", p.name)]
    lock = _beside(folder, "lock")
    own = [path for path in drafts if path.with_suffix(".lock") == lock]
    others = idle_drafts(set(drafts).difference(own), folder.parent)
    locks = {path: path.with_suffix(".lock") for path in others}
    idle = set(idle_drafts(set(locks.values()), folder.parent))  # a missing one counts as touched
    remove_drafts([*own, *(p for p, lock in locks.items() if lock in idle or not lock.exists())])


def _place(draft: Path, folder: Path, replaced: Sequence[str]) -> None:
    """Rename the draft to `folder`, with what stays of the old one."""
    if not _is_filled(folder):
        fault_point("output")
        draft.rename(folder)
        return
    _take_over(folder, draft, replaced)
    old = _beside(folder, "old")
    fault_point("output")
    folder.rename(old)
    try:
        fault_point("output")
        draft.rename(folder)
    except BaseException:
        old.rename(folder)
        raise
    fault_point("output")
    _discard(old, folder)


def _discard(old: Path, folder: Path) -> None:
    """Delete the old one; what is half deleted is a draft, which nobody brings back."""
    junk = _beside(folder, uuid.uuid4().hex)
    old.rename(junk)
    fault_point("output")
    shutil.rmtree(junk, ignore_errors=True)


def _take_over(old: Path, draft: Path, replaced: Sequence[str]) -> None:
    """Link into the draft what it lacks of the old one, unless a command wrote it."""
    try:
        written = files_of(old)
    except DataError:  # nothing of it, or an earlier version
        written = {}

    def is_left_out(name: str) -> bool:
        if os.path.lexists(draft / name):
            return not ((draft / name).is_dir() and (old / name).is_dir())
        if any(fnmatch(name, pattern) for pattern in replaced):
            return True
        return name in written and sha256_of(old / name) == written[name]["sha256"]

    def left_out(parent: str, names: list[str]) -> list[str]:
        below = Path(parent).relative_to(old)
        return [name for name in names if is_left_out(str(below / name))]

    shutil.copytree(
        old, draft, symlinks=True, ignore=left_out, copy_function=_link, dirs_exist_ok=True
    )


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # a file system without hard links
        shutil.copy2(source, target, follow_symlinks=False)
