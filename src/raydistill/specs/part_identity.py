"""The identity of a part: what its file computes, not where it lies or how it is written.

A part's identity is a digest of its code without imports, comments, docstrings and formatting,
and of what it imports of the parts of its kind; one's own also of its folder, or of the package
that names it as an entry point. Version numbers (`NUMERICS_VERSION`,
`SCORING_VERSION`, `EVALUATOR_VERSION`) stand for all other code that it uses.
"""

import ast
import functools
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import resolve_name
from pathlib import Path
from typing import NamedTuple

from raydistill.core.errors import DataError, UsageError
from raydistill.core.parts import (
    MODEL_FAMILY,
    PartKind,
    find_module,
    is_entry_point,
    own_folder,
    part_file,
    part_folders,
    part_module,
    shared_file,
)


class Shipped(NamedTuple):
    """A part as the package ships it: the digest of its code, and its identity in storages."""

    code: str
    identity: str = ""  # empty: trial ids do not name it


# Storages name these parts by what they computed first, whatever their code is by now. Whoever
# rewrites one so that it computes the same gives its new `code` (a test says which); whoever makes
# it compute something else gives the new code as its `identity` too.
SHIPPED = {
    "excerpt sampled": Shipped("bf4f268a566148e9"),
    "excerpt threshold": Shipped("06a8401526c24baa"),
    "excerpt top-k": Shipped("0e90954eef919b58"),
    "excerpt top-k-tail": Shipped("592eae80d85ce0be"),
    "loss kd": Shipped("6e1dea8f9a8535d7"),
    "loss lm": Shipped("5205c89c349e03b8"),
    "loss logits-only": Shipped("0f9937be89710ec0"),
    "loss masked-lm": Shipped("1f953009064e0a14"),
    "loss minima": Shipped("51dcdc0437f6752a"),
    "model encoder": Shipped("7dad657dbc64dbc1"),
    "model hub": Shipped("9a32eed5a6a02c8e"),
    "model palm": Shipped("473ee2e15f05be51"),
    "model post-norm": Shipped("2119c195bbe84729"),
    "probe acceptability": Shipped("0f3a4e022074d634", "0f3a4e022074d634"),
    "probe book-kind": Shipped("014402de7472fa3a", "014402de7472fa3a"),
    "probe paraphrase": Shipped("dd11fe0c77fbaf3b", "dd11fe0c77fbaf3b"),
    "probe verse-order": Shipped("45b81dd6eb6113b4", "45b81dd6eb6113b4"),
    "score angular-distance": Shipped(
        "e3d4c8bf5f84c62e", "c49d887675edf20808b12497ca21b6a2cff77461f73487221dd34eec6546a5ac"
    ),
    "score angular-distance-last": Shipped(
        "ab6f00d436cddc56", "2ae776f0d773808cf2452848400c2d0480046a85d13268e4d8ef01bb46f85535"
    ),
    "score block-influence": Shipped(
        "d6b6d2c5115c271b", "b68aad99bdc1801e2329832205ac1233d5aeb300c03fbbffa300dd0acac3b0d1"
    ),
    "score greedy": Shipped(
        "577072cd6479f764", "5dc863edbb66a2ac7e050f7ddf6117b9f69c7bb0fc186339d58d9ebb529e3cf4"
    ),
    "score loss-increase": Shipped(
        "a2eef59b26985cb4", "772455a5e316463233cb573e82c5283f19edc0c47ad02e826d9aa0e92b79ea06"
    ),
    "task continuation": Shipped("39c86eec5533b3a8", "af0d8cf2e23a4fbc"),
    "task last-word": Shipped("302df33ba457ef95", "a355b7d4e726865a"),
    "task word-order": Shipped("0e25e15d256f97ff", "8dcfdbd890a5ba33"),
}


def part_identity(kind: PartKind, name: str) -> str:
    """The name of a part in storages; empty if trial ids do not name it.

    Raises:
        UsageError: if there is no such part.
        DataError: if its file is not Python.
    """
    return _identity(kind, name, own_folder())


@functools.cache  # a process goes on using the code that it has loaded
def _identity(kind: PartKind, name: str, own: Path | None) -> str:
    code = code_digest(kind, name)
    shipped = SHIPPED.get(f"{kind.name} {name}")
    return shipped.identity if shipped and shipped.code == code else code


def own_parts(
    parts: Iterable[tuple[PartKind, str]], gone: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The non-empty identities of parts, by kind and name.

    A part whose file is gone has that of `gone`, if any, so its results can still be shown.

    Raises:
        DataError: if a file is not Python.
    """
    identities = {}
    for kind, name in parts:
        key = f"{kind.name} {name}"
        try:
            identities[key] = part_identity(kind, name)
        except UsageError:
            identities[key] = (gone or {}).get(key, "")
    return {part: identity for part, identity in identities.items() if identity}


def edited_families() -> dict[str, str]:
    """The families of the package that somebody edited, by kind and name; mostly none.

    What is measured on weights is named by these weights, not by the family that computes with
    them; once the code of one is another, every such name is.
    """
    families = (part.split() for part in SHIPPED)
    return own_parts((MODEL_FAMILY, name) for kind, name in families if kind == MODEL_FAMILY.name)


def code_digest(kind: PartKind, name: str) -> str:
    """Sixteen hex digits of the code of a part and of those that it imports, at any depth.

    Raises:
        UsageError: if there is no such part.
        DataError: if its file is not Python.
    """
    own_file, module = part_file(kind, name), part_module(kind, name)
    homes = [_Home(f"{kind.package}.", part_folders(kind))]
    if is_entry_point(kind, name):
        homes.append(_Home(f"{module.partition('.')[0]}.", None))
    elif own := own_folder():
        homes.append(_Home("", [str(own)]))
    unread = _sources(own_file, module)
    if kind.shared:
        unread.append(Source(shared_file(kind), kind.package))
    codes: dict[Path, str] = {}
    while unread:
        source = unread.pop()
        if source.file not in codes:
            codes[source.file], imports = _read(source)
            unread += [inner for name in imports for home in homes for inner in home.sources(name)]
    text = "\n".join([codes.pop(own_file), *sorted(codes.values())])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Source(NamedTuple):
    """A file, and the package that relative imports in it start from."""

    file: Path
    package: str


class _Home(NamedTuple):
    """Modules that count as code of a part which imports them."""

    prefix: str  # of their names
    folders: Sequence[str] | None  # with what follows it; None: an installed package

    def sources(self, name: str) -> list[Source]:
        """The sources of the longest beginning of an import that is such a module."""
        if not name.startswith(self.prefix):
            return []
        words = (name if self.folders is None else name.removeprefix(self.prefix)).split(".")
        for end in range(len(words), 0, -1):
            module = ".".join(words[:end])
            spec = find_module(module, self.folders)
            if spec and spec.origin and spec.origin.endswith(".py"):
                if self.folders is None:
                    return [Source(Path(spec.origin), _package(Path(spec.origin), module))]
                return _sources(Path(spec.origin), f"{self.prefix}{module}")
        return []


def _sources(file: Path, module: str) -> list[Source]:
    """The file of a module; of one that is a folder, every file in it."""
    if file.name != "__init__.py":
        return [Source(file, _package(file, module))]
    files = sorted(file.parent.rglob("*.py"))
    inside = [".".join((module, *f.relative_to(file.parent).parent.parts)) for f in files]
    return [Source(*pair) for pair in zip(files, inside, strict=True)]


def _package(file: Path, module: str) -> str:
    return module if file.name == "__init__.py" else module.rpartition(".")[0]


def _read(source: Source) -> tuple[str, set[str]]:
    """The code in a file, as JSON, and the full names of what it imports."""
    try:
        tree = ast.parse(source.file.read_bytes())
    except (SyntaxError, ValueError) as error:
        raise DataError(f"{source.file} is not Python: {error}") from None
    code = _Code(source.package)
    code.visit(tree)
    return json.dumps([_plain(tree), sorted(code.renamed)], sort_keys=True), code.imports


class _Code(ast.NodeTransformer):
    """Removes what does not compute from a file's tree, and collects its imports."""

    def __init__(self, package: str) -> None:
        self.package = package
        self.imports: set[str] = set()
        self.renamed: set[str] = set()  # `import x as y`: the code tells `y` alone

    def visit_Import(self, node: ast.Import) -> None:
        self._note("", node.names)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self._note(resolve_name("." * node.level + (node.module or ""), self.package), node.names)

    def _note(self, module: str, names: Iterable[ast.alias]) -> None:
        for alias in names:
            self.imports.add(f"{module}.{alias.name}".removeprefix("."))
            last = alias.name.rpartition(".")[2]
            if alias.asname not in (None, last):
                self.renamed.add(f"{last} as {alias.asname}")

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        if ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            branch = ast.Module(node.orelse, [])
            self.generic_visit(branch)
            return branch.body
        return self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_text else node

    def visit_Pass(self, node: ast.Pass) -> None:
        """Remove it: only a body without a docstring needs one."""


def _plain(node: object) -> object:
    """A tree as lists; `ast.dump` would give each Python version a text of its own."""
    if isinstance(node, ast.AST):
        fields = ((name, value) for name, value in ast.iter_fields(node) if name != "kind")
        filled = {n: _plain(value) for n, value in fields if value is not None and value != []}
        return [type(node).__name__, filled]
    return [_plain(item) for item in node] if isinstance(node, list) else repr(node)
