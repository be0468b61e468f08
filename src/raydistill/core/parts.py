"""Exchangeable parts, found by file name: `importance/block_influence.py` is "block-influence".

Nothing is registered, and no part is imported before it is used.
"""

import importlib
import importlib.util
import pkgutil
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

from raydistill.core.errors import UsageError, unknown


@dataclass(frozen=True, slots=True)
class PartKind:
    """A kind of part: the package that holds them, and what messages call one of them."""

    package: str
    name: str
    shared: str = ""  # a module whose code also decides what the parts do


EXCERPT = PartKind("raydistill.distillation.excerpts", "excerpt")
LOSS = PartKind("raydistill.distillation.losses", "loss", "raydistill.distillation.divergence")
MODEL_FAMILY = PartKind("raydistill.models.families", "model")
SCALE = PartKind("raydistill.specs.scales", "scale")
SCORE = PartKind("raydistill.pruning.importance", "score")
TASK = PartKind("raydistill.evaluation.tasks", "task", "raydistill.evaluation.text_tasks")


def part_names(kind: PartKind) -> list[str]:
    """Names of the parts of a kind, without importing any of them."""
    modules = pkgutil.iter_modules(_folders(kind))
    return sorted(module.name.replace("_", "-") for module in modules)


def load_part(kind: PartKind, name: str, attribute: str) -> object:
    """The `attribute` that the file of part `name` defines.

    Raises:
        UsageError: if there is no such file; the message lists those there are.
    """
    return getattr(importlib.import_module(_module(kind, name)), attribute)


def defines(kind: PartKind, name: str, attribute: str) -> bool:
    """Whether the file of part `name` defines `attribute`.

    Raises:
        UsageError: if there is no such file; the message lists those there are.
    """
    return attribute in vars(importlib.import_module(_module(kind, name)))


def part_file(kind: PartKind, name: str) -> Path:
    """The source of part `name`, without importing it.

    Raises:
        UsageError: if there is no such file; the message lists those there are.
    """
    module = _module(kind, name)
    # find_spec of importlib.util would import the package, and so torch.
    spec = PathFinder.find_spec(module, _folders(kind))
    assert spec is not None, name
    assert spec.origin is not None, name
    return Path(spec.origin)


def shared_file(kind: PartKind) -> Path:
    """The source of what the parts of a kind share, without importing it."""
    spec = importlib.util.find_spec(kind.shared)
    assert spec is not None, kind
    assert spec.origin is not None, kind
    return Path(spec.origin)


def _folders(kind: PartKind) -> list[str]:
    spec = importlib.util.find_spec(kind.package)
    return list(spec.submodule_search_locations or ()) if spec else []


def _module(kind: PartKind, name: str) -> str:
    names = part_names(kind)
    if name not in names:
        raise UsageError(unknown(kind.name, name, names))
    return f"{kind.package}.{name.replace('-', '_')}"
