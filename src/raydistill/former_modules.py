"""What a sweep file of the old form is told: where the modules went that it imports."""

import sys
from importlib import import_module

FORMER = {"locations", "objective", "placement", "scales", "search", "spec", "sweep", "units"}


class FormerModules:
    """A finder that comes last, so it sees only the names of modules that nobody else has."""

    @staticmethod
    def find_spec(fullname: str, path: object = None, target: object = None) -> None:
        """Nothing, unless a sweep once imported `fullname`.

        Raises:
            UsageError: if one did; it says what to import instead.
        """
        package, _, name = fullname.rpartition(".")
        if package != "raydistill" or name not in FORMER:
            return
        import_module("raydistill.cli.exit")  # prints errors in one line
        raise import_module("raydistill.core.errors").UsageError(
            f"there is no {fullname} any more: a sweep imports all that it needs from "
            "raydistill.api, as in: from raydistill.api import Sweep, TrialRequest, main "
            "(Searching is SearchSettings there)"
        )


sys.meta_path.append(FormerModules())
