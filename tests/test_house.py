"""The rules of the house: where files lie, their size, which way imports go, which words serve."""

import ast
import graphlib
import re
import tomllib
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src" / "raydistill"
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
    "contracts"
]
FLOORS = [set(line.split(" | ")) for line in CONTRACTS[0]["layers"]]

MODULES = sorted(SRC.rglob("*.py"))
CODE = sorted([*MODULES, *(ROOT / "tests").rglob("*.py"), *(ROOT / "sweeps").glob("*.py")])
NOT_NOUNS = {"found", "each", "said", "asked", "heard", "told", "wanted"}
"""Participles and pronouns that stood for values: a name says what a value is."""

PARSED = {path: ast.parse(path.read_text("utf-8")) for path in CODE}


def name_of(path):
    return str(path.relative_to(ROOT))


def floor(package):
    return next(i for i, names in enumerate(FLOORS) if package in names)


def test_init_files_hold_a_docstring_only():
    with_code = [
        name_of(path)
        for path in MODULES
        if path.name == "__init__.py"
        and path.parent != SRC  # the version, and who guards the former modules
        and (len(PARSED[path].body) != 1 or not ast.get_docstring(PARSED[path]))
    ]
    assert with_code == []


def test_a_folder_has_at_most_twelve_modules():
    count = Counter(path.parent for path in MODULES if path.name != "__init__.py")
    assert {name_of(folder): n for folder, n in count.items() if n > 12} == {}


def test_no_file_is_longer_than_three_hundred_lines():
    lines = {name_of(path): len(path.read_text("utf-8").splitlines()) for path in CODE}
    assert {name: n for name, n in lines.items() if n > 300} == {}


def test_every_package_stands_on_a_floor():
    packages = {path.name for path in SRC.iterdir() if (path / "__init__.py").is_file()}
    assert packages == {name for names in FLOORS for name in names} - {"api", "hf"}


def imports(path):
    """What a file imports of the package, also inside functions: its packages, by name."""
    for node in ast.walk(PARSED[path]):
        if isinstance(node, ast.ImportFrom) and node.module == "raydistill":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("raydistill."):
            yield node.module.split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (
                a.name.split(".")[1] for a in node.names if a.name.startswith("raydistill.")
            )


def test_no_import_points_up_or_sideways():
    up = []
    for path in MODULES:
        own = path.relative_to(SRC).parts[0].removesuffix(".py")
        if own in ("__init__", "former_modules"):
            continue
        for other in set(imports(path)) - {own, "__version__"}:
            if floor(other) <= floor(own):
                up.append(f"{name_of(path)} -> {other}")
    assert up == []


def modules_of(path):
    """The modules of the package that a file imports when it is imported itself."""
    for node in PARSED[path].body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("raydistill."):
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name for name in (node.module, *inner) if name in BY_NAME)


BY_NAME = {".".join(path.relative_to(SRC.parent).with_suffix("").parts): path for path in MODULES}


def test_no_files_import_each_other_in_a_circle():
    graph = {name: set(modules_of(path)) for name, path in BY_NAME.items()}
    tuple(graphlib.TopologicalSorter(graph).static_order())  # raises, and names the circle


def test_sweeps_know_one_module_of_the_package():
    for path in (ROOT / "sweeps").glob("*.py"):
        assert set(imports(path)) == {"api"}, path


def test_tests_mirror_the_packages():
    packages = {path.name for path in SRC.iterdir() if path.is_dir()}
    others = {"end_to_end", "benchmarks", "support", "fixtures"}
    folders = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir()} - {"__pycache__"}
    assert folders <= packages | others
    files = {path.name for path in (ROOT / "tests").glob("*.py")}
    assert files == {"conftest.py", "test_house.py", "test_examples.py"}


def test_no_module_is_a_drawer():
    drawers = {"utils", "helpers", "common", "misc"}
    assert [name_of(path) for path in MODULES if path.stem in drawers] == []


def names_bound(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_value_is_named_by_a_noun(path):
    fields = {  # of classes that are kept in files, whose names stay
        target.target.id
        for node in ast.walk(PARSED[path])
        if isinstance(node, ast.ClassDef)
        for target in node.body
        if isinstance(target, ast.AnnAssign) and isinstance(target.target, ast.Name)
    }
    assert set(names_bound(PARSED[path])) & NOT_NOUNS - fields == set()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_docstring_below_a_constant_ends_its_name(path):
    """`SHARE = 0.25` and below it "Of the budget": a comment beside it, or a whole sentence."""
    body = PARSED[path].body
    for before, node in pairwise(body):
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if is_text and isinstance(before, ast.Assign | ast.AnnAssign):
            text = str(node.value.value)
            assert not re.match(r"(Of|In|For|By|To|At|Up|From|With|As) ", text), text
