"""What a loss's file says of it, read from its source: planning imports no torch.

TEACHER = "whole"             # what it asks of a teacher; without this line "known"
RANGES = {"alpha": (0, 1)}    # lowest and highest of a setting; without one, any number

def loss(logits_BTV, targets_BT, ask, *, alpha=0.5): ...

def view(batch, *, share=0.5): ...    # if it is taught other targets than the next tokens
"""

import ast
import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeGuard

from raydistill.core.errors import UsageError, unknown
from raydistill.core.parts import find_module

NONE, KNOWN, WHOLE = "none", "known", "whole"
TEACHERS = (NONE, KNOWN, WHOLE)
"""A loss asks nothing of a teacher, what a cached one knows too, or its whole distribution."""

TEMPERATURE, SHARE = "temperature", "share"
FEATURE_TERMS = ("hidden", "embedding", "attention")  # `feature_losses.py`, beside every loss
WEIGHTS = ("lm", "kl", *FEATURE_TERMS)  # from 0 to 1, where a loss says nothing else
LOSS_TAKES, VIEW_TAKES = ("logits_BTV", "targets_BT", "ask"), ("batch",)


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """A number that a loss's name may carry."""

    default: float  # an int: whole numbers only
    lowest: float = -math.inf
    highest: float = math.inf
    above: bool = False  # the lowest itself is not allowed

    def value(self, text: str) -> float | None:
        """The number; None if it is none, or not allowed."""
        try:
            value = float(text)
        except ValueError:
            return None
        fits = self.lowest <= value <= self.highest and not (self.above and value == self.lowest)
        if not fits or not math.isfinite(value):
            return None
        if isinstance(self.default, int):
            return int(value) if value == int(value) else None
        return value

    @property
    def allowed(self) -> str:
        """What it may be, in words."""
        number = "a whole number" if isinstance(self.default, int) else "a number"
        if math.isinf(self.lowest):
            return number
        from_ = f"{number} {'above' if self.above else 'from'} {self.lowest:g}"
        if math.isinf(self.highest):
            return from_
        return f"{from_}{', at most' if self.above else ' to'} {self.highest:g}"


@dataclass(frozen=True, kw_only=True, slots=True)
class LossFile:
    """What a loss asks of a teacher, its settings, and whether it has a view of its own."""

    teacher: str  # one of TEACHERS
    settings: Mapping[str, Setting]
    of_loss: frozenset[str]  # the settings that its function takes
    of_view: frozenset[str]  # and its view
    has_view: bool


def read_loss_file(file: Path) -> LossFile:
    """What the file of a loss says.

    Raises:
        UsageError: if it is not Python, imports what `raydistill.api` lacks, defines no such
            function, or says what is not allowed.
    """
    try:
        tree = ast.parse(file.read_bytes())
    except SyntaxError as error:
        raise UsageError(f"{file}:{error.lineno}: SyntaxError: {error.msg}") from None
    except ValueError as error:
        raise UsageError(f"{file} is not Python: {error}") from None
    return _Reader(file).loss_file(tree)


def usual(name: str, default: float) -> Setting:
    """A setting with the range that its name has where a loss says nothing."""
    if name == TEMPERATURE:
        return Setting(default=float(default), lowest=0, above=True)
    if name in WEIGHTS or name == SHARE:
        return Setting(default=float(default), lowest=0, highest=1, above=name == SHARE)
    return Setting(default=default)


@dataclass(frozen=True, slots=True)
class _Reader:
    file: Path

    def loss_file(self, tree: ast.Module) -> LossFile:
        self._check_imports(tree)
        functions = {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef)}
        if "loss" not in functions:
            self._refuse(1, "there is no def loss(logits_BTV, targets_BT, ask)")
        view = functions.get("view")
        teacher = self._constant(tree, "TEACHER", KNOWN)
        if teacher not in TEACHERS:
            self._refuse(1, f"TEACHER is {teacher!r}, it must be one of {', '.join(TEACHERS)}")
        if view and teacher != NONE:
            self._refuse(
                view.lineno, "a loss with a view of its own has no teacher: TEACHER must be 'none'"
            )
        of_loss = dict(self._settings(functions["loss"], LOSS_TAKES))
        of_view = dict(self._settings(view, VIEW_TAKES)) if view else {}
        for name in of_loss.keys() & of_view.keys():
            if view and of_loss[name] != of_view[name]:
                self._refuse(view.lineno, f"loss and view give {name} different defaults")
        settings = of_loss | of_view
        for name, (lowest, highest) in self._ranges(tree, settings).items():
            default = settings[name].default
            settings[name] = Setting(default=default, lowest=lowest, highest=highest)
        features = {} if teacher == NONE else {name: usual(name, 0.0) for name in FEATURE_TERMS}
        return LossFile(
            teacher=teacher,
            settings=settings | features,
            of_loss=frozenset(of_loss),
            of_view=frozenset(of_view),
            has_view=view is not None,
        )

    def _check_imports(self, tree: ast.Module) -> None:
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module == "raydistill.api":
                for name in (alias.name for alias in node.names):
                    if name not in (*_api_names(), "*"):
                        self._refuse(
                            node.lineno, unknown("name of raydistill.api", name, _api_names())
                        )

    def _settings(
        self, function: ast.FunctionDef, takes: Sequence[str]
    ) -> Iterator[tuple[str, Setting]]:
        taken = function.args
        if len(taken.posonlyargs + taken.args) != len(takes) or taken.vararg or taken.kwarg:
            what = f"{function.name} takes {', '.join(takes)}, then settings after a *"
            self._refuse(function.lineno, what)
        for argument, default in zip(taken.kwonlyargs, taken.kw_defaults, strict=True):
            value = None if default is None else self._literal(default, argument.arg)
            if isinstance(value, bool) or not isinstance(value, int | float):
                self._refuse(argument.lineno, f"setting {argument.arg} has no number as default")
            if argument.arg in FEATURE_TERMS:
                self._refuse(argument.lineno, f"every loss with a teacher has {argument.arg}")
            yield argument.arg, usual(argument.arg, value)

    def _ranges(
        self, tree: ast.Module, settings: Mapping[str, Setting]
    ) -> Mapping[str, tuple[float, float]]:
        ranges: dict[str, tuple[float, float]] = self._constant(tree, "RANGES", {})
        line = next((n.lineno for n in tree.body if _assigns(n, "RANGES")), 1)
        try:
            pairs = [(name, float(low), float(high)) for name, (low, high) in ranges.items()]
        except (AttributeError, TypeError, ValueError):
            what = f"RANGES gives settings a lowest and a highest value, not {ranges!r}"
            self._refuse(line, what)
        for name, low, high in pairs:
            if name not in settings:
                self._refuse(line, f"RANGES: {unknown('setting', name, settings)}")
            if not low <= (default := settings[name].default) <= high:
                self._refuse(
                    line, f"RANGES gives {name} {low:g} to {high:g}, and its default is {default:g}"
                )
        return ranges

    def _constant(self, tree: ast.Module, name: str, default: Any) -> Any:
        for node in tree.body:
            if _assigns(node, name):
                return self._literal(node.value, name)
        return default

    def _literal(self, node: ast.expr, name: str) -> Any:
        try:
            return ast.literal_eval(node)
        except ValueError:
            self._refuse(node.lineno, f"{name} is read, not run: write its value out")

    def _refuse(self, line: int, what: str) -> NoReturn:
        raise UsageError(f"{self.file}:{line}: {what}")


def _assigns(node: ast.stmt, name: str) -> TypeGuard[ast.Assign]:
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name


@functools.cache
def _api_names() -> frozenset[str]:
    """What may be imported from `raydistill.api`, read from its source."""
    spec = find_module("raydistill.api")
    assert spec is not None
    assert spec.origin is not None
    tree = ast.parse(Path(spec.origin).read_bytes())
    values = [n.value for n in tree.body if _assigns(n, "__all__") or _assigns(n, "_OF_TENSORS")]
    return frozenset(name for value in values for name in ast.literal_eval(value))
