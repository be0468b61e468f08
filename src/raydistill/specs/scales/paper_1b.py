"""The paper's 1.1B model: 24 blocks, bases of 40B to 160B tokens, half of the layers removed."""

from dataclasses import replace

from raydistill.core.units import B
from raydistill.specs.scale import Scale, whole_steps
from raydistill.specs.scales.paper_300m import scale as paper_300m

_PRETRAIN = paper_300m.pretrain

scale: Scale = replace(
    paper_300m,
    name="paper_1b",
    model=replace(paper_300m.model, dim=2048),
    count=12,
    ages=(40 * B, 80 * B, 160 * B),
    pretrain=replace(
        _PRETRAIN,
        peak_lr=2e-4,
        budget_tokens=whole_steps(160 * B, 1, _PRETRAIN.batch_tokens),
        micro_batches=128,
    ),
    heal=replace(paper_300m.heal, peak_lr=2e-5, micro_batches=128),
    devices_per_trial=8,  # Table 4
)
