"""The sizes of blocks that differ, from the shapes of their tensors and the config's fields."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from raydistill.models.huggingface.safetensors_header import Shapes, is_parameter
from raydistill.models.huggingface.shape.blocks import Block
from raydistill.specs.model import BlockSizes, chosen_experts

_BUFFER = re.compile(
    r"(?<!moe_statics\.)(?<!experts\.)e_score_correction_bias$|layer_scalar$|balancing_biases$|"
    r"tid2eid$|self_attn\.(slope_rate|(diagonal|key|query)_decay)$"
)
_BUFFER_OF_TYPES = {  # by the beginning of a `model_type`
    "hy_v3": "expert_bias", "lfm2_moe": "expert_bias", "bailing": "expert_bias",
    "deepseek_v4": "gate.bias", "inkling": "gate.bias",
}  # fmt: skip
_EXPERT = re.compile(r"(^|\.)experts\.(\d+)\.")
_FUSED = re.compile(r"(^|\.)(experts|(block_sparse_)?moe|mlp)\.")
_NO_PRODUCT = re.compile(
    r"(bias|norm.*|A_log|\bD|scale.*|table|sinks?)(\.weight)?$"
    r"|(^|\.)(encoder_attn|crossattention)\."  # of an encoder that decoders alone have not
)
_RECURRENT = re.compile(r"A_log|dt_bias|conv1d|\bslope|lerp|recurrent|output_gate|\bf_[ab]_proj")
_ATTENTION_OUT = re.compile(
    r"(^|\.)(o_proj|out_proj|c_proj|dense|wo|linear_out|output\.dense|o_proj\.0)\.weight$"
)
_QUERY = re.compile(
    r"(^|\.)(q(uery)?(_b)?(_proj)?|q_lin|qkv(_proj)?|query_key_value|c_attn|Wqkv)\.weight$"
)
_TABLES = re.compile(r"(embed_tokens_per_layer|per_layer_model_projection)\.weight$")
_NO_ATTENTION = ("linear", "mamba", "conv", "recurrent", "mlp", "moe", "lightning")


def block_sizes_of(
    blocks: Mapping[int, Block], others: Shapes, fields: Mapping[str, Any], heads_width: int
) -> tuple[BlockSizes, ...]:
    """The size of every block.

    Args:
        blocks: the shapes of their tensors.
        others: of the tensors beside them.
        fields: of the language model's config.
        heads_width: the number of heads times their width; 0: see each block's projection.
    """
    tables = [shape for name, shape in others.items() if _TABLES.search(name)]
    share = sum(math.prod(shape) for shape in tables) // len(blocks)
    products = sum(
        math.prod(shape) // len(blocks)
        for name, shape in others.items()
        if _TABLES.search(name) and "projection" in name
    )
    kinds = _kinds(fields, len(blocks))
    return tuple(
        BlockSizes(
            **_sizes(block, fields),
            attention_width=0
            if kinds[layer].startswith(_NO_ATTENTION)
            else attention_width(block, fields, heads_width),
            tables=share,
            tables_products=products,
        )
        for layer, block in blocks.items()
    )


def is_table(name: str) -> bool:
    """Whether a tensor beside the blocks has a share of each of them."""
    return bool(_TABLES.search(name))


def _sizes(block: Block, fields: Mapping[str, Any]) -> dict[str, int]:
    """Parameters, those that a token uses, and those of these in matrices."""
    model_type = str(fields.get("model_type"))
    sizes = {
        name: math.prod(shape)
        for name, shape in block.items()
        if is_parameter(name) and not _is_buffer(name, model_type)
    }
    idle = _idle(block, chosen_experts(fields))
    in_matrices = {
        name: size
        for name, size in sizes.items()
        if len(block[name]) > 1 and not _NO_PRODUCT.search(name)
    }
    return {
        "parameters": sum(sizes.values()),
        "active": sum(sizes.values()) - sum(idle.values()),
        "products": sum(size - idle.get(name, 0) for name, size in in_matrices.items()),
    }


def _is_buffer(name: str, model_type: str) -> bool:
    """Whether a tensor of a block is kept with its parameters, and is none."""
    own = [end for start, end in _BUFFER_OF_TYPES.items() if model_type.startswith(start)]
    return bool(_BUFFER.search(name)) or name.endswith(tuple(own))


def _idle(block: Block, chosen: int) -> dict[str, int]:
    """By tensor of experts, how many of its parameters a token does not use."""
    numbers = {int(match[2]) for name in block if (match := _EXPERT.search(name))}
    idle: dict[str, int] = {}
    if numbers and chosen < len(numbers) and chosen:
        for name in sorted(n for n in block if _EXPERT.search(n)):
            number = int(_EXPERT.search(name)[2])  # type: ignore[index]
            if number >= chosen:  # all are of one size
                idle[name] = math.prod(block[name])
        return idle
    fused = {
        name: shape
        for name, shape in block.items()
        if len(shape) >= 2 and _FUSED.search(name) and "shared" not in name
    }
    count = next((shape[0] for name, shape in fused.items() if len(shape) == 3), 0)
    if not 0 < chosen < count:
        return {}
    return {
        name: math.prod(shape) * (count - chosen) // count
        for name, shape in fused.items()
        if shape[0] == count and (len(shape) == 3 or "bias" in name)
    }


def attention_width(block: Block, fields: Mapping[str, Any], heads_width: int) -> int:
    """The number of heads times their width, the mean of keys' and values'; 0: no attention."""
    modules: dict[str, dict[str, Sequence[int]]] = {}
    for name, shape in block.items():
        if match := re.match(
            r"(.*?(attn|attention|attn2|temporal_block|mixer|mha)\w*)\.(.*)", name
        ):
            modules.setdefault(match[1], {})[match[3]] = shape
    width = 0
    for module in modules.values():
        if any(_RECURRENT.search(name) for name in module):
            continue
        if not any(_QUERY.search(name) or "q_" in name for name in module):
            continue
        out = [shape for name, shape in module.items() if _ATTENTION_OUT.search(name)]
        values = out[0][-1] if out else heads_width
        rope, nope = (fields.get(f"qk_{word}_head_dim") for word in ("rope", "nope"))
        v = fields.get("v_head_dim")
        if isinstance(rope, int) and isinstance(nope, int) and isinstance(v, int) and v:
            values = (values // v * (rope + nope) + values) // 2
        width += values
    return width


def _kinds(fields: Mapping[str, Any], count: int) -> list[str]:
    for name in ("layer_types", "layers_block_type"):
        kinds = fields.get(name)
        if isinstance(kinds, list) and len(kinds) == count:
            return [str(kind) for kind in kinds]
    return [""] * count
