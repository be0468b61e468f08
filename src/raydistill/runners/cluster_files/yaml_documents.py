"""YAML documents that remember where every value stands, and findings about them."""

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

Place = tuple[str | int, ...]
"""Keys and numbers that lead to a value: `("spec", "workerGroupSpecs", 0, "replicas")`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """Something wrong in a file."""

    path: Path
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}"


@dataclass(frozen=True, kw_only=True, slots=True)
class YamlDocument:
    """One document of a file.

    Attributes:
        value: as YAML means it.
        lines: of every value, by its place.
        doubles: keys that stand twice in one mapping, of which YAML takes the last.
    """

    path: Path
    value: object
    lines: Mapping[Place, int]
    doubles: tuple[tuple[str, int], ...]

    def finding(self, place: Place, what: str) -> Problem:
        """That something is wrong at a place, or at what holds it."""
        while place and place not in self.lines:
            place = place[:-1]
        return Problem(path=self.path, line=self.lines.get(place, 1), what=what)

    def values(self) -> Iterator[tuple[Place, object]]:
        """Every value below the document's own, with its place."""
        yield from _below((), self.value)


def read_yaml(path: Path) -> list[YamlDocument]:
    """The documents of a YAML file.

    Raises:
        yaml.YAMLError: if it is none.
        UnicodeDecodeError: if it is no text.
    """
    text = path.read_text(encoding="utf-8")
    found = []
    for node in yaml.compose_all(text, Loader=yaml.SafeLoader):
        lines: dict[Place, int] = {}
        doubles: list[tuple[str, int]] = []
        _walk(node, (), lines, doubles)
        loader = yaml.SafeLoader("")
        value = loader.construct_document(node)
        found.append(YamlDocument(path=path, value=value, lines=lines, doubles=tuple(doubles)))
    return found


def at(value: object, *place: str | int) -> object:
    """What stands at a place; None where nothing does."""
    for step in place:
        if isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return None
    return value


def _below(place: Place, value: object) -> Iterator[tuple[Place, object]]:
    pairs: Iterator[tuple[str | int, object]]
    if isinstance(value, Mapping):
        pairs = ((str(key), each) for key, each in value.items())
    elif isinstance(value, list):
        pairs = iter(enumerate(value))
    else:
        return
    for key, each in pairs:
        yield (*place, key), each
        yield from _below((*place, key), each)


def _walk(
    node: yaml.Node, place: Place, lines: dict[Place, int], doubles: list[tuple[str, int]]
) -> None:
    lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        seen: set[Hashable] = set()
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.value in seen:
                doubles.append((key.value, line))
            seen.add(key.value)
            lines[(*place, key.value)] = line
            _walk(value, (*place, key.value), lines, doubles)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            _walk(value, (*place, number), lines, doubles)
