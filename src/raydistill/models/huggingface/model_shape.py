"""The shape of a checkpoint's model, from config.json and the headers of its weights."""

import json
import math
from collections.abc import Mapping
from dataclasses import fields as fields_of
from dataclasses import replace
from pathlib import Path
from typing import Any

from raydistill.core.errors import DataError
from raydistill.models.huggingface.positions import positions_of
from raydistill.models.huggingface.safetensors_header import (
    Shapes,
    is_parameter,
    tensor_shapes,
)
from raydistill.models.huggingface.shape.blocks import (
    is_dropped,
    is_of_tower,
    read_blocks,
    refuse_unlike,
)
from raydistill.models.huggingface.shape.dimensions import (
    DEPTH,
    HEADS,
    VOCABULARY,
    WIDTH,
    dimension,
    embedding_shape,
)
from raydistill.models.huggingface.shape.sizes import block_sizes_of, is_table
from raydistill.models.huggingface.shape.unlike import may_differ
from raydistill.models.huggingface.tied_head import says_tied, ties_head
from raydistill.models.huggingface.weight_files import weight_files
from raydistill.specs.flops import block_sizes
from raydistill.specs.model import (
    UNNAMED_POSITIONS,
    BlockSizes,
    HubConfig,
    MixedHubConfig,
    max_positions,
    text_part,
)

LONGEST_CONTEXT = 4096  # unless the user asks for more
_PLAIN = (  # fields that made a model possible before others were, under either name
    ("num_hidden_layers", "n_layer"),
    ("hidden_size", "n_embd"),
    ("num_attention_heads", "n_head"),
    ("vocab_size",),
)


def hub_config(folder: Path, fields: Mapping[str, Any], seq_len: int = 0) -> HubConfig:
    """The shape of the model in a checkpoint's folder.

    Args:
        folder: with the weights.
        fields: of its config.json.
        seq_len: tokens in a training window; 0: the model's own context, at most 4,096.

    Raises:
        DataError: if config and weights disagree, a file is damaged or quantised, or `seq_len` is
            above the model's context.
    """
    files = {path: tensor_shapes(path) for path in weight_files(folder)}
    shapes = {name: shape for tensors in files.values() for name, shape in tensors.items()}
    positions = positions_of(folder, fields)
    context = positions or LONGEST_CONTEXT
    if seq_len > context:
        raise DataError(f"--seq-len {seq_len} is more than the context of {folder}: {context}")
    part, model_type = text_part(fields), str(fields["model_type"])
    text = fields[part] if part else fields
    sizes = {
        name: math.prod(shape)
        for name, shape in shapes.items()
        if is_parameter(name) and not is_dropped(name, model_type)
    }
    tied = ties_head(fields, files)
    if tied:
        sizes.pop("lm_head.weight", None)
    prefix, blocks = read_blocks(folder, shapes, text)
    if not may_differ(text):
        refuse_unlike(folder, prefix, blocks)
    others = {
        n: size for n, size in sizes.items() if not n.startswith(f"{prefix}.") and not is_table(n)
    }
    rows, columns = embedding_shape(shapes, prefix)
    dim, heads = dimension(text, WIDTH) or columns, dimension(text, HEADS)
    vocab_size = dimension(text, VOCABULARY) or dimension(fields, VOCABULARY) or rows
    if not dim or not vocab_size:
        raise DataError(
            f"{folder / 'config.json'} of a {model_type!r} has no {WIDTH[0]} or {VOCABULARY[0]}, "
            "and the weights have no embedding of tokens that says them"
        )
    head_dim = dimension(text, ("head_dim",)) or (dim // heads if heads else 0)
    alike = {n: size for n, size in sizes.items() if n.startswith(f"{prefix}.0.")}
    settings = _settings(fields, part)
    if says_tied(fields) and not tied:
        settings["tie_word_embeddings"] = False
    if positions != max_positions(fields):
        (settings[part] if part else settings)["max_position_embeddings"] = positions
    model = HubConfig(
        family="hub",
        num_layers=len(blocks),
        dim=dim,
        num_heads=heads,
        vocab_size=vocab_size,
        context=seq_len or min(LONGEST_CONTEXT, positions or UNNAMED_POSITIONS),
        config=json.dumps(settings, sort_keys=True),
        block_parameters=sum(alike.values()),
        block_products=sum(size for n, size in alike.items() if len(shapes[n]) > 1),
        other_parameters=sum(others.values()),
        attention_width=heads * head_dim,
    )
    beside = {n: s for n, s in shapes.items() if not n.startswith(f"{prefix}.")}
    towers = sum(size for name, size in others.items() if is_of_tower(name))
    return _with_sizes(model, block_sizes_of(blocks, beside, text, heads * head_dim), towers)


def _settings(fields: Mapping[str, Any], part: str) -> dict[str, Any]:
    """The fields that say what the model is; those of its language model may be changed."""
    unrelated = ("_name_or_path", "transformers_version")
    settings = {key: value for key, value in fields.items() if key not in unrelated}
    return settings | ({part: dict(settings[part])} if part else {})


def _with_sizes(model: HubConfig, blocks: tuple[BlockSizes, ...], towers: int) -> HubConfig:
    """The model with the size of each block, where the model alone does not say it.

    Plain models are as they were before there were others, and so are the ids of their trials.
    """
    is_plain = len(set(blocks)) == 1 and not blocks[0].tables
    if is_plain and all(dimension(json.loads(model.config), names) for names in _PLAIN):
        return model
    first = blocks[0]
    alike = replace(
        model,
        block_parameters=first.parameters,
        block_products=first.products + first.parameters - first.active,
        attention_width=first.attention_width,
    )
    if block_sizes(alike) == blocks and not towers:
        return alike
    count = len(blocks)
    return MixedHubConfig(
        **{field.name: getattr(model, field.name) for field in fields_of(HubConfig)}
        | {
            "block_parameters": sum(b.parameters for b in blocks) // count,
            "block_products": sum(b.products for b in blocks) // count,
            "attention_width": sum(b.attention_width for b in blocks) // count,
        },
        blocks=blocks,
        towers=towers,
    )


def blocks_prefix(folder: Path, shapes: Shapes, num_layers: int) -> str:
    """The names of blocks up to their number, such as `model.layers`; all are of one shape.

    Raises:
        DataError: if there are more or fewer blocks, or they are not alike.
    """
    prefix, blocks = read_blocks(folder, shapes, {DEPTH[0]: num_layers})
    refuse_unlike(folder, prefix, blocks)
    return prefix
