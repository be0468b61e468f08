"""Where a stock model's blocks are, and which fields of its config speak of them."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from raydistill.core.errors import DataError

TABLES = {  # beside the blocks, with as much for each: the end of their names, the axis of layers
    "embed_tokens_per_layer.weight": 1,
    "per_layer_model_projection.weight": 0,
}
WINDOWS = ("sliding_window", "attention_window_size", "attention_chunk_size", "window_size",
           "local_attention")  # fmt: skip
"""Fields with the tokens that attention of a layer reaches."""


def language_part(source: object, settings: Any) -> tuple[str, str]:
    """The part of the config with the language model's fields, and its field with the depth."""
    part = ""
    text = None
    try:
        text = settings.get_text_config(decoder=True)
    except ValueError:
        text = getattr(settings, "decoder", None)
    if text is not None and text is not settings:
        part = next((n for n, v in vars(settings).items() if v is text), "")
    fields = getattr(settings, part) if part else settings
    names = ["decoder_layers", "num_decoder_layers", "num_layers"]
    names.append((fields.attribute_map or {}).get("num_hidden_layers", "num_hidden_layers"))
    for name in names:
        if isinstance(getattr(fields, name, None), int):
            return part, name
    raise DataError(
        f"{source}: the config of a {settings.model_type!r} has none of {', '.join(names)}: "
        "it does not say how many layers there are"
    )


def block_list(source: object, model: nn.Module, num_layers: int) -> str:
    """The name of the list of blocks in the stock model."""
    lists = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == num_layers
    ]
    outermost = [n for n in lists if not any(n.startswith(f"{other}.") for other in lists)]
    decoder = getattr(model, "get_decoder", lambda: None)()
    within = [n for n in outermost if _is_within(model, n, decoder)] or outermost
    text = [n for n in within if not re.search(r"vision|visual|audio|image", n)]
    if len(text) == 1:
        return str(text[0])
    raise DataError(
        f"{source}: a {type(model).__name__} of {num_layers} layers has {len(text)} lists of so "
        f"many modules ({', '.join(text) or 'none'}), not one: its layers are not blocks that can "
        "leave"
    )


def _is_within(model: nn.Module, name: str, part: nn.Module | None) -> bool:
    blocks = model.get_submodule(name)
    return part is not None and any(module is blocks for module in part.modules())


def known_fields(part: Any) -> dict[str, Any]:
    """A config's fields with their defaults, each as the class has it."""
    return {name: vars(part).get(name, value) for name, value in part.to_dict().items()}


def depth_fields(part: Any, depth: str, count: int) -> dict[str, int]:
    """The fields that say how many layers there are, for `count` of them."""
    known = part.to_dict()
    return {name: count for name in (depth, "num_blocks") if name in known}


def as_written(part: Any, written: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    """Changed fields of a config's class, under the names that a config.json `written` has."""
    aliases = {old: new for new, old in (getattr(part, "attribute_map", None) or {}).items()}
    fields: dict[str, Any] = {}
    for name, value in changed.items():
        names = {name, aliases.get(name, name)} & set(written) or {name}
        fields |= dict.fromkeys(names, value)
    return fields


def cut_table(name: str, tensor: Tensor, num_layers: int, kept: Sequence[int]) -> Tensor:
    """A tensor without the rows or columns of layers that leave, where it has some of each."""
    axis = next((axis for end, axis in TABLES.items() if name.endswith(end)), None)
    if axis is None or len(kept) == num_layers:
        return tensor
    pieces = tensor.chunk(num_layers, dim=axis)
    return torch.cat([pieces[layer] for layer in kept], dim=axis)
