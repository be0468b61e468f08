"""Documented commands are commands: each is planned by the real script, and no link is dead.

What they do when they run is in test_where_to_drop.py and test_job_submit.py.
"""

import re
import shlex
import subprocess
import sys

import pytest

import sweeping

PAGES = sorted([*sweeping.ROOT.glob("*.md"), *sweeping.ROOT.glob("*/*.md")])


def shell_lines():
    for page in PAGES:
        for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                yield page.name, shlex.split(line, comments=True)


LINES = [(page, words) for page, words in shell_lines() if words]
SWEEPS = sorted(
    {
        shlex.join(words[words.index("python") :])
        for _, words in LINES
        if "python" in words and words[words.index("python") + 1].startswith("sweeps/")
    }
)
MAKES = sorted({words[1] for _, words in LINES if words[0] == "make"})


def test_there_are_commands_to_test():
    assert len(SWEEPS) >= 8
    assert {"sweep", "test", "ui", "reproduce"} <= set(MAKES)


@pytest.mark.parametrize("command", SWEEPS)
def test_a_documented_sweep_can_be_planned(command, tmp_path):
    _python, *words = shlex.split(command)
    done = subprocess.run(
        [sys.executable, *words, *([] if "--dry-run" in words else ["--dry-run"])],
        cwd=sweeping.ROOT, env=sweeping.environment(tmp_path, RAYDISTILL_SCALE="laptop"),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "distinct trials" in done.stdout


@pytest.mark.parametrize("target", MAKES)
def test_a_documented_target_exists(target):
    planned = subprocess.run(
        ["make", "--dry-run", target], cwd=sweeping.ROOT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert planned.returncode == 0, planned.stderr


def test_the_house_is_drawn_as_it_stands():
    drawn = (sweeping.ROOT / "docs/architecture.md").read_text().split("```")[1]
    package = sweeping.ROOT / "src/raydistill"
    modules = {path.stem for path in package.glob("*.py")} - {"__init__"}
    folders = {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}
    words = set(drawn.split())
    assert sorted((modules | folders) - words) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_local_link_is_dead(page):
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []
