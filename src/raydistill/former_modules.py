"""Modules that sweeps imported from before there was `raydistill.api`: one line says so."""

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType

FORMER = {"locations", "objective", "placement", "scales", "search", "spec", "sweep", "units"}


class FormerModules(MetaPathFinder):
    """Comes last, so it is asked for modules that are nowhere else."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> None:
        """Nothing, but for a module of old.

        Raises:
            UsageError: if it is one; it says what to import instead.
        """
        package, _, name = fullname.rpartition(".")
        if package != "raydistill" or name not in FORMER:
            return
        importlib.import_module("raydistill.cli.exit")  # tells it in one line
        raise importlib.import_module("raydistill.core.errors").UsageError(
            f"there is no {fullname} any more: a sweep imports all that it needs from "
            "raydistill.api, as in: from raydistill.api import Sweep, TrialRequest, main"
        )


sys.meta_path.append(FormerModules())
