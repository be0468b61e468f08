"""Exchangeable parts, found by file name: `scores/block_influence.py` is "block-influence".

There is nothing to register, and nothing is imported until it is asked for.
"""

import importlib
import importlib.util
import pkgutil
from importlib.machinery import PathFinder
from pathlib import Path

from raydistill.errors import UsageError, unknown


def part_names(package: str) -> list[str]:
    """Names of the parts in `package`, without importing any of them."""
    found = pkgutil.iter_modules(_folders(package))
    return sorted(part.name.replace("_", "-") for part in found)


def load_part(package: str, name: str, attribute: str) -> object:
    """The `attribute` that the file of part `name` in `package` defines.

    Raises:
        UsageError: if there is no such file; the message lists those there are.
    """
    return getattr(importlib.import_module(_module(package, name)), attribute)


def defines(package: str, name: str, attribute: str) -> bool:
    """Whether the file of part `name` in `package` defines `attribute`.

    Raises:
        UsageError: if there is no such file; the message lists those there are.
    """
    return attribute in vars(importlib.import_module(_module(package, name)))


def part_file(package: str, name: str) -> Path:
    """The source of part `name` in `package`, without importing it.

    Raises:
        UsageError: if there is no such file; the message lists those there are.
    """
    module = _module(package, name)
    # find_spec of importlib.util would import the package, and so torch.
    found = PathFinder.find_spec(module, _folders(package))
    assert found is not None, name
    assert found.origin is not None, name
    return Path(found.origin)


def _folders(package: str) -> list[str]:
    found = importlib.util.find_spec(package)
    return list(found.submodule_search_locations or ()) if found else []


def _module(package: str, name: str) -> str:
    names = part_names(package)
    if name not in names:
        folder = package.rpartition(".")[2]
        kind = folder.removesuffix("es" if folder.endswith("sses") else "s")
        raise UsageError(unknown(kind, name, names))
    return f"{package}.{name.replace('-', '_')}"
