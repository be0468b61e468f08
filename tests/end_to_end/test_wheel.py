"""A wheel in an environment of its own, without the repository: its sweeps are there by name."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from raydistill.core.sweep_files import sweep_files
from support import sweeping
from support.printed import commands_in

SMOKE = ("--scale", "smoke")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """`run(*words)`: a command of an environment with a wheel of ours; libraries are shared."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("src", "sweeps"):
        made = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(sweeping.ROOT / name, folder / "source" / name, ignore=made)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(sweeping.ROOT / name, folder / "source")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    alone = ("--no-deps", "--no-index")
    build = (*alone, "--no-build-isolation", "--wheel-dir", folder / "dist", folder / "source")
    subprocess.run([*pip, "wheel", *build], check=True)
    shutil.rmtree(folder / "source")
    home = folder / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    (packages,) = home.glob("lib/python*/site-packages")
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    (wheel,) = (folder / "dist").iterdir()
    to_home = [*pip, "--python", home / "bin/python", "install", *alone, wheel]
    subprocess.run(to_home, check=True)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("RAY", "MLFLOW", "PYTHON"))}
    variables = kept | {
        "PATH": f"{home}/bin:{kept['PATH']}", "RAYDISTILL_STORAGE": str(folder / "storage"),
    }  # fmt: skip

    def call(*words):
        (folder / "elsewhere").mkdir(exist_ok=True)
        return subprocess.run(
            [home / "bin" / words[0], *words[1:]], cwd=folder / "elsewhere", env=variables,
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    return call


def test_a_sweep_of_the_wheel_is_planned_by_its_name(run):
    done = run("raydistill", "sweep", "where_to_drop", *SMOKE, "--dry-run")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("where_to_drop: ")
    assert "Cells 5 · distinct trials 5 · done 0." in done.stdout


def test_the_wheel_names_every_sweep_by_a_command_that_it_has(run):
    program = (
        "from raydistill.core.sweep_files import sweep_files;"
        "from raydistill.core.text import commands; print(commands.__file__);"
        "[print(*commands.sweep_command(name)) for name in sweep_files()]"
    )
    file, *commands = run("python", "-c", program).stdout.splitlines()
    assert not Path(file).is_relative_to(sweeping.ROOT)
    assert commands == [f"raydistill sweep {name}" for name in sweep_files()]


@pytest.mark.soak
def test_a_wheel_alone_sweeps_reports_and_exports(run):
    done = run("raydistill", "sweep", "where_to_drop", *SMOKE, "--age", "320B")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "against the control" in done.stdout
    assert "python" not in "".join(commands_in(done.stdout))
    (same,) = re.findall(r"^ *ray job submit -- (.*)$", done.stdout, re.MULTILINE)
    again = run(*shlex.split(same, comments=True))
    assert again.returncode == 0, again.stderr
    assert "nothing is trained" in again.stdout
    report = run("raydistill", "report")
    assert report.returncode == 0, report.stderr
    assert "where_to_drop" in report.stdout
    trial = re.findall(r"^■□.* input .*\b([0-9a-f]{16})\b", again.stdout, re.MULTILINE)[0]
    export = run("raydistill", "export", trial, "--to", "student", "--no-measure")
    assert export.returncode == 0, export.stderr
    show_card = "print(open('student/README.md').read())"
    assert "raydistill sweep where_to_drop --scale smoke" in run("python", "-c", show_card).stdout
