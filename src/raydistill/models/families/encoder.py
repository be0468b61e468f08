"""An encoder whose widths are each their own (*Honey, I shrunk the language*, its `LanModel`).

Post-norm blocks that see the whole window, learned positions, embeddings that a matrix takes to
the width of the hidden state, an untied head. Of what the paper has, dropout is left out (0).
Shapes: B sequences, T positions, E width of an embedding, D of the hidden state, F of the
feed-forward, H heads, K width of a head, V vocabulary.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raydistill.core.errors import UsageError
from raydistill.models.attention import attend
from raydistill.models.decoder import Decoder
from raydistill.specs.model import FactorisedConfig, ModelConfig

CAUSAL = False


class Block(nn.Module):
    """x := norm(x + attention(x)), then x := norm(x + feed_forward(x))."""

    def __init__(self, config: FactorisedConfig, *, causal: bool) -> None:
        super().__init__()
        self.num_heads, self.causal = config.num_heads, causal
        self.attention_in = nn.Linear(config.dim, 3 * config.dim)
        self.attention_out = nn.Linear(config.dim, config.dim)
        self.attention_norm = nn.LayerNorm(config.dim)
        self.feed_forward_in = nn.Linear(config.dim, config.feed_forward)
        self.feed_forward_out = nn.Linear(config.feed_forward, config.dim)
        self.feed_forward_norm = nn.LayerNorm(config.dim)

    def forward(self, x_BTD: Tensor, visible_BTT: Tensor | None = None) -> Tensor:
        """The block's output, of its input's shape."""
        attended_BTHK = attend(*self._heads(x_BTD), visible_BTT, causal=self.causal)
        x_BTD = self.attention_norm(x_BTD + self.attention_out(attended_BTHK.flatten(2)))
        fed_BTD = self.feed_forward_out(F.gelu(self.feed_forward_in(x_BTD)))
        output: Tensor = self.feed_forward_norm(x_BTD + fed_BTD)
        return output

    def attention(self, x_BTD: Tensor) -> Tensor:
        """Log softmax of the attention, float32 [B, H, T, T]; zero where nothing is seen."""
        query_BTHK, key_BTHK, _ = (x_BTHK.float() for x_BTHK in self._heads(x_BTD))
        scores_BHTT = torch.einsum("bthk,bshk->bhts", query_BTHK, key_BTHK)
        scores_BHTT = scores_BHTT / query_BTHK.shape[-1] ** 0.5
        if self.causal:
            future_TT = torch.ones(scores_BHTT.shape[-2:], device=x_BTD.device).triu(1) > 0
            scores_BHTT = scores_BHTT.masked_fill(future_TT, float("-inf"))
        log_weights: Tensor = scores_BHTT.log_softmax(-1)
        return log_weights.tril() if self.causal else log_weights

    def _heads(self, x_BTD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        heads = (*x_BTD.shape[:2], self.num_heads, -1)
        query, key, value = self.attention_in(x_BTD).chunk(3, dim=-1)
        return query.view(heads), key.view(heads), value.view(heads)


class Encoder(Decoder):
    """Embeddings and their projection, blocks, and a head with a hidden layer of its own."""

    def __init__(self, config: FactorisedConfig, *, causal: bool) -> None:
        super().__init__(config)
        width = config.embedding
        self.embedding = nn.Embedding(config.vocab_size, width)
        self.positions = nn.Embedding(config.positions, width)
        self.types = nn.Embedding(config.types, width)
        self.embedding_norm = nn.LayerNorm(width)
        self.projection = nn.Linear(width, config.dim)
        self.projection_norm = nn.LayerNorm(config.dim)
        self.blocks = nn.ModuleList(Block(config, causal=causal) for _ in range(config.num_layers))
        self.head_in = nn.Linear(config.dim, config.dim)
        self.head_norm = nn.LayerNorm(config.dim)
        self.head_out = nn.Linear(config.dim, config.vocab_size)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                nn.init.normal_(weight, std=0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(weight)

    def hidden(
        self,
        tokens_BT: Tensor,
        positions_BT: Tensor | None = None,
        visible_BTT: Tensor | None = None,
    ) -> Tensor:
        if positions_BT is None:
            positions_BT = torch.arange(tokens_BT.shape[1], device=tokens_BT.device)
        embedded_BTE = self.embedding(tokens_BT) + self.positions(positions_BT)
        embedded_BTE = self.embedding_norm(embedded_BTE + self.types.weight[0])
        x_BTD: Tensor = self.projection_norm(self.projection(embedded_BTE))
        for block in self.blocks:
            x_BTD = block(x_BTD, visible_BTT)
        return x_BTD

    def attention(self, position: int, inputs_BTD: Tensor) -> Tensor:
        attended: Tensor = self.blocks[position].attention(inputs_BTD)  # type: ignore[operator]
        return attended

    def head(self, hidden_D: Tensor) -> Tensor:
        logits: Tensor = self.head_out(self.head_norm(F.gelu(self.head_in(hidden_D))))
        return logits


def of_widths(config: ModelConfig) -> FactorisedConfig:
    """The config, which names all widths.

    Raises:
        UsageError: if it does not.
    """
    if not isinstance(config, FactorisedConfig):
        raise UsageError(f"family {config.family!r} needs a FactorisedConfig, with all its widths")
    return config


def build(config: ModelConfig) -> Encoder:
    """An encoder with weights from torch's current random state.

    Raises:
        UsageError: if the config does not name all widths.
    """
    return Encoder(of_widths(config), causal=CAUSAL)
