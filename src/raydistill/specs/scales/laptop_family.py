"""A family of bases for the law of capacity gap: six widths of four blocks, 44K to 925K parameters.

`laptop_family+width=W` for W of 16, 32, 48, 96 and 128, and the scale itself at 64, each at three
ages; all of them ship with the package. Mechanics at a small scale: no law of large models.
"""

from dataclasses import replace

from raydistill.core.units import B
from raydistill.specs.scale import PAPER_BUDGET, Scale, whole_steps
from raydistill.specs.scales.laptop import scale as laptop

_AGE_CLOCK, _TRAIN_CLOCK = 80_000, 178_000
_BATCH = laptop.pretrain.batch_tokens
_HEAL_BATCH = _BATCH // 2  # 110 steps: a sweep over sizes has a hundred trials and more

scale: Scale = replace(
    laptop,
    name="laptop_family",
    model=replace(laptop.model, num_layers=4),
    count=1,
    ages=(80 * B, 160 * B, 320 * B),
    age_clock=_AGE_CLOCK,
    train_clock=_TRAIN_CLOCK,
    pretrain=replace(
        laptop.pretrain,
        peak_lr=1.5e-3,  # by the probe in docs/laptop.md, as the rule over widths
        budget_tokens=whole_steps(320 * B, _AGE_CLOCK, _BATCH),
        warmup_tokens=whole_steps(8 * B, _AGE_CLOCK, _BATCH),
    ),
    heal=replace(
        laptop.heal,
        batch_tokens=_HEAL_BATCH,
        budget_tokens=whole_steps(PAPER_BUDGET, _TRAIN_CLOCK, _HEAL_BATCH),
        warmup_tokens=10 * _HEAL_BATCH,
        warm_phase_tokens=0,
    ),
)
