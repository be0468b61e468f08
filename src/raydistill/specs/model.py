"""The shape of a decoder (METHOD 2)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

UNNAMED_POSITIONS = 2_048  # of a model whose config names none, such as BLOOM's


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """The shape of a decoder; `family` names a file in `models/families/`."""

    family: str
    num_layers: int
    dim: int
    num_heads: int
    vocab_size: int
    context: int

    @property
    def max_length(self) -> int:
        """The most tokens that it reads at once."""
        return self.context


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


def max_positions(fields: Mapping[str, Any]) -> int:
    """How many positions a config.json says that the model has; 0 if it does not say."""
    values = (fields.get(name) for name in ("n_positions", "max_position_embeddings", "n_ctx"))
    return next((value for value in values if isinstance(value, int) and value > 0), 0)


Model = HubConfig | ModelConfig
