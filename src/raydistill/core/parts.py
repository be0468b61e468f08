"""Exchangeable parts, found by file name: `importance/block_influence.py` is "block-influence".

Nothing is registered, and no part is imported before it is used. Beside those of the package there
are one's own (docs/extending.md): files in `losses/`, `scores/`, … of the folder that
`PARTS_VARIABLE` names, which stand beside the package's for their imports too, and modules that
installed packages name as entry points of the group `raydistill.losses`, `raydistill.scores`, …
"""

import functools
import importlib
import importlib.util
import os
import pkgutil
import re
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import EntryPoint, distributions
from pathlib import Path

from raydistill.core.errors import OwnCodeError, RaydistillError, UsageError, error_in, unknown

PARTS_VARIABLE = "RAYDISTILL_PARTS"
SENT_FOLDER = "raydistill_own_parts"  # one's own on a worker, where Ray puts it on `sys.path`


@dataclass(frozen=True, slots=True)
class PartKind:
    """A kind of part: the package that holds them, and what messages call one of them."""

    package: str
    name: str
    shared: str = ""  # a module whose code also decides what the parts do
    folder: str = ""  # in one's own folder, and the group of entry points
    taken: str = ""  # a pattern of names that mean something else where a part's name is written


EXCERPT = PartKind("raydistill.distillation.excerpts", "excerpt", folder="excerpts")
FORM = PartKind("raydistill.laws.forms", "form", folder="forms")
LOSS = PartKind(
    "raydistill.distillation.losses", "loss", "raydistill.distillation.divergence", "losses"
)
MODEL_FAMILY = PartKind("raydistill.models.families", "model", folder="families")
PROBE = PartKind(
    "raydistill.evaluation.probes",
    "probe",
    "raydistill.evaluation.probing.labelled_items",
    "probes",
    taken=r"none|glue-.*",
)
SCALE = PartKind("raydistill.specs.scales", "scale", folder="scales")
SCORE = PartKind(
    "raydistill.pruning.importance",
    "score",
    folder="scores",
    taken=r"all|none|random-\d+|max-gap|input|output|both|middle|alt-(input|output|both|middle)",
)
TASK = PartKind(
    "raydistill.evaluation.tasks",
    "task",
    "raydistill.evaluation.text_tasks",
    "tasks",
    taken="paper13|above-chance|piqa|hellaswag|winogrande|boolq|openbookqa|sciq"
    "|arc-(easy|challenge)|rte|cb|copa|mrpc|sst2",
)
KINDS = (EXCERPT, FORM, LOSS, MODEL_FAMILY, PROBE, SCALE, SCORE, TASK)
FOLDERS = (*(kind.folder for kind in KINDS), "sweeps")


def part_names(kind: PartKind) -> list[str]:
    """Names of the parts of a kind, without importing any of them.

    Raises:
        UsageError: if one of one's own has a name that is taken, or that is no module's.
    """
    return sorted(_modules(kind))


def load_part(kind: PartKind, name: str, attribute: str) -> object:
    """The `attribute` that the file of part `name` defines.

    Raises:
        UsageError: if there is no such file (the message lists those there are), or it cannot be
            imported, or it defines no such thing.
    """
    definitions = _definitions(kind, name)
    if attribute not in definitions:
        raise OwnCodeError(f"{kind.name} {name!r}: {part_file(kind, name)} defines no {attribute}")
    return definitions[attribute]


def defines(kind: PartKind, name: str, attribute: str) -> bool:
    """Whether the file of part `name` defines `attribute`.

    Raises:
        UsageError: if there is no such file (the message lists those there are), or it cannot be
            imported.
    """
    return attribute in _definitions(kind, name)


def part_file(kind: PartKind, name: str) -> Path:
    """The source of part `name`, without importing it.

    Raises:
        UsageError: if there is no such file; the message lists those there are.
    """
    module = part_module(kind, name)
    if is_entry_point(kind, name):
        spec = find_module(module)
    else:  # find_spec of importlib.util would import the package, and so torch
        spec = PathFinder.find_spec(module, part_folders(kind))
    if spec is None or spec.origin is None:
        raise UsageError(f"{kind.name} {name!r}: there is no module {module}")
    return Path(spec.origin)


def part_in_file(kind: PartKind, name: str) -> str:
    """A part in a message, with its file: `loss 'flat' (losses/flat.py)`."""
    return f"{kind.name} {name!r} ({kind.folder}/{part_file(kind, name).name})"


def is_entry_point(kind: PartKind, name: str) -> bool:
    """Whether part `name` is of an installed package."""
    return not part_module(kind, name).startswith(f"{kind.package}.")


def shared_file(kind: PartKind) -> Path:
    """The source of what the parts of a kind share, without importing it."""
    spec = importlib.util.find_spec(kind.shared)
    assert spec is not None, kind
    assert spec.origin is not None, kind
    return Path(spec.origin)


def own_folder() -> Path | None:
    """The folder of one's own parts, if any is named."""
    text = os.environ.get(PARTS_VARIABLE)
    if text == SENT_FOLDER:
        return next((path for p in sys.path if (path := Path(p, text)).is_dir()), None)
    return Path(text) if text else None


def part_folders(kind: PartKind) -> list[str]:
    """The folders with the files of a kind: the package's, then one's own."""
    own = own_folder()
    return [*_shipped_folders(kind), *([str(own / kind.folder)] if own and kind.folder else [])]


def find_module(name: str, folders: Sequence[str] | None = None) -> ModuleSpec | None:
    """A module by its dotted name, without importing it or the packages that it is in.

    Args:
        name: as in an import.
        folders: where its first word is; by default wherever Python looks.
    """
    spec: ModuleSpec | None = None
    words = name.split(".")
    for end in range(1, len(words) + 1):
        finders = sys.meta_path if folders is None else [PathFinder]
        specs = (finder.find_spec(".".join(words[:end]), folders) for finder in finders)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is None:
            return None
        folders = spec.submodule_search_locations or []
    return spec


@contextmanager
def own_errors_named() -> Iterator[None]:
    """Within the block, an error of one's own part becomes one that names its file and line.

    Raises:
        OwnCodeError: for any exception that passed through a file of one's own, but for those that
            another attempt may not meet: of memory, and of files.
    """
    try:
        yield
    except (RaydistillError, MemoryError, OSError):
        raise
    except Exception as error:
        root, file = _own_file(error)
        if not file or type(error).__name__ == "OutOfMemoryError":  # torch's, of a GPU
            raise
        line = str(error_in(file, error)).removeprefix(f"{root}{os.sep}")
        raise OwnCodeError(line) from error


def _own_file(error: Exception) -> tuple[Path, str]:
    """The folder and the file of one's own code that an error left last; empty if it left none."""
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError):
        files.append(error.filename or "")
    own = own_folder()
    roots = [*([own] if own else []), *_entry_point_roots()]
    for file in reversed(files):
        for root in roots:
            if Path(file).is_relative_to(root):
                return root, file
    return Path(), ""


def _definitions(kind: PartKind, name: str) -> dict[str, object]:
    module = part_module(kind, name)
    package = importlib.import_module(kind.package)
    package.__path__ = part_folders(kind)
    own = own_folder()
    if own and str(own) not in sys.path:
        sys.path.append(str(own))  # for what its parts share
    with own_errors_named():
        return vars(importlib.import_module(module))


def part_module(kind: PartKind, name: str) -> str:
    """The module of part `name`.

    Raises:
        UsageError: if there is no such part; the message lists those there are.
    """
    modules = _modules(kind)
    if name not in modules:
        hint = "" if own_folder() or not kind.folder else "; one of your own needs --parts DIR"
        raise UsageError(unknown(kind.name, name, modules) + hint)
    return modules[name]


def _modules(kind: PartKind) -> dict[str, str]:
    """The module of each part of a kind, by the part's name."""
    modules = dict(_shipped_modules(kind))
    for name, module, place in _own_modules(kind) if kind.folder else ():
        if name in modules:
            raise UsageError(f"{place}: there is another {kind.name} {name!r}, rename yours")
        if re.fullmatch(kind.taken, name):
            raise UsageError(f"{place}: {name!r} means something else already, rename yours")
        modules[name] = module
    return modules


@functools.cache
def _shipped_modules(kind: PartKind) -> Mapping[str, str]:
    shipped = pkgutil.iter_modules(_shipped_folders(kind))
    return {_part_name(info.name): f"{kind.package}.{info.name}" for info in shipped}


def _own_modules(kind: PartKind) -> Iterator[tuple[str, str, str]]:
    """Name, module and place of each part of one's own."""
    own = own_folder()
    for info in pkgutil.iter_modules([str(own / kind.folder)]) if own else ():
        place = f"{own}/{kind.folder}/{info.name}.py"
        if not info.name.isidentifier():
            raise UsageError(f"{place}: a {kind.name}'s file is named with letters, digits and _")
        if not info.name.startswith("_"):  # what parts share
            yield _part_name(info.name), f"{kind.package}.{info.name}", place
    for entry in _entry_points(kind):
        place = f"the entry point {entry.name} = {entry.value} of {entry.dist and entry.dist.name}"
        if entry.attr:
            raise UsageError(f"{place}: a {kind.name} is a module, without {entry.attr!r}")
        yield _part_name(entry.name), entry.module, place


def _entry_point_roots() -> Iterator[Path]:
    """Where the packages with entry points of ours are."""
    for kind in KINDS:
        for entry in _entry_points(kind):
            root = find_module(entry.module.partition(".")[0])
            if root and root.origin:
                yield Path(root.origin).parents[1 if root.submodule_search_locations else 0]


def _entry_points(kind: PartKind) -> Sequence[EntryPoint]:
    return _entry_points_on(tuple(sys.path)).get(f"raydistill.{kind.folder}", ())


@functools.cache
def _entry_points_on(path: tuple[str, ...]) -> Mapping[str, Sequence[EntryPoint]]:
    """The entry points of everything that is installed on `path`, by group."""
    by_group: dict[str, list[EntryPoint]] = {}
    for installed in distributions(path=[*path]):
        for entry in installed.entry_points:
            if entry not in by_group.setdefault(entry.group, []):  # twice on the path, say
                by_group[entry.group].append(entry)
    return by_group


def _part_name(module: str) -> str:
    return module.replace("_", "-")


def _shipped_folders(kind: PartKind) -> list[str]:
    spec = importlib.util.find_spec(kind.package)
    return list(spec.submodule_search_locations or ()) if spec else []
