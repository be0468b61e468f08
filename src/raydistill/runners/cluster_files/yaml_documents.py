"""YAML documents that know the line of every value, and problems found in them."""

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

KeyPath = tuple[str | int, ...]  # to a value: ("spec", "workerGroupSpecs", 0, "replicas")


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
    """One document of a file."""

    path: Path
    value: object  # as YAML means it
    lines: Mapping[KeyPath, int]  # of every value, from 1
    duplicates: tuple[tuple[str, int], ...]  # keys that occur twice in one mapping, and their lines

    def finding(self, key_path: KeyPath, what: str) -> Problem:
        """A problem with a value, or with a missing one at the line of what would hold it."""
        while key_path and key_path not in self.lines:
            key_path = key_path[:-1]
        return Problem(path=self.path, line=self.lines.get(key_path, 1), what=what)

    def values(self) -> Iterator[tuple[KeyPath, object]]:
        """Every value below the document's own."""
        yield from _below((), self.value)


def read_yaml(path: Path) -> list[YamlDocument]:
    """The documents of a YAML file.

    Raises:
        yaml.YAMLError: if it is none.
        UnicodeDecodeError: if it is no text.
    """
    text = path.read_text(encoding="utf-8")
    documents = []
    for node in yaml.compose_all(text, Loader=yaml.SafeLoader):
        lines: dict[KeyPath, int] = {}
        duplicates: list[tuple[str, int]] = []
        _walk(node, (), lines, duplicates)
        loader = yaml.SafeLoader("")
        value = loader.construct_document(node)
        documents.append(
            YamlDocument(path=path, value=value, lines=lines, duplicates=tuple(duplicates))
        )
    return documents


def at(value: object, *key_path: str | int) -> object:
    """The value below `value` that these keys lead to, or None."""
    for step in key_path:
        if isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return None
    return value


def _below(key_path: KeyPath, value: object) -> Iterator[tuple[KeyPath, object]]:
    pairs: Iterator[tuple[str | int, object]]
    if isinstance(value, Mapping):
        pairs = ((str(key), child) for key, child in value.items())
    elif isinstance(value, list):
        pairs = iter(enumerate(value))
    else:
        return
    for key, child in pairs:
        yield (*key_path, key), child
        yield from _below((*key_path, key), child)


def _walk(
    node: yaml.Node, key_path: KeyPath, lines: dict[KeyPath, int], duplicates: list[tuple[str, int]]
) -> None:
    lines.setdefault(key_path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        seen: set[Hashable] = set()
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.value in seen:
                duplicates.append((key.value, line))
            seen.add(key.value)
            lines[(*key_path, key.value)] = line
            _walk(value, (*key_path, key.value), lines, duplicates)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            _walk(value, (*key_path, number), lines, duplicates)
