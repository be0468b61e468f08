"""Small changes of the code, one at a time: which of them do the tests notice?

Comparisons, signs and constants are changed, and calls, conditions and branches dropped, in the
modules whose mistakes nobody would see: amounts, orders, statistics, secrets. Of each module the
same few changes are drawn every time. A change is noticed if a test of the module fails or takes
several times as long. `equivalent_mutants.toml` holds those that change nothing, with the reason.

Own code, because of the libraries cosmic-ray has no dropped calls and no sample, mutmut changes no
decorated function and nothing outside of functions, and mutatest is not kept any more.

    python benchmarks/mutants.py                        # 12 changes of each of 24 modules
    python benchmarks/mutants.py --only specs/flops --count 999
"""

import argparse
import ast
import hashlib
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = Path("src/raydistill")
EQUIVALENT = Path(__file__).with_name("equivalent_mutants.toml")
COUNT, SEED = 12, 0
LEAST_NOTICED = 0.95  # of the changes

PROCESSES = multiprocessing.get_context("forkserver")  # that imports once what takes seconds
PROCESSES.set_forkserver_preload(["pytest", "torch", "scipy.stats", "hypothesis.extra.numpy"])

# By module, the tests that should notice, beside `tests/<package>/test_<module>.py`.
MODULES: Mapping[str, tuple[str, ...]] = {
    "core/text/redaction": (),
    "specs/drop_plan": (),
    "specs/flops": (),
    "specs/recipe": ("specs/test_weight_decay", "training/test_optimizers"),
    "models/student": (),
    "data/batches": ("data/test_begun_corpora",),
    "distillation/divergence": ("distillation/test_losses",),
    "evaluation/bootstrap": (),
    "evaluation/document_split": (),
    "evaluation/likelihood/perplexity": (),
    "evaluation/lm_harness/paper13": (),
    "evaluation/performance_drops": (),
    "evaluation/statistical_power": (),
    "training/optimizers": (),
    "planning/preview/costs": ("planning/test_dry_run", "planning/test_estimate"),
    "planning/preview/forecast": (),
    "planning/search/brackets": (),
    "planning/search/halving": ("planning/test_brackets",),
    "planning/search/rank_stability": ("planning/test_brackets",),
    "reports/results/agreement": (),
    "reports/results/comparison": (),
    "reports/results/controls": ("reports/test_comparison",),
    "reports/tables/sentences": (
        "reports/test_beside_the_paper",
        "reports/test_table",
        "reports/test_general_text",
        "reports/test_seeds",
    ),
    "tracking/fields": (),
}

SWAPPED: Mapping[type, type] = {
    **{ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt},
    **{ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is},
    **{ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Add: ast.Sub, ast.Sub: ast.Add},
    **{ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Pow: ast.Mult},
    **{ast.Mod: ast.FloorDiv, ast.BitAnd: ast.BitOr, ast.LShift: ast.RShift},
}
OTHER_NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}
UNCHANGED_FIELDS = {"annotation", "returns", "decorator_list", "bases", "msg", "exc"}


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """A module with one change."""

    module: str
    line: int
    text: str  # of the line
    before: str
    after: str
    code: str

    @property
    def key(self) -> str:
        """What was changed, wherever the line stands."""
        return f"{self.module}: {self.text}: {self.before} → {self.after}"


def changes(node: ast.AST) -> Iterator[ast.AST]:  # noqa: C901, PLR0912  (a case is a kind of change)
    """What may stand in the place of a node."""
    match node:
        case ast.Compare(ops=[op]) if type(op) in SWAPPED:
            yield ast.Compare(node.left, [SWAPPED[type(op)]()], node.comparators)
        case ast.BinOp(op=op) if type(op) in SWAPPED:
            yield ast.BinOp(node.left, SWAPPED[type(op)](), node.right)
        case ast.BoolOp(values=[first, *rest]):
            yield first
            yield rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)
        case ast.UnaryOp(op=ast.USub() | ast.Not(), operand=operand):
            yield operand
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield ast.Constant(value + 1)
            yield ast.Constant(value - 1)
        case ast.IfExp():
            yield node.body
            yield node.orelse
        case ast.If() | ast.While():
            yield type(node)(ast.Constant(False), node.body, node.orelse)
            if isinstance(node, ast.If):
                yield ast.If(ast.Constant(True), node.body, node.orelse)
        case ast.comprehension(ifs=[_, *rest]):
            yield ast.comprehension(node.target, node.iter, rest, node.is_async)
        case ast.Expr(value=ast.Call()) | ast.AugAssign():
            yield ast.Pass()
        case ast.Call(func=ast.Name(id=name)) if name in OTHER_NAMES:
            yield ast.Call(ast.Name(OTHER_NAMES[name]), node.args, node.keywords)
        case ast.Call(args=[argument]) if not isinstance(argument, ast.Starred):
            yield argument
        case ast.Break() | ast.Continue():
            yield ast.Continue() if isinstance(node, ast.Break) else ast.Break()


def places(tree: ast.AST) -> Iterator[tuple[ast.AST, str, int]]:
    """Every node's parent, field and index there; no type, decorator, string or message."""
    for field, value in ast.iter_fields(tree):
        if field in UNCHANGED_FIELDS or isinstance(tree, ast.JoinedStr | ast.Assert):
            continue
        if isinstance(tree, ast.keyword) and tree.arg == "strict":  # an assertion
            continue
        for index, node in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(node, ast.AST):
                yield tree, field, index
                yield from places(node)


def mutants_of(module: str) -> list[Mutant]:
    """All mutants of a module, in an order that depends on each alone: a sample of it stays."""
    source = (ROOT / PACKAGE / f"{module}.py").read_text("utf-8")
    lines, tree, mutants = source.splitlines(), ast.parse(source), []
    for parent, field, index in list(places(tree)):
        value = getattr(parent, field)
        node = value[index] if isinstance(value, list) else value
        line = getattr(node.target if isinstance(node, ast.comprehension) else node, "lineno", 1)
        for change in changes(node):
            put(parent, field, index, change)
            mutant = Mutant(
                module=module,
                line=line,
                text=lines[line - 1].strip(),
                before=first_line(node),
                after=first_line(change),
                code=ast.unparse(ast.fix_missing_locations(tree)),
            )
            put(parent, field, index, node)
            mutants.append(mutant)
    return sorted(mutants, key=lambda m: hashlib.sha256(f"{SEED} {m.key}".encode()).digest())


def first_line(node: ast.AST) -> str:
    """A node as code; of a statement, its head."""
    return ast.unparse(node).partition("\n")[0]


def put(parent: ast.AST, field: str, index: int, node: ast.AST) -> None:
    """Let a field of `parent`, or one of its list, be `node`."""
    value = getattr(parent, field)
    if isinstance(value, list):
        value[index] = node
    else:
        setattr(parent, field, node)


def sample(mutants: Sequence[Mutant], count: int) -> list[Mutant]:
    """The first `count`, on different lines as far as there are so many."""
    lines: dict[int, int] = {}
    ranks = []
    for mutant in mutants:
        lines[mutant.line] = lines.get(mutant.line, 0) + 1
        ranks.append(lines[mutant.line])
    order = sorted(range(len(mutants)), key=lambda index: (ranks[index], index))
    return [mutants[index] for index in order[:count]]


def tests_of(module: str) -> list[str]:
    """The test files that should notice a change of a module."""
    package, *_, stem = module.split("/")
    return [f"tests/{name}.py" for name in (f"{package}/test_{stem}", *MODULES[module])]


def run_tests(package: Path, files: Sequence[str]) -> None:
    """Run tests on a copy of the package, in a process of their own; exits as pytest does."""
    silence = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(silence, stream)
    os.chdir(ROOT)
    sys.dont_write_bytecode = False  # of the copy, for the next change
    sys.path.insert(0, str(package.parent))
    os.environ["PYTHONPATH"] = str(package.parent)
    sys.exit(pytest.main(["-qx", "-n0", "-p", "no:cacheprovider", *files]))


class Copy:
    """A copy of the package in which one module at a time is changed."""

    def __init__(self, folder: Path) -> None:
        self.package = folder / PACKAGE
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / PACKAGE, self.package, ignore=ignored, copy_function=os.symlink)

    def passes(self, module: str, code: str, limit_s: float) -> bool:
        """Whether the module's tests pass in time with this code in its place."""
        path = self.package / f"{module}.py"
        path.unlink()
        path.write_text(code, "utf-8")
        for compiled in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
            compiled.unlink()  # of one that was written in the same second
        files = [str(path), *tests_of(module)]
        process = PROCESSES.Process(target=run_tests, args=(self.package, files))
        process.start()
        process.join(limit_s)
        process.kill()
        process.join()
        path.unlink()
        path.symlink_to(ROOT / PACKAGE / f"{module}.py")
        return process.exitcode == 0


def survivors(mutants: Sequence[Mutant], modules: Sequence[str], jobs: int) -> Iterator[Mutant]:
    """The mutants that no test notices.

    Raises:
        SystemExit: if a module's tests fail on the code as it is.
    """
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(jobs) as pool:
        copies: SimpleQueue[Copy] = SimpleQueue()
        for job in range(jobs):
            copies.put(Copy(Path(folder) / str(job)))

        def passes(module: str, code: str, limit_s: float) -> tuple[bool, float]:
            copy, begun_s = copies.get(), time.monotonic()
            try:
                return copy.passes(module, code, limit_s), time.monotonic() - begun_s
            finally:
                copies.put(copy)

        as_is = [(ROOT / PACKAGE / f"{module}.py").read_text("utf-8") for module in modules]
        limits_s = {}
        for module, (passed, seconds) in zip(
            modules, pool.map(passes, modules, as_is, [600.0] * len(modules)), strict=True
        ):
            if not passed:
                sys.exit(f"{' '.join(tests_of(module))} fail on the code as it is")
            limits_s[module] = 20 + 4 * seconds
        results = pool.map(
            lambda mutant: passes(mutant.module, mutant.code, limits_s[mutant.module]), mutants
        )
        yield from (mutant for mutant, (passed, _) in zip(mutants, results, strict=True) if passed)


def main() -> int:
    """Print every change that no test notices, how many were noticed, and the time it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=list(MODULES), choices=MODULES)
    parser.add_argument("--count", type=int, default=COUNT, help="changes of each module")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    equivalent, begun_s = tomllib.loads(EQUIVALENT.read_text("utf-8")), time.monotonic()
    mutants = [
        mutant
        for module in options.only
        for mutant in sample(
            [m for m in mutants_of(module) if m.key not in equivalent], options.count
        )
    ]
    unnoticed = 0
    for mutant in survivors(mutants, options.only, options.jobs):
        unnoticed += 1
        print(
            f"{PACKAGE}/{mutant.module}.py:{mutant.line}: {mutant.before} → {mutant.after}",
            flush=True,
        )
    share = 1 - unnoticed / len(mutants)
    minutes = (time.monotonic() - begun_s) / 60
    print(
        f"{len(mutants) - unnoticed} of {len(mutants)} changes in {len(options.only)} modules were "
        f"noticed: {share:.1%}, in {minutes:.0f} minutes, {options.jobs} at a time."
    )
    return 0 if share >= LEAST_NOTICED else 1


if __name__ == "__main__":
    sys.exit(main())
