"""The types of a dataclass's fields, checked: `count="3"` or a `True` for a number is refused."""

import dataclasses
import functools
import math
import types
import typing
from typing import Any

from raydistill.core.errors import UsageError


def check_fields(value: object) -> None:
    """Refuse a dataclass one of whose fields has a value of another type, or is not a number.

    Dataclasses and tuples inside are checked too, other containers only for what they are.

    Raises:
        UsageError: naming the field, its value and what it takes.
    """
    kind: Any = type(value)  # hashable, which mypy does not know
    for name, takes in _field_types(kind).items():
        entry = getattr(value, name)
        if not _fits(entry, takes):
            raise UsageError(
                f"{kind.__name__}.{name} is {entry!r}, {_kind_of(entry)}: it takes {_name(takes)}"
            )
        for inner in entry if isinstance(entry, tuple) else (entry,):
            if dataclasses.is_dataclass(inner):
                check_fields(inner)


@functools.cache
def _field_types(kind: Any) -> dict[str, object]:
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def _fits(value: object, kind: object) -> bool:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, one) for one in inner)
    if origin is typing.Literal:
        return value in inner and type(value) in map(type, inner)
    if kind is float:
        return type(value) in (int, float) and not math.isnan(value)  # type: ignore[arg-type]
    if kind in (int, str, bool):
        return type(value) is kind
    if origin is tuple and len(inner) == 2 and inner[1] is Ellipsis:
        return isinstance(value, tuple) and all(_fits(item, inner[0]) for item in value)
    return not isinstance(origin or kind, type) or isinstance(value, origin or kind)  # type: ignore[arg-type]


def _kind_of(value: object) -> str:
    is_nan = isinstance(value, float) and math.isnan(value)
    return "not a number" if is_nan else f"of type {type(value).__name__}"


def _name(kind: Any) -> str:
    names: dict[object, str] = {
        int: "a whole number",
        float: "a number",
        str: "text",
        bool: "True or False",
    }
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return " or ".join(map(_name, typing.get_args(kind)))
    if typing.get_origin(kind) is typing.Literal:
        return " or ".join(map(repr, typing.get_args(kind)))
    return names.get(kind) or str(getattr(kind, "__name__", kind))
