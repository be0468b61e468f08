"""Layer maps in mergekit's format: a passthrough file whose slices name the layers that stay.

    slices:
      - sources: [{model: NAME, layer_range: [0, 8]}]     # layers 0 to 7
    merge_method: passthrough

Of one model, each layer at most once, ascending: that is depth pruning. Other files are refused.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from raydistill.core.errors import DataError
from raydistill.pruning.ranking_result import layer_runs

FILE_NAME = "mergekit.yml"
_LIMITS = (
    "# mergekit 0.1.5 with transformers 5 changes the depth alone: where config.json has a list by "
    "layer\n# (layer_types: Qwen 3, Gemma 3, ...) it fails after the weights; `raydistill prune "
    "--mergekit` reads this.\n"
)
_KEYS = {"slices", "merge_method", "dtype"}


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerMap:
    """The model that a file names, and the layers of it that stay."""

    model: str
    kept: tuple[int, ...]
    dtype: str = ""  # empty: none named


def write_map(layers: LayerMap) -> str:
    """The text of a mergekit file.

    >>> print(write_map(LayerMap(model="m", kept=(0, 1, 4))).splitlines()[5])
        layer_range: [0, 2]
    """
    slices = "".join(
        f"- sources:\n  - model: {_quoted(layers.model)}\n    layer_range: [{first}, {last + 1}]\n"
        for first, last in layer_runs(layers.kept)
    )
    dtype = f"dtype: {layers.dtype}\n" if layers.dtype else ""
    return f"{_LIMITS}slices:\n{slices}merge_method: passthrough\n{dtype}"


def read_map(path: Path) -> LayerMap:
    """The layer map in a file.

    Raises:
        DataError: if it cannot be read, or says more than which layers of one model stay.
    """
    try:
        text = path.read_text(encoding="utf-8")
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text)):
            raise ValueError("it has aliases, which say a thing many times over")
        _refuse_repeated(path, yaml.compose(text, Loader=yaml.SafeLoader))
        content = yaml.safe_load(text)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise DataError(f"{path} is no mergekit file: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise DataError(f"{path} is no mergekit file: it has no keys")
    _refuse_other_keys(path, "", content, _KEYS)
    if content.get("merge_method") != "passthrough":
        raise DataError(f"{path}: merge_method {content.get('merge_method')!r}, only passthrough")
    sources = list(_sources(path, content.get("slices")))
    models = sorted({model for model, _ in sources})
    if len(models) != 1:
        raise DataError(f"{path} names {len(models)} models ({', '.join(models[:5])}), not one")
    for (_, before), (_, layers) in itertools.pairwise(sources):
        if before[-1] >= layers[0]:
            raise DataError(
                f"{path}: each layer at most once, in ascending order; it has {layers[0]} after "
                f"{before[-1]}"
            )
    kept = tuple(layer for _, layers in sources for layer in layers)
    return LayerMap(model=models[0], kept=kept, dtype=str(content.get("dtype") or ""))


def _sources(path: Path, slices: object) -> Iterator[tuple[str, range]]:
    """The model and the layers of each slice."""
    if not isinstance(slices, list) or not slices:
        raise DataError(f"{path} has no list of slices")
    for number, item in enumerate(slices):
        key = f"slices[{number}]"
        sources = item.get("sources") if isinstance(item, dict) else None
        if not isinstance(sources, list) or len(sources) != 1 or not isinstance(sources[0], dict):
            raise DataError(f"{path}: {key} must have one source")
        _refuse_other_keys(path, f"{key}.", item, {"sources"})
        _refuse_other_keys(path, f"{key}.sources[0].", sources[0], {"model", "layer_range"})
        yield str(sources[0].get("model")), _range(path, key, sources[0].get("layer_range"))


def _range(path: Path, key: str, ends: object) -> range:
    match ends:
        case [int(first), int(end)] if 0 <= first < end <= 10_000:
            return range(first, end)
    raise DataError(f"{path}: {key} has layer_range {ends!r}, not [first, end]")


def _refuse_other_keys(path: Path, prefix: str, fields: Mapping[str, Any], known: set[str]) -> None:
    if others := sorted(map(str, set(fields) - known)):
        raise DataError(
            f"{path}: {prefix}{others[0]} is more than which layers stay; "
            f"only {', '.join(sorted(known))} are read"
        )


def _refuse_repeated(path: Path, node: Any) -> None:
    """Refuse a key that stands twice in one mapping, of which PyYAML takes the last."""
    if node is None or isinstance(node.value, str):
        return
    children = node.value
    if children and isinstance(children[0], tuple):
        keys = [key.value for key, _ in children]
        for key in keys:
            if isinstance(key, str) and keys.count(key) > 1:
                raise DataError(f"{path} has the key {key} twice")
        children = [child for _, child in children]
    for child in children:
        _refuse_repeated(path, child)


def _quoted(name: str) -> str:
    return "'" + name.replace("'", "''") + "'"
