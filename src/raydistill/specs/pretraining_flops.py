"""FLOPs of a pretraining by three rules, which two papers and this kit count by (METHOD 2, 9).

paper    6 FLOPs a parameter and token (`flops.py: paper_flops`)
honey    that of *Honey, I shrunk the language*: three times a forward pass, in which the look-up
of an embedding is a matrix product and the softmax has 3 FLOPs a weight, while what
attention does with its values, its output matrix and the inner layer of the head are
left out; a masked model has logits of every token
exact    every matrix product, as torch counts them (`flops.py: exact_flops`)
"""

from dataclasses import dataclass

from raydistill.specs.flops import (
    active_parameters,
    block_sizes,
    masked_head_saving,
    parameters,
    training_flops_per_token,
    vocabulary_parameters,
)
from raydistill.specs.model import FactorisedConfig, HubConfig, ModelConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class PretrainingFlops:
    """FLOPs of one pretraining, by each rule."""

    paper: int
    honey: int
    exact: int


def pretraining_flops(model: ModelConfig, tokens: int, mask_share: float = 0.0) -> PretrainingFlops:
    """The FLOPs of a model's pretraining.

    Args:
        model: of a family of its own shapes, no checkpoint.
        tokens: that it is trained on, whole windows.
        mask_share: of a window, the masked tokens that alone the head reads; 0: it reads all.

    >>> smallest = FactorisedConfig(
    ...     family="encoder", num_layers=1, dim=32, num_heads=2, vocab_size=19_010, context=128,
    ...     embedding=32, feed_forward=128,
    ... )
    >>> pretraining_flops(smallest, 128).honey
    947257344
    """
    assert not isinstance(model, HubConfig), model  # which nothing pretrains here
    every = training_flops_per_token(model, learning=model.num_layers, frozen=0)
    return PretrainingFlops(
        paper=6 * active_parameters(model) * tokens,
        honey=_honey_per_token(model) * tokens,
        exact=every * tokens - masked_head_saving(model, tokens, mask_share),
    )


def non_embedding_parameters(model: ModelConfig) -> int:
    """The parameters without the embeddings, and without the matrix and biases of an untied head.

    >>> non_embedding_parameters(FactorisedConfig(
    ...     family="encoder", num_layers=1, dim=32, num_heads=2, vocab_size=19_010, context=128,
    ...     embedding=32, feed_forward=128,
    ... ))
    15008
    """
    return parameters(model) - vocabulary_parameters(model)


def _honey_per_token(model: ModelConfig) -> int:
    width, context = model.dim, model.context
    embedding, projection = width, 0
    if isinstance(model, FactorisedConfig):
        embedding, projection = model.embedding, model.embedding * width
    ends = model.vocab_size * (embedding + width) + projection
    forward = 2 * ends
    for block in block_sizes(model):
        products = block.products - block.attention_width * width  # without its output matrix
        logits = context * block.attention_width
        forward += 2 * (products + logits) + 3 * model.num_heads * context
    return 3 * forward
