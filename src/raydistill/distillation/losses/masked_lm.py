"""Masked language modelling: some tokens are hidden, and told from all others (METHOD 9).

All targets are replaced (section 3 of Deshpande et al., 2023, who replace all by the mask token):
none is shown, as it is or as a random token. The places are `data/masking.py`.
"""

import torch
from torch import Tensor

from raydistill.core.errors import UsageError
from raydistill.data.batches import Batch
from raydistill.data.masking import mask_key, masked_places
from raydistill.distillation.answers import Ask
from raydistill.distillation.divergence import cross_entropy
from raydistill.distillation.loss import View

TEACHER = "none"


def view(batch: Batch, *, share: float = 0.15) -> View:
    """The windows without their last token, exactly round(`share`·T) of each hidden.

    Raises:
        UsageError: if that is none.
    """
    inputs_BT = batch.ids[:, :-1]
    keys = [
        mask_key(batch.seed, epoch, number)
        for epoch, number in zip(batch.epochs, batch.numbers, strict=True)
    ]
    end = batch.end_of_text_id
    at_BM = torch.from_numpy(masked_places(inputs_BT.numpy(), keys, share, end))
    if not at_BM.shape[1]:
        tokens = inputs_BT.shape[1]
        raise UsageError(f"masked-lm+share={share:g}: of {tokens} tokens a window it hides none")
    return View(
        inputs=inputs_BT.scatter(1, at_BM, end), targets=inputs_BT.gather(1, at_BM), at=at_BM
    )


def loss(logits_BMV: Tensor, targets_BM: Tensor, ask: Ask) -> Tensor:
    """Mean cross-entropy over the hidden tokens; `ask` is not called."""
    del ask
    return cross_entropy(logits_BMV.flatten(0, 1), targets_BM.flatten())
