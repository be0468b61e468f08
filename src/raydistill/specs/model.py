"""The shape of a decoder (METHOD 2), and what its tokens use of a mixture of experts."""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from raydistill.core.errors import UsageError

UNNAMED_POSITIONS = 2_048  # of a model whose config names none, such as BLOOM's

_TEXT_PARTS = ("text_config", "language_config", "llm_config", "decoder", "generator")

_COUNTS = (
    "num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts",
)  # fmt: skip
_CHOSEN = (
    "num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_top_k", "moe_k",
    "top_k_experts",
)  # fmt: skip
_CHOSEN_BY_DEFAULT = {  # of types of transformers 5.23, where their config.json does not say
    type_: count
    for count, types in {
        1: "hunyuan_v1_moe llama4 llama4_text zaya",
        2: "aria_text cohere2_moe granitemoe granitemoe_swa granitemoehybrid granitemoeshared "
        "jamba jetmoe minimax mixtral nemotron_h phimoe",
        4: "glm4_moe_lite gpt_oss lfm2_moe minimax_m3_vl_text qwen2_moe",
        5: "flex_olmo",
        6: "afmoe deepseek_v4 ernie4_5_moe flint inkling_text kolibri1",
        8: "axk1 axk2 bailing_hybrid beam deepseek_v3 deepseek_v32 dots3_note dots3_note_text "
        "exaone_moe glm4_moe glm_moe_dsa hy_v3 hy_v4 inkling2_text kimi_linear laguna mellum "
        "mimo_v2_flash minimax_m2 olmoe qwen3_5_moe qwen3_5_moe_text qwen3_moe solar_open",
        10: "qwen3_next qwen4_exp qwen4_exp_text",
        12: "longcat_flash",
    }.items()
    for type_ in types.split()
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """The shape of a decoder; `family` names a file in `models/families/`."""

    family: str
    num_layers: int
    dim: int
    num_heads: int  # 0 where a config of the hub does not say
    vocab_size: int
    context: int

    @property
    def max_length(self) -> int:
        """The most tokens that it reads at once."""
        return self.context


@dataclass(frozen=True, kw_only=True, slots=True)
class FactorisedConfig(ModelConfig):
    """A shape each of whose widths is its own (METHOD 9); `dim` is that of the hidden state."""

    embedding: int  # the width of the embeddings, which a matrix takes to `dim`
    feed_forward: int  # the hidden units of a block's feed-forward half

    def __post_init__(self) -> None:
        if self.family in _OF_ONE_WIDTH:
            raise UsageError(f"family {self.family!r} has no embedding and feed_forward of its own")
        if self.dim % self.num_heads:
            raise UsageError(f"{self.num_heads} heads do not divide a width of {self.dim}")

    @property
    def positions(self) -> int:
        """The positions that it has embeddings of, two more than a window has."""
        return self.context + 2

    @property
    def types(self) -> int:
        """The types of tokens that it has embeddings of; texts have the first."""
        return 2


_OF_ONE_WIDTH = ("hub", "palm")


@dataclass(frozen=True, kw_only=True, slots=True)
class HubConfig(ModelConfig):
    """A decoder of the Hugging Face world (`family="hub"`): its own config, and its parameters.

    `context` is the length of a training window, `dim` the width of the hidden state.
    """

    config: str  # config.json, as JSON with sorted keys
    block_parameters: int  # of every block alike
    block_products: int  # those of them in matrices
    other_parameters: int  # embedding, last norm and head; tied weights count once
    attention_width: int  # number of heads times their width

    @property
    def max_length(self) -> int:
        """The positions of its own config; `HFLM`'s 2,048, or a longer window, if it names none."""
        return max_positions(json.loads(self.config)) or max(UNNAMED_POSITIONS, self.context)


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockSizes:
    """The size of one block of a decoder."""

    parameters: int
    active: int  # those of them that a token uses: all but the experts that it does not go to
    products: int  # the active ones in matrices
    attention_width: int  # of heads, each with every token; 0 of a recurrence or a convolution
    tables: int = 0  # parameters beside the blocks that leave with this one
    tables_products: int = 0  # those of them in a matrix


@dataclass(frozen=True, kw_only=True, slots=True)
class MixedHubConfig(HubConfig):
    """A decoder of the Hugging Face world whose blocks differ, or have tables beside them.

    What `HubConfig` says of every block is here the mean, in whole numbers.
    """

    blocks: tuple[BlockSizes, ...]
    towers: int = 0  # of `other_parameters`, those for images and sound: text does not use them


def text_part(fields: Mapping[str, Any]) -> str:
    """The field of a config.json that holds those of its language model; "" if it is itself."""
    return next((name for name in _TEXT_PARTS if isinstance(fields.get(name), dict)), "")


def text_fields(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """The fields of a config.json that describe its language model."""
    part = text_part(fields)
    within: Mapping[str, Any] = fields[part] if part else fields
    return within


def max_positions(fields: Mapping[str, Any]) -> int:
    """How many positions a config.json says that the model has; 0 if it does not say."""
    values = (
        at.get(name)
        for at in (fields, text_fields(fields))
        for name in ("n_positions", "max_position_embeddings", "n_ctx")
    )
    return next((value for value in values if isinstance(value, int) and value > 0), 0)


def chosen_experts(fields: Mapping[str, Any]) -> int:
    """How many routed experts a token goes to, by a config.json; 0 if it does not say."""
    text = text_fields(fields)
    given = (_count(text.get(name)) for name in _CHOSEN)
    default = _CHOSEN_BY_DEFAULT.get(str(text.get("model_type", fields.get("model_type"))), 0)
    return next((count for count in given if count), default)


_ROUTERS_WITH_BUFFERS = ("dots1", "kolibri1", "minimax_m2", "minimax_m3_vl_text", "solar_open")


def router_buffers(model: HubConfig) -> int:
    """Values of a block's router that its file keeps beside the parameters, and are none."""
    text = text_fields(json.loads(model.config))
    return _experts(text) if text.get("model_type") in _ROUTERS_WITH_BUFFERS else 0


def _experts(fields: Mapping[str, Any]) -> int:
    """The number of routed experts of every block alike; 0: none."""
    return next((count for count in (_count(fields.get(name)) for name in _COUNTS) if count), 0)


class Experts(NamedTuple):
    """Of a block's routed experts, all blocks being alike."""

    idle: int = 0  # parameters that a token does not use
    biases: int = 0  # those that it does, in no matrix, though of two dimensions in the file


@functools.lru_cache
def routed_experts(model: HubConfig) -> Experts:
    """What the fields of a model's config say of its experts: gated, of three matrices each."""
    fields = json.loads(model.config)
    text = text_fields(fields)
    count, chosen = _experts(text), chosen_experts(fields)
    inner = _count(text.get("moe_intermediate_size")) or _count(text.get("intermediate_size"))
    bias = 2 * inner + model.dim if text.get("model_type") == "gpt_oss" else 0
    size = 3 * model.dim * inner + bias
    if text.get("model_type") == "jetmoe":  # its attention has experts too
        heads = _count(text.get("num_key_value_heads"))
        size += 2 * model.dim * heads * _count(text.get("kv_channels"))
    if not 0 < chosen < count or count * size > model.block_products:
        return Experts()
    return Experts(idle=(count - chosen) * size, biases=chosen * bias)


def _count(value: object) -> int:
    """A positive whole number; 0 for anything else, such as a list with one per layer."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


Model = MixedHubConfig | HubConfig | FactorisedConfig | ModelConfig
