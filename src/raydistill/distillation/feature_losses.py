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
) -> Tensor:
    """The weighted sum of the terms that `weights` names, a float32 scalar ≥ 0.

    Args:
        weights: of `hidden`, `embedding` and `attention`.
        student: with the layers that its blocks were in the base.
        teacher: a whole base of the student's width.
        of_student: of the student's forward pass.
        of_teacher: of the teacher's, on the same inputs.
    """
    layers = dict(enumerate(student.kept))
    terms = []
    if "hidden" in weights:
        errors = [
            F.mse_loss(of_student.outputs[i], of_teacher.outputs[j]) for i, j in layers.items()
        ]
        terms.append(weights["hidden"] * torch.stack(errors).mean())
    if "embedding" in weights:
        terms.append(weights["embedding"] * F.mse_loss(of_student.inputs[0], of_teacher.inputs[0]))
    if "attention" in weights:
        kls = [
            attention_kl(
                student.model.attention(i, of_student.inputs[i]),
                teacher.attention(j, of_teacher.inputs[j]),
            )
            for i, j in layers.items()
        ]
        terms.append(weights["attention"] * torch.stack(kls).mean())
    return torch.stack(terms).sum()


def attention_kl(log_q_BHTT: Tensor, log_p_BHTT: Tensor) -> Tensor:
    """KL(teacher ‖ student) of attention weights, the mean over heads and positions."""
    terms_BHTT = log_p_BHTT.exp() * (log_p_BHTT - log_q_BHTT)
    return terms_BHTT.tril().sum(-1).mean()
