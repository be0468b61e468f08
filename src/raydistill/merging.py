"""`raydistill store merge`: what another storage holds, verified by hash, into this one.

Everything is named by the hash of what made it, so two storages agree about what they share, and
the rest only has to be copied. Folders are read against their manifests, weights against the
name or the trial that states their sha256. Nothing that is here is overwritten.
"""

import argparse
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from raydistill.asked import all_asked, keep
from raydistill.conduct import check_storage
from raydistill.errors import DataError, UsageError
from raydistill.lock import held
from raydistill.manifest import MANIFEST, sha256_of, verify, write_bytes
from raydistill.places import place
from raydistill.report.console import PatientConsole, open_console
from raydistill.store import Store

KEPT = (
    "corpora", "items", "bases", "brought", "pretraining", "layer_scores", "cuts",
    "teacher_answers", "trials", "scores",
)  # fmt: skip
"""Below the root, in this order; a sweep's cells come after them."""

LEFT = ("checkpoints", "drafts", "failure.json", "estimate.json", "ray.log")
"""What only its own storage can go on from, or has tried, or has guessed."""

WEIGHTS = "model.safetensors"
TRAINED = "trained.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Merged:
    """What came of a merge, by kind, and the names of what did not come."""

    new: Counter[str] = field(default_factory=Counter)
    there: Counter[str] = field(default_factory=Counter)  # already, the same
    other: list[str] = field(default_factory=list)  # here with other bytes, and kept as here
    damaged: list[str] = field(default_factory=list)


def merge(store: Store, flags: argparse.Namespace) -> int:
    """Copy what `flags.other` holds and this storage lacks; 3 if something there is damaged.

    Raises:
        UsageError: if there is no storage.
        SetupError: if this storage cannot be written, or one of its sweeps is running.
    """
    other = Store(place(flags.other).absolute())
    if not any(other.path(kind).is_dir() for kind in (*KEPT, "sweeps")):
        raise UsageError(f"{other.root} holds no storage: there is no trials/ or sweeps/ in it")
    if other.root.resolve() == store.root.resolve():
        raise UsageError(f"{other.root} is this storage itself")
    check_storage(store.root)
    merged = Merged()
    for kind in KEPT:
        for path in sorted(_units(other.path(kind)), key=lambda p: (p.name == TRAINED, p)):
            _take(path, kind, other, store, merged)
    console = open_console()
    for asked in all_asked(other):
        with held(store.path("sweeps", asked.name, asked.scale, "lock.json"), console.print):
            keep(asked, store)
        merged.new["sweeps"] += 1
    _tell(merged, store, console)
    return DataError.exit_code if merged.damaged else 0


def _units(folder: Path) -> Iterator[Path]:
    """What is copied whole: folders with a manifest, and files outside of any."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name.startswith(".") or path.name in LEFT:
            continue
        if path.is_dir() and not (path / MANIFEST).is_file():
            yield from _units(path)
        else:
            yield path


def _take(path: Path, kind: str, other: Store, store: Store, merged: Merged) -> None:
    parts = path.relative_to(other.root).parts
    name = "/".join(parts)
    try:
        _check(path, kind)
    except (DataError, ValueError, OSError) as error:
        merged.damaged.append(f"{name}: {error}")
        return
    here = store.path(*parts)
    if here.exists():
        if _is_same(path, here):
            merged.there[kind] += 1
        else:
            merged.other.append(name)
        return
    if path.is_dir():
        with store.making(*parts) as draft:
            shutil.copytree(path, draft, dirs_exist_ok=True)
            verify(draft)
    else:
        write_bytes(here, path.read_bytes())
    merged.new[kind] += 1


def _check(path: Path, kind: str) -> None:
    """Read it against what states its hash.

    Raises:
        DataError: if it is not what it says it is.
        ValueError: if it is no JSON.
    """
    if any(each.is_symlink() for each in (path, *path.rglob("*"))):
        raise DataError("it holds a link")
    if path.is_dir():
        verify(path)
        if kind == "bases" and sha256_of(path / WEIGHTS) != path.name:
            raise DataError(f"{WEIGHTS} has another sha256 than its folder's name")
    elif path.suffix == ".json":
        value = json.loads(path.read_text(encoding="utf-8"))
        weights = path.with_name("weights") / WEIGHTS
        has_weights = path.name == TRAINED and weights.exists()  # a student that was added has none
        if has_weights and sha256_of(weights) != value["weights_sha256"]:
            raise DataError(f"its weights have another sha256 than {TRAINED} states")


def _is_same(path: Path, here: Path) -> bool:
    if path.is_dir():
        files = [json.loads((each / MANIFEST).read_text())["files"] for each in (path, here)]
        return bool(files[0] == files[1])
    if path.name == TRAINED:  # the seconds that it took may differ
        ids = [json.loads(each.read_text())["weights_sha256"] for each in (path, here)]
        return bool(ids[0] == ids[1])
    return sha256_of(path) == sha256_of(here)


def _tell(merged: Merged, store: Store, console: PatientConsole) -> None:
    for kind in (*KEPT, "sweeps"):
        if merged.new[kind] or merged.there[kind]:
            console.print(f"{kind}: {merged.new[kind]} new, {merged.there[kind]} there already")
    for name in merged.other:
        console.print(f"warning: {name} differs; what {store.root} had stays")
    for line in merged.damaged:
        console.print(f"warning: left out, damaged: {line}")
    console.print(f"Go on: raydistill report --storage {store.root}", soft_wrap=True)
