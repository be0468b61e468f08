"""The shape of a checkpoint's model, from config.json and the headers of its weights."""

import itertools
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from raydistill.core.errors import DataError
from raydistill.models.huggingface.positions import positions_of
from raydistill.models.huggingface.safetensors_header import (
    Shapes,
    is_count,
    is_parameter,
    tensor_shapes,
)
from raydistill.models.huggingface.tied_head import says_tied, ties_head
from raydistill.models.huggingface.weight_files import weight_files
from raydistill.specs.model import UNNAMED_POSITIONS, HubConfig, max_positions

LONGEST_CONTEXT = 4096  # unless the user asks for more
_NAMED = 5  # layers in a message
_BLOCK = re.compile(r"(.*?)\.(\d{1,9})\.")


def hub_config(folder: Path, fields: Mapping[str, Any], seq_len: int = 0) -> HubConfig:
    """The shape of the model in a checkpoint's folder.

    Args:
        folder: with the weights.
        fields: of its config.json.
        seq_len: tokens in a training window; 0: the model's own context, at most 4,096.

    Raises:
        DataError: if config and weights disagree, the blocks are not alike, a file is damaged or
            quantised, or `seq_len` is above the model's context.
    """
    files = {path: tensor_shapes(path) for path in weight_files(folder)}
    shapes = {name: shape for tensors in files.values() for name, shape in tensors.items()}
    num_layers = _field(folder, fields, "num_hidden_layers", "n_layer")
    dim = _field(folder, fields, "hidden_size", "n_embd")
    heads = _field(folder, fields, "num_attention_heads", "n_head")
    positions = positions_of(folder, fields)
    context = positions or LONGEST_CONTEXT
    if seq_len > context:
        raise DataError(f"--seq-len {seq_len} is more than the context of {folder}: {context}")
    sizes = {n: math.prod(s) for n, s in shapes.items() if is_parameter(n)}
    tied = ties_head(fields, files)
    if tied:
        sizes.pop("lm_head.weight", None)
    prefix = blocks_prefix(folder, shapes, num_layers)
    block = {n: size for n, size in sizes.items() if n.startswith(f"{prefix}.0.")}
    others = sum(size for n, size in sizes.items() if not n.startswith(f"{prefix}."))
    unrelated = ("_name_or_path", "transformers_version")
    settings = {key: value for key, value in fields.items() if key not in unrelated}
    if says_tied(fields) and not tied:
        settings["tie_word_embeddings"] = False
    if positions != max_positions(fields):
        settings["max_position_embeddings"] = positions
    return HubConfig(
        family="hub",
        num_layers=num_layers,
        dim=dim,
        num_heads=heads,
        vocab_size=_field(folder, fields, "vocab_size"),
        context=seq_len or min(LONGEST_CONTEXT, positions or UNNAMED_POSITIONS),
        config=json.dumps(settings, sort_keys=True),
        block_parameters=sum(block.values()),
        block_products=sum(size for n, size in block.items() if len(shapes[n]) > 1),
        other_parameters=others,
        attention_width=heads * (_optional(fields, "head_dim") or dim // heads),
    )


def _optional(fields: Mapping[str, Any], *names: str) -> int:
    """The first of these fields that is a positive integer; 0 if none is."""
    values = (fields.get(name) for name in names)
    return next((value for value in values if is_count(value)), 0)


def _field(folder: Path, fields: Mapping[str, Any], *names: str) -> int:
    if value := _optional(fields, *names):
        return value
    raise DataError(
        f"{folder / 'config.json'} has no whole {' or '.join(names)}: "
        f"sweeps and scores read no {fields['model_type']!r}; `prune --layers` may"
    )


def blocks_prefix(folder: Path, shapes: Shapes, num_layers: int) -> str:
    """The names of blocks up to their number, such as `model.layers`; all are of one shape."""
    lists: dict[str, dict[int, dict[str, Sequence[int]]]] = {}
    for name, shape in shapes.items():
        if match := _BLOCK.match(name):
            blocks = lists.setdefault(match[1], {})
            blocks.setdefault(int(match[2]), {})[name[match.end() :]] = shape
    if not lists:
        raise DataError(f"the tensors in {folder} have no numbered blocks")
    prefix = max(lists, key=lambda name: len(lists[name]))
    blocks = lists[prefix]
    more = sorted(layer for layer in blocks if layer >= num_layers)
    num_missing = num_layers - (len(blocks) - len(more))
    if more or num_missing:
        absent = (layer for layer in itertools.count() if layer not in blocks)
        missing = list(itertools.islice(absent, min(num_missing, _NAMED)))
        raise DataError(
            f"config.json in {folder} says {num_layers} layers, the weights have {len(blocks)}: "
            f"{_counted('missing', missing, num_missing)}"
            f"{_counted('unexpected', more, len(more))}".rstrip(", ")
        )
    for layer, block in blocks.items():
        for name in sorted(set(block) | set(blocks[0])):
            if block.get(name) != blocks[0].get(name):
                raise DataError(
                    f"the blocks of {folder} are not all of one shape, as sweeps and scores need: "
                    f"{prefix}.{layer}.{name} {_difference(block.get(name), blocks[0].get(name))}"
                )
    return prefix


def _difference(shape: Sequence[int] | None, first: Sequence[int] | None) -> str:
    if shape is None:
        return "is missing"
    return f"has the shape {list(shape)}, layer 0 " + (f"{list(first)}" if first else "has none")


def _counted(kind: str, layers: Sequence[int], count: int) -> str:
    return f"{count} {kind} ({', '.join(map(str, layers[:_NAMED]))}), " if layers else ""
