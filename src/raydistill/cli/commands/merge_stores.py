"""`raydistill store merge`: what another storage holds, verified by hash, into this one.

Everything is named by the hash of what made it, so two storages agree about what they share, and
the rest only has to be copied. Folders are read against their manifests, weights against the
name or the trial that states their sha256. Nothing that is here is overwritten.
"""

import argparse
import json
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from raydistill.core.errors import DataError, UsageError
from raydistill.core.paths import resolve_path
from raydistill.core.progress import tracked
from raydistill.core.text.redaction import printed_command
from raydistill.planning.history.sweep_record import SweepRecord, all_records, save_record
from raydistill.reports.console.console import PipeSafeConsole, open_console
from raydistill.storage.manifest import MANIFEST, sha256_of, verify, write_bytes
from raydistill.storage.object_store import check_storage
from raydistill.storage.sharing import held_sweep
from raydistill.storage.store import Store
from raydistill.storage.urls import storage_flag

# Folders below the root, in the order in which they are merged; the sweeps' cells come last.
KINDS = (
    "corpora", "text_facts", "items", "bases", "brought", "pretraining", "layer_scores", "cuts",
    "teacher_answers", "trials", "scores", "laws",
)  # fmt: skip
# Only its own storage can resume from it, or it is a failure, an estimate or a log.
NOT_MERGED = ("checkpoints", "drafts", "failure.json", "estimate.json", "ray.log")
WEIGHTS, TRAINED = "model.safetensors", "trained.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Merged:
    """Counts of a merge by kind, and the names of what was not copied."""

    new: Counter[str] = field(default_factory=Counter)
    equal: Counter[str] = field(default_factory=Counter)
    different: list[str] = field(default_factory=list)  # what was here stays
    damaged: list[str] = field(default_factory=list)


def merge(store: Store, flags: argparse.Namespace) -> int:
    """Copy what `flags.other` holds and this storage lacks; 3 if something in it is damaged.

    Raises:
        UsageError: if `flags.other` is no storage.
        SetupError: if this storage cannot be written, or one of its sweeps is running.
    """
    other = Store(resolve_path(flags.other).absolute())
    if not any(other.path(kind).is_dir() for kind in (*KINDS, "sweeps")):
        raise UsageError(f"{other.root} holds no storage: there is no trials/ or sweeps/ in it")
    if other.root.resolve() == store.root.resolve():
        raise UsageError(f"{other.root} is this storage itself")
    check_storage(store.root)
    merged, console = Merged(), open_console()
    sweeps = _sweeps(other, merged)
    with ExitStack() as locks:
        for folder in _folders_to_lock(sweeps, store):
            name, scale = folder.parts[-2:]
            locks.enter_context(held_sweep(store.root, name, scale, console.print))
        units = [
            (path, kind)
            for kind in KINDS
            for path in sorted(_units(other.path(kind)), key=lambda p: (p.name == TRAINED, p))
        ]
        for path, kind in tracked(units, "merging", "bytes", size=_size_bytes):
            _merge_unit(path, kind, other, store, merged)
        for sweep in sweeps:
            save_record(sweep, store)
            merged.new["sweeps"] += 1
    _print_result(merged, store, console)
    return DataError.exit_code if merged.damaged else 0


def _sweeps(other: Store, merged: Merged) -> list[SweepRecord]:
    """The records of the other storage's sweeps; none if there is a link on the way to one."""
    root = other.path("sweeps")
    paths = (root, *root.glob("*"), *root.glob("*/*"), *root.glob("*/*/asked*.json"))
    links = [path for path in paths if path.is_symlink()]
    merged.damaged.extend(f"{path.relative_to(other.root)}: it is a link" for path in links)
    return [] if links else list(all_records(other))


def _folders_to_lock(sweeps: Sequence[SweepRecord], store: Store) -> list[Path]:
    """Those of the sweeps that are merged and of all others: sweeps share their trials."""
    folders = {store.path("sweeps", sweep.name, sweep.scale) for sweep in sweeps}
    return sorted(folders.union(p for p in store.path("sweeps").glob("*/*") if p.is_dir()))


def _units(folder: Path) -> Iterator[Path]:
    """What is copied as one: folders with a manifest, and files outside of any; also links."""
    if folder.is_symlink():
        yield folder
        return
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name.startswith(".") or path.name in NOT_MERGED:
            continue
        if path.is_symlink() or not path.is_dir() or (path / MANIFEST).is_file():
            yield path
        else:
            yield from _units(path)


def _size_bytes(unit: tuple[Path, str]) -> int:
    """Of a file, or of all files in a folder; links are not followed."""
    path, _ = unit
    files = path.rglob("*") if path.is_dir() and not path.is_symlink() else [path]
    return sum(file.lstat().st_size for file in files)


def _merge_unit(path: Path, kind: str, other: Store, store: Store, merged: Merged) -> None:
    parts = path.relative_to(other.root).parts
    name = "/".join(parts)
    try:
        _check(path, kind)
    except (DataError, ValueError, OSError) as error:
        merged.damaged.append(f"{name}: {error}")
        return
    own = store.path(*parts)
    if own.exists():
        if _content(path) == _content(own):
            merged.equal[kind] += 1
        else:
            merged.different.append(name)
        return
    if path.is_dir():
        with store.making(*parts) as draft:
            shutil.copytree(path, draft, copy_function=shutil.copyfile, dirs_exist_ok=True)
            draft.touch()  # copied dates would make it a leftover of long ago
            verify(draft)
    else:
        write_bytes(own, path.read_bytes())
    merged.new[kind] += 1


def _check(path: Path, kind: str) -> None:
    """Raise a DataError if it has another hash than it must have, a ValueError if it is no JSON."""
    if any(inner.is_symlink() for inner in (path, *path.rglob("*"))):
        raise DataError("it is a link, or holds one")
    if path.is_dir():
        verify(path)
        if kind == "bases" and sha256_of(path / WEIGHTS) != path.name:
            raise DataError(f"{WEIGHTS} has another sha256 than its folder's name")
    elif path.suffix == ".json":
        value = json.loads(path.read_text(encoding="utf-8"))
        weights = path.with_name("weights") / WEIGHTS
        has_weights = path.name == TRAINED and weights.exists()  # a student that was added has none
        if has_weights and (weights.is_symlink() or weights.parent.is_symlink()):
            raise DataError("its weights are a link")
        if has_weights and sha256_of(weights) != value["weights_sha256"]:
            raise DataError(f"its weights have another sha256 than {TRAINED} states")


def _content(path: Path) -> object:
    """By which two are compared: hashes of files; of a trial that of its weights."""
    if path.is_dir():
        return json.loads((path / MANIFEST).read_text())["files"]
    if path.name == TRAINED:  # the seconds that it took may differ
        return json.loads(path.read_text())["weights_sha256"]
    return sha256_of(path)


def _print_result(merged: Merged, store: Store, console: PipeSafeConsole) -> None:
    for kind in (*KINDS, "sweeps"):
        if merged.new[kind] or merged.equal[kind]:
            console.print(f"{kind}: {merged.new[kind]} new, {merged.equal[kind]} there already")
    for name in merged.different:
        console.print(f"warning: {name} differs; what {store.root} had stays")
    for line in merged.damaged:
        console.print(f"warning: left out, damaged: {line}")
    command = printed_command(["raydistill", "report", *storage_flag(store.root)])
    console.print(f"Go on: {command}", soft_wrap=True)
