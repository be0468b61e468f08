"""Terms of a loss that look inside student and teacher (section 2.3): L_hid, L_emb, L_attn.

The map of blocks is exact: every block of the student stands beside the layer of the base that it
was, whatever has left. Shapes: B windows, T positions, D width, H heads.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from raydistill.models.decoder import Decoder
from raydistill.models.student import Student


@dataclass(slots=True)
class WatchedFeatures:
    """What one forward pass showed: each block's input and output [B, T, D], by position."""

    inputs: dict[int, Tensor] = field(default_factory=dict)
    outputs: dict[int, Tensor] = field(default_factory=dict)


@contextmanager
def watch_features(model: Decoder) -> Iterator[WatchedFeatures]:
    """Keep what the blocks of `model` are given and give, in the forward pass of the block."""
    seen = WatchedFeatures()

    def keep(position: int, inputs_BTD: Tensor, outputs_BTD: Tensor) -> None:
        seen.inputs[position], seen.outputs[position] = inputs_BTD, outputs_BTD

    with model.watching_blocks(keep):
        yield seen


def feature_loss(
    weights: Mapping[str, float],
    student: Student,
    teacher: Decoder,
    seen: WatchedFeatures,
    taught: WatchedFeatures,
) -> Tensor:
    """The weighted sum of the terms that `weights` names, a float32 scalar ≥ 0.

    Args:
        weights: of `hidden`, `embedding` and `attention`.
        student: whose blocks know the layers that they were.
        teacher: a whole base of the student's width.
        seen: the student's forward pass.
        taught: the teacher's, of the same inputs.
    """
    places = dict(enumerate(student.kept))
    terms = []
    if "hidden" in weights:
        hidden = [F.mse_loss(seen.outputs[i], taught.outputs[j]) for i, j in places.items()]
        terms.append(weights["hidden"] * torch.stack(hidden).mean())
    if "embedding" in weights:
        terms.append(weights["embedding"] * F.mse_loss(seen.inputs[0], taught.inputs[0]))
    if "attention" in weights:
        kls = [
            attention_kl(
                student.model.attention(i, seen.inputs[i]), teacher.attention(j, taught.inputs[j])
            )
            for i, j in places.items()
        ]
        terms.append(weights["attention"] * torch.stack(kls).mean())
    return torch.stack(terms).sum()


def attention_kl(log_q_BHTT: Tensor, log_p_BHTT: Tensor) -> Tensor:
    """KL(teacher ‖ student) of what each head attends to, the mean over heads and positions."""
    seen_TT = torch.ones(log_p_BHTT.shape[-2:], device=log_p_BHTT.device).tril() > 0
    each = (log_p_BHTT.exp() * (log_p_BHTT - log_q_BHTT)).masked_fill(~seen_TT, 0.0)
    return each.sum(-1).mean()
