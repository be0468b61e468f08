"""Feature losses (paper, section 2.3): L_hid, L_emb, L_attn.

The map of blocks is exact: every block of the student is compared with the layer of the base that
it was, whichever layers have left. Shapes: B windows, T positions, D width, H heads.
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
    """Each block's input and output [B, T, D] in one forward pass, by position."""

    inputs: dict[int, Tensor] = field(default_factory=dict)
    outputs: dict[int, Tensor] = field(default_factory=dict)


@contextmanager
def watch_features(model: Decoder) -> Iterator[WatchedFeatures]:
    """Keep the inputs and outputs of the blocks of `model` in a forward pass within the context."""
    features = WatchedFeatures()

    def keep(position: int, inputs_BTD: Tensor, outputs_BTD: Tensor) -> None:
        features.inputs[position], features.outputs[position] = inputs_BTD, outputs_BTD

    with model.watching_blocks(keep):
        yield features


def feature_loss(
    weights: Mapping[str, float],
    student: Student,
    teacher: Decoder,
    of_student: WatchedFeatures,
    of_teacher: WatchedFeatures,
    learned_BT: Tensor | None = None,
) -> Tensor:
    """The weighted sum of the terms that `weights` names, a float32 scalar ≥ 0.

    Args:
        weights: of `hidden`, `embedding` and `attention`.
        student: with the layers that its blocks were in the base.
        teacher: a whole base of the student's width.
        of_student: of the student's forward pass.
        of_teacher: of the teacher's, on the same inputs.
        learned_BT: bool, the positions that every mean is over; None: all. Without any it is 0.
    """
    layers = dict(enumerate(student.kept))
    terms = []
    if "hidden" in weights:
        errors = [
            _mse(of_student.outputs[i], of_teacher.outputs[j], learned_BT)
            for i, j in layers.items()
        ]
        terms.append(weights["hidden"] * torch.stack(errors).mean())
    if "embedding" in weights:
        error = _mse(of_student.inputs[0], of_teacher.inputs[0], learned_BT)
        terms.append(weights["embedding"] * error)
    if "attention" in weights:
        kls = [
            attention_kl(
                student.model.attention(i, of_student.inputs[i]),
                teacher.attention(j, of_teacher.inputs[j]),
                learned_BT,
            )
            for i, j in layers.items()
        ]
        terms.append(weights["attention"] * torch.stack(kls).mean())
    return torch.stack(terms).sum()


def attention_kl(
    log_q_BHTT: Tensor, log_p_BHTT: Tensor, learned_BT: Tensor | None = None
) -> Tensor:
    """KL(teacher ‖ student) of attention weights, the mean over heads and positions."""
    terms_BHTT = log_p_BHTT.exp() * (log_p_BHTT - log_q_BHTT)
    kl_BHT = terms_BHTT.tril().sum(-1)
    return kl_BHT.mean() if learned_BT is None else _mean(kl_BHT.mean(1), learned_BT)


def _mse(own_BTD: Tensor, other_BTD: Tensor, learned_BT: Tensor | None) -> Tensor:
    if learned_BT is None:
        return F.mse_loss(own_BTD, other_BTD)
    return _mean(F.mse_loss(own_BTD, other_BTD, reduction="none").mean(-1), learned_BT)


def _mean(values_BT: Tensor, learned_BT: Tensor) -> Tensor:
    """The mean over the positions that are learned; 0 without any."""
    return values_BT.masked_fill(~learned_BT, 0).sum() / learned_BT.sum().clamp_min(1)
