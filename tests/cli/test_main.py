"""How a sweep's script and `raydistill` begin and end, each in a process of its own."""

import os
import subprocess
import sys

import pytest

from support.sweeping import ROOT, environment

SCRIPT = ROOT / "sweeps" / "where_to_drop.py"
CONSOLE = ("-c", "from raydistill.cli.console import raydistill; raydistill()")
HEAVY = {"torch", "ray", "mlflow", "numpy", "transformers", "rich", "matplotlib", "pyarrow"}
PLAN_ALL = f"""
import runpy, sys
from contextlib import redirect_stdout
from pathlib import Path
from raydistill.cli.console import raydistill

def is_quick(program, *argv):
    sys.argv = list(argv)
    try:
        with redirect_stdout(None):
            program()
    except SystemExit as end:
        print(*argv, end.code, sorted(sys.modules.keys() & {HEAVY!r}))

for script in sorted(Path("sweeps").glob("*.py")):
    for flag in ("--help", "--dry-run"):
        is_quick(lambda: runpy.run_path(str(script), run_name="__main__"), str(script), flag)
is_quick(raydistill, "raydistill", "--help")
"""


def run(*argv, **options):
    command = [sys.executable, *map(str, argv)]
    return subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, **options)


def test_help_and_a_plan_of_every_sweep_import_nothing_slow(tmp_path):
    done = run("-c", PLAN_ALL, cwd=ROOT, env=environment(tmp_path), stdout=subprocess.PIPE)
    lines = done.stdout.splitlines()
    assert len(lines) == 1 + 2 * len(list((ROOT / "sweeps").glob("*.py"))), done.stderr
    assert [line for line in lines if not line.endswith(" 0 []")] == []


def test_the_console_command_prints_its_version():
    assert run(*CONSOLE, "--version", stdout=subprocess.PIPE).stdout.startswith("raydistill 0.")
    assert run(*CONSOLE, stdout=subprocess.DEVNULL).returncode == 0


def test_a_sweep_that_cannot_be_is_refused_in_one_line_where_it_is_made(tmp_path):
    script = tmp_path / "bad.py"
    script.write_text(SCRIPT.read_text().replace('name="where_to_drop"', 'name="../up"'))
    done = run(script)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "sweep name '../up'" in done.stderr


@pytest.mark.parametrize("command", [(SCRIPT, "--dry-run"), (*CONSOLE, "cluster", "check")])
def test_a_closed_pipe_is_no_error(tmp_path, command):
    read_end, write_end = os.pipe()
    os.close(read_end)
    variables = os.environ | {"RAYDISTILL_STORAGE": str(tmp_path)}
    done = run(*command, env=variables, cwd=ROOT, stdout=write_end)
    os.close(write_end)
    assert (done.returncode, done.stderr) == (0, "")


def test_debug_shows_the_traceback():
    done = run(SCRIPT, "--debug", "--scale", "labtop")
    assert done.returncode == 2
    assert "Traceback" in done.stderr
