"""Frozen dataclasses as JSON and back, and digests of plain values."""

import dataclasses
import functools
import hashlib
import json
from typing import Any, TypeVar

T = TypeVar("T")


def to_json(value: object) -> str:
    """A dataclass as indented JSON with sorted keys: equal values give equal bytes."""
    assert dataclasses.is_dataclass(value), value
    assert not isinstance(value, type), value
    return json.dumps(dataclasses.asdict(value), indent=1, sort_keys=True) + "\n"


def from_json(kind: type[T], text: str) -> T:
    """The `kind` that `text` describes.

    Raises:
        ValueError: if `text` is not JSON, or its fields do not fit: text is no number.
    """
    described: Any = kind  # hashable, which mypy does not know
    value: T = _adapter(described).validate_json(text, strict=True)
    return value


def from_dict(kind: Any, fields: object) -> Any:
    """The `kind`, which may be a union, that already parsed `fields` describe."""
    return _adapter(kind).validate_python(fields)


@functools.cache
def _adapter(kind: Any) -> Any:
    import pydantic  # noqa: PLC0415  (0.2 s that `--help` does not need)

    return pydantic.TypeAdapter(kind)


def digest(value: object) -> str:
    """Sixteen hex digits of `value`'s canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
