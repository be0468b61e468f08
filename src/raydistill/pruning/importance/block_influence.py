"""Block influence of Men et al. (2024), "ShortGPT", arXiv:2403.03853, equation 1."""

from collections.abc import Sequence

import torch
from torch import Tensor

from raydistill.models.decoder import Decoder


@torch.inference_mode()
def score(model: Decoder, batches_BT: Sequence[Tensor]) -> Tensor:
    """1 − mean cosine of each block's input and output, float64 [num_layers], in [0, 2]."""
    cosine_sum = torch.zeros(len(model.blocks), dtype=torch.float64)
    num_tokens = 0

    def add_cosine(layer: int, inputs_BTD: Tensor, outputs_BTD: Tensor) -> None:
        cosine_BT = torch.cosine_similarity(inputs_BTD.double(), outputs_BTD.double(), dim=-1)
        cosine_sum[layer] += cosine_BT.sum().cpu()

    with model.watching_blocks(add_cosine):
        for tokens_BT in batches_BT:
            model.hidden(tokens_BT)
            num_tokens += tokens_BT.numel()
    return 1 - cosine_sum / num_tokens
