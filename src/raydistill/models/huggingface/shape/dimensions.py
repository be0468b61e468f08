"""The dimensions of a language model, under the names that config.json files have for them."""

import re
from collections.abc import Mapping
from typing import Any

from raydistill.models.huggingface.safetensors_header import Shapes, is_count

DEPTH = (  # the decoder's first: encoder–decoders count the encoder's too
    "decoder_layers", "num_decoder_layers", "num_hidden_layers", "n_layer", "n_layers",
    "num_layers", "num_blocks",
)  # fmt: skip
WIDTH = ("hidden_size", "n_embd", "d_model", "emb_dim", "dim", "embedding_size")
HEADS = ("decoder_attention_heads", "num_attention_heads", "n_head", "n_heads", "num_heads")
VOCABULARY = ("vocab_size", "n_vocab", "n_words", "n_token")
_EMBEDDING = re.compile(r"(embed_tokens|wte|word_embeddings?|embeddings?|embed_in|tok_embeddings)")


def dimension(fields: Mapping[str, Any], names: tuple[str, ...]) -> int:
    """The first of these fields that is a whole number from 1 on; 0 if none is."""
    values = (fields.get(name) for name in names)
    return next((value for value in values if is_count(value)), 0)


def embedding_shape(shapes: Shapes, prefix: str) -> tuple[int, int]:
    """Rows and columns of the embedding of tokens, in the files of a model; zeros if it has none.

    Args:
        shapes: of all tensors.
        prefix: of the blocks', whose near neighbour it is.
    """
    tables = [
        name
        for name, shape in shapes.items()
        if len(shape) == 2
        and _EMBEDDING.search(name)
        and not re.search(r"position|token_type|per_layer|vision|visual|audio|image", name)
        and not name.startswith(f"{prefix}.")
    ]
    if not tables:
        return 0, 0
    near = prefix.rpartition(".")[0]
    table = max(tables, key=lambda name: (name.startswith(f"{near}."), shapes[name][0]))
    rows, columns = shapes[table]
    return rows, columns
