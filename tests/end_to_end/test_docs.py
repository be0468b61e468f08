"""Documented commands are commands: each is planned by the real script, and no link is dead.

What they do when they run is in test_where_to_drop.py and test_job_submit.py.
"""

import ast
import importlib
import json
import re
import shlex
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from support import sweeping
from support.extending import BLOCKS
from support.hub_models import fresh, save_model

BENCHMARKS = sorted((sweeping.ROOT / "benchmarks").glob("*.py"))
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
BY_NAME = sorted(
    {
        shlex.join(words[words.index("raydistill") + 1 :])
        for _, words in LINES
        if "raydistill" in words and words[words.index("raydistill") + 1] == "sweep"
    }
)
ON_MODELS = [
    shlex.join(words[1:])
    for _, words in LINES
    if words[0] == "raydistill" and words[1] in ("rank", "prune", "import")
]
RANKED = {"laptop": 12, "tiny": 6}  # blocks of the models
LEFT = {  # blocks of the folders that documented commands write; one has 9.28K of 187K parameters
    "shorter": 4, "by-hand": 3, "small-enough": 4, "scored": 4, "the-same": 4, "new": 6,
}  # fmt: skip
MAKES = sorted({words[1] for _, words in LINES if words[0] == "make"})


def test_there_are_commands_to_test():
    assert len(SWEEPS) >= 8
    assert {"sweep", "test", "ui", "reproduce"} <= set(MAKES)


@pytest.mark.parametrize("command", SWEEPS)
def test_a_documented_sweep_can_be_planned(command, tmp_path):
    _python, script, *words = shlex.split(command)
    flags = [*words, *([] if "--dry-run" in words else ["--dry-run"])]
    done = sweeping.here(Path(script).stem, tmp_path, *flags, RAYDISTILL_SCALE="laptop")
    assert done.returncode == 0, done.stderr
    assert "distinct trials" in done.stdout


def on_disk(word, folder):
    """Models of the hub in a documented flag as small ones in a folder: no test asks the hub."""
    for name, steps in re.findall(r"(EleutherAI/[\w-]+)@([\w+]+)", word):
        for seed, step in enumerate(steps.split("+")):
            save_model(folder / name / step, "gpt_neox", seed=seed)
    return word.replace("EleutherAI", str(folder / "EleutherAI"))


@pytest.mark.parametrize("command", BY_NAME)
def test_a_documented_sweep_of_the_package_can_be_planned(command, tmp_path, own_parts):
    stood_for = {"mine.py": "sweeps/where_to_drop.py", "my_parts": str(own_parts(BLOCKS))}
    words = [stood_for.get(word, on_disk(word, tmp_path)) for word in command.split()]
    done = sweeping.command(tmp_path, *dict.fromkeys([*words, "--dry-run"]))
    assert done.returncode == 0, done.stderr
    assert "distinct trials" in done.stdout


SCRIPTS = sorted({shlex.split(command)[1] for command in SWEEPS})


@pytest.mark.parametrize(
    "script",
    [pytest.param(s, marks=[pytest.mark.soak] * (s != sweeping.SCRIPT)) for s in SCRIPTS],
)
def test_a_documented_script_can_be_planned_by_a_process_of_its_own(script, tmp_path):
    done = subprocess.run(
        [sys.executable, script, "--dry-run"],
        cwd=sweeping.ROOT, env=sweeping.environment(tmp_path, RAYDISTILL_SCALE="laptop"),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "distinct trials" in done.stdout


@pytest.fixture(scope="module")
def at_home(with_embedded_text, tmp_path_factory):
    """A folder with what the documented commands on models name."""
    import torch

    home = tmp_path_factory.mktemp("home")
    with_embedded_text(home / "storage")
    save_model(home / "tiny")
    (home / "notes.txt").write_text("\n".join(f"line {i} of some notes" for i in range(999)))
    shutil.copytree(home / "tiny", home / "old", ignore=shutil.ignore_patterns("*.safetensors"))
    state = fresh("llama").state_dict()
    torch.save(state, home / "old/pytorch_model.bin")
    return home


@pytest.mark.parametrize("command", dict.fromkeys(ON_MODELS))
def test_a_documented_command_on_a_model_runs(command, at_home, monkeypatch):
    monkeypatch.setattr(sweeping, "ROOT", at_home)  # where it runs
    words = shlex.split(command)
    shorter = [] if "--windows" in words else ["--windows", "1"]
    more = shorter if words[0] == "rank" or "--text" in words else []
    if words[0] == "prune":
        more.append("--overwrite")  # two pages may write one folder
    done = sweeping.command(at_home / "storage", *words, *more)
    assert done.returncode == 0, done.stderr
    if words[0] == "rank":
        (layers,) = {n for name, n in RANKED.items() if name in words[1]}
        last_layers = rf"^ *{layers - 1} +[\d.]+ +[+-][\d.]+ "  # block influence, loss increase
        assert len(re.findall(last_layers, done.stdout, re.MULTILINE)) == 1
        return
    config = at_home / words[words.index("--to") + 1] / "config.json"
    assert json.loads(config.read_text())["num_hidden_layers"] == LEFT[config.parent.name]


@pytest.mark.parametrize("target", MAKES)
def test_a_documented_target_exists(target):
    planned = subprocess.run(
        ["make", "--no-print-directory", "--dry-run", target], cwd=sweeping.ROOT,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert planned.returncode == 0, planned.stderr
    *_, command = planned.stdout.splitlines()
    assert "bin/" in command


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


@pytest.mark.parametrize(
    "script", sorted((sweeping.ROOT / "benchmarks").glob("*.py")), ids=lambda p: p.stem
)
def test_a_benchmark_finds_what_it_imports_of_us(script):
    for node in ast.walk(ast.parse(script.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("raydistill"):
            module = importlib.import_module(node.module)
            assert all(
                hasattr(module, alias.name) or find_spec(f"{node.module}.{alias.name}")
                for alias in node.names
            ), node.module
