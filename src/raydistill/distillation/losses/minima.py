"""KD with the weights of MiniMA: half LM loss, half KL (Zhang et al., 2023, capacity gap)."""

from functools import partial

from raydistill.distillation.losses import kd

loss = partial(kd.loss, lm=0.5, kl=0.5)
