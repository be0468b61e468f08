"""KD without the LM loss: the KL to the teacher's distribution alone."""

from functools import partial

from raydistill.distillation.losses import kd

loss = partial(kd.loss, lm=0.0)
