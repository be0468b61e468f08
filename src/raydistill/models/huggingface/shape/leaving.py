"""Which layers can leave a checkpoint's model, by its config.json alone, before anything is read.

A field that the config leaves to its class says nothing here; `anatomy.py` reads it later.
"""

import json
from collections.abc import Sequence
from dataclasses import replace

from raydistill.models.huggingface.shape.dimensions import DEPTH
from raydistill.models.huggingface.surgery.layer_fields import (
    CannotLeaveError,
    fields_without,
)
from raydistill.models.huggingface.surgery.nearest_sets import nearest
from raydistill.specs.model import HubConfig, MixedHubConfig, ModelConfig, text_fields


def check_leaving(model: ModelConfig, layers: Sequence[int], *, ends: bool) -> None:
    """Refuse layers that no config of a shorter model can say to have left.

    Args:
        model: whole.
        layers: that leave.
        ends: whether the first and the last layer may leave, in what is proposed instead.

    Raises:
        CannotLeaveError: naming the field, with the nearest sets of layers that can leave.
    """
    if not isinstance(model, HubConfig) or not layers:
        return
    fields = text_fields(json.loads(model.config))
    count, kept = model.num_layers, _others(model, layers)
    try:
        fields_without(fields, count, kept)
    except CannotLeaveError as refusal:
        sets = nearest(fields, count, kept, ends=ends)
        instead = " or ".join(",".join(map(str, layers)) for layers in sets)
        raise CannotLeaveError(
            f"a {fields.get('model_type')!r} cannot lose layers "
            f"{','.join(map(str, sorted(layers)))}: {refusal}"
            f"{f'; {instead} can leave' if sets else ''}"
        ) from None


def some_layers(model: ModelConfig, count: int) -> Sequence[int]:
    """So many layers that can leave a model: those after the first, or near them."""
    layers = range(1, 1 + count)
    try:
        check_leaving(model, layers, ends=False)
    except CannotLeaveError:
        fields = text_fields(json.loads(model.config))  # type: ignore[attr-defined]
        sets = nearest(fields, model.num_layers, _others(model, layers), ends=False)
        return sets[0] if sets else layers
    return layers


def shortened(model: ModelConfig, layers: Sequence[int]) -> ModelConfig:
    """A model of its own with the blocks that are left when some leave, with fresh weights.

    Of blocks alike it is so many fewer; else those that stay, and what the config says of them.

    Raises:
        CannotLeaveError: if no config can say so.
    """
    count = model.num_layers - len(layers)
    if not isinstance(model, MixedHubConfig):
        return replace(model, num_layers=count)
    kept, config = _others(model, layers), json.loads(model.config)
    fields = text_fields(config)
    changed = {name: count for name in DEPTH if fields.get(name) == model.num_layers}
    changed |= fields_without(fields, model.num_layers, kept)
    fields.update(changed)  # type: ignore[attr-defined]
    return replace(
        model,
        num_layers=count,
        config=json.dumps(config, sort_keys=True),
        blocks=tuple(model.blocks[layer] for layer in kept),
    )


def _others(model: ModelConfig, layers: Sequence[int]) -> list[int]:
    return [layer for layer in range(model.num_layers) if layer not in layers]
