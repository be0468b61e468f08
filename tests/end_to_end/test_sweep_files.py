"""Sweep files of one's own: they need `raydistill.api` alone, and old ones say what to change."""

import subprocess
import sys

import pytest

from raydistill import api
from raydistill.core.errors import UsageError
from raydistill.former_modules import FORMER
from support.sweeping import environment

BODY = """

def trial(scale: Scale, age: Age, location: str) -> TrialRequest:
    return scale.trial(age=age, location=location, count=scale.count)


sweep = Sweep(
    name="mine",
    question="Where?",
    axes={"age": (320 * B,), "location": (NONE, *LOCATIONS)},
    trial=trial,
)

if __name__ == "__main__":
    main(sweep)
"""
OLD = """from raydistill.cli import main
from raydistill.locations import LOCATIONS, NONE
from raydistill.scales import Scale
from raydistill.spec import Age, TrialRequest
from raydistill.sweep import Sweep
from raydistill.units import B
"""
NEW = """from raydistill.api import LOCATIONS, NONE, Age, B, Scale, Sweep, TrialRequest, main
"""
ADVICE = "imports all that it needs from raydistill.api, as in: from raydistill.api import Sweep"


def run(folder, imports, *flags):
    """A sweep of that file as a user runs it, in a folder outside of the repository."""
    (folder / "mine.py").write_text(imports + BODY)
    command = [sys.executable, "mine.py", *flags]
    variables = environment(folder / "storage")
    return subprocess.run(
        command, cwd=folder, env=variables, capture_output=True, text=True, check=False
    )


def test_a_sweep_outside_of_the_repository_needs_the_api_alone(tmp_path):
    done = run(tmp_path, NEW, "--dry-run")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Cells 10 " in done.stdout


@pytest.mark.parametrize("flags", [(), ("--help",), ("--dry-run",)])
def test_a_sweep_file_of_the_old_form_is_told_in_one_line_what_to_change(tmp_path, flags):
    done = run(tmp_path, OLD, *flags)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: there is no raydistill.locations any more: ")
    assert ADVICE in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "storage").exists()


@pytest.mark.parametrize("name", sorted(FORMER))
def test_every_module_that_a_sweep_imported_says_so(name):
    with pytest.raises(UsageError, match=ADVICE):
        __import__(f"raydistill.{name}")


def test_a_module_that_never_was_is_not_found():
    with pytest.raises(ModuleNotFoundError):
        __import__("raydistill.nowhere")
    with pytest.raises(ModuleNotFoundError):
        __import__("raydistill.core.sweep")


def test_the_api_has_what_it_names():
    assert all(hasattr(api, name) for name in api.__all__)
