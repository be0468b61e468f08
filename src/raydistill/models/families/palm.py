"""The paper's decoder: PaLM-style parallel blocks (section 4.1; Chowdhery et al., 2022).

Shapes: B sequences, T positions, D model width, H heads, K width of a head, V vocabulary.
A block holds 10·D² + 14·D parameters.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raydistill.models.attention import attend
from raydistill.models.decoder import Decoder
from raydistill.specs.model import ModelConfig

ROTARY_BASE = 10_000.0

# Keys and values [B, T, H, K] of some positions → with those of earlier positions before them.
JoinCache = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def without_cache(key_BTHK: Tensor, value_BTHK: Tensor) -> tuple[Tensor, Tensor]:
    """The `JoinCache` of a model without a cache."""
    return key_BTHK, value_BTHK


class Block(nn.Module):
    """x + out(attention(norm x), swiglu(norm x)): both halves side by side, fused in and out."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.split = [dim, dim, dim, 2 * dim, 2 * dim]
        self.norm = nn.LayerNorm(dim)
        self.fused_in = nn.Linear(dim, 7 * dim)
        self.query_norm = nn.LayerNorm(dim)
        self.key_norm = nn.LayerNorm(dim)
        self.fused_out = nn.Linear(3 * dim, dim)

    def forward(
        self,
        x_BTD: Tensor,
        rotary_TK: tuple[Tensor, Tensor],
        visible_BTT: Tensor | None = None,
        join: JoinCache = without_cache,
    ) -> Tensor:
        """The block's output, of its input's shape; `rotary_TK` are cosines and sines."""
        query, key, value, gate, up = self.fused_in(self.norm(x_BTD)).split(self.split, dim=-1)
        heads = (*x_BTD.shape[:2], self.num_heads, -1)
        # Under autocast a norm gives float32, and flash-attn takes half precision alone.
        query_BTHK, key_BTHK = (
            rotate(normed.to(value.dtype).view(heads), rotary_TK)
            for normed in (self.query_norm(query), self.key_norm(key))
        )
        attended_BTHK = attend(query_BTHK, *join(key_BTHK, value.view(heads)), visible_BTT)
        both = torch.cat([attended_BTHK.flatten(2), F.silu(gate) * up], dim=-1)
        output: Tensor = x_BTD + self.fused_out(both)
        return output

    def attention(self, x_BTD: Tensor, rotary_TK: tuple[Tensor, Tensor]) -> Tensor:
        """Log softmax of the causal attention, float32 [B, H, T, T]; zero past the diagonal."""
        query, key, *_ = self.fused_in(self.norm(x_BTD)).split(self.split, dim=-1)
        heads = (*x_BTD.shape[:2], self.num_heads, -1)
        query_BTHK = rotate(self.query_norm(query).view(heads), rotary_TK).float()
        key_BTHK = rotate(self.key_norm(key).view(heads), rotary_TK).float()
        scores_BHTT = torch.einsum("bthk,bshk->bhts", query_BTHK, key_BTHK)
        scores_BHTT = scores_BHTT / query_BTHK.shape[-1] ** 0.5
        future_TT = torch.ones(scores_BHTT.shape[-2:], device=x_BTD.device).triu(1) > 0
        log_weights: Tensor = scores_BHTT.masked_fill(future_TT, float("-inf")).log_softmax(-1)
        return log_weights.tril()


class Palm(Decoder):
    """Token embedding, blocks, a final LayerNorm, and the tied embedding as the head."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.embedding = nn.Embedding(config.vocab_size, config.dim)
        self.blocks = nn.ModuleList(
            Block(config.dim, config.num_heads) for _ in range(config.num_layers)
        )
        self.final_norm = nn.LayerNorm(config.dim)
        cos_TK, sin_TK = rotary(config.context, config.dim // config.num_heads)
        self.register_buffer("cos_TK", cos_TK, persistent=False)
        self.register_buffer("sin_TK", sin_TK, persistent=False)
        self._initialise()

    def _initialise(self) -> None:
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                std = 0.02 if name.startswith("embedding") else weight.shape[1] ** -0.5
                if name.endswith("fused_out.weight"):
                    std /= (2 * self.config.num_layers) ** 0.5
                nn.init.normal_(weight, std=std)
            elif name.endswith("bias"):
                nn.init.zeros_(weight)

    def hidden(
        self,
        tokens_BT: Tensor,
        positions_BT: Tensor | None = None,
        visible_BTT: Tensor | None = None,
    ) -> Tensor:
        tables = self._rotary(tokens_BT.shape[1] if positions_BT is None else None)
        if positions_BT is not None:
            tables = (tables[0][positions_BT], tables[1][positions_BT])
        x_BTD = self.embedding(tokens_BT)
        for block in self.blocks:
            x_BTD = block(x_BTD, tables, visible_BTT)
        normed_BTD: Tensor = self.final_norm(x_BTD)
        return normed_BTD

    def attention(self, position: int, inputs_BTD: Tensor) -> Tensor:
        attended: Tensor = self.blocks[position].attention(  # type: ignore[operator]
            inputs_BTD, self._rotary(inputs_BTD.shape[1])
        )
        return attended

    def _rotary(self, num_positions: int | None) -> tuple[Tensor, Tensor]:
        return (
            self.get_buffer("cos_TK")[:num_positions],
            self.get_buffer("sin_TK")[:num_positions],
        )

    def head(self, hidden_D: Tensor) -> Tensor:
        return F.linear(hidden_D, self.embedding.weight)


def rotary(num_positions: int, head_dim: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the rotary angles, float [T, K] each (Su et al., 2021)."""
    frequencies = ROTARY_BASE ** (-torch.arange(0, head_dim, 2).double() / head_dim)
    angles = torch.outer(torch.arange(num_positions).double(), frequencies).repeat(1, 2)
    return angles.cos().float(), angles.sin().float()


def rotate(x_BTHK: Tensor, rotary_TK: tuple[Tensor, Tensor]) -> Tensor:
    """Turn each head's halves by the angle of their position; tables are [T, K] or [B, T, K]."""
    cos_T1K, sin_T1K = (table.unsqueeze(-2).to(x_BTHK.dtype) for table in rotary_TK)
    first, second = x_BTHK.chunk(2, dim=-1)
    return x_BTHK * cos_T1K + torch.cat([-second, first], dim=-1) * sin_T1K


def build(config: ModelConfig) -> Palm:
    """A decoder with weights from torch's current random state."""
    return Palm(config)
