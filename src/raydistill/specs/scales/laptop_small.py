"""A third of the laptop model: the same depth and text at half the width, for sweeps over sizes.

Mechanics at a small scale: do not choose layers for a large model from this.
"""

from dataclasses import replace

from raydistill.specs.scale import Scale
from raydistill.specs.scales.laptop import scale as laptop

_PEAK = 1e-3  # narrower models bear a higher rate

scale: Scale = replace(
    laptop,
    name="laptop_small",
    model=replace(laptop.model, dim=32),
    pretrain=replace(laptop.pretrain, peak_lr=_PEAK),
    heal=replace(laptop.heal, peak_lr=_PEAK),
)
