"""The shape of a decoder (METHOD 2)."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """The shape of a decoder; `family` names a file in `models/families/`."""

    family: str
    num_layers: int
    dim: int
    num_heads: int
    vocab_size: int
    context: int


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


Model = HubConfig | ModelConfig
