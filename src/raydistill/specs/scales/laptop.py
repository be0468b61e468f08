"""Minutes on two cores: 0.63M parameters on real text, from bases that the package ships.

Mechanics at a small scale: do not choose layers for a large model from this.
"""

from raydistill.core.units import B
from raydistill.specs.evaluation import EvalSpec
from raydistill.specs.model import ModelConfig
from raydistill.specs.scale import PAPER_BUDGET, Scale, whole_steps
from raydistill.specs.trial import Recipe

_AGE_CLOCK, _TRAIN_CLOCK = 20_000, 62_500
_BATCH = 2_048  # 16 windows of 128

scale = Scale(
    name="laptop",
    model=ModelConfig(
        family="palm", num_layers=12, dim=64, num_heads=2, vocab_size=2048, context=128
    ),
    count=4,
    corpus="embedded",
    ages=(80 * B, 320 * B),
    age_clock=_AGE_CLOCK,
    train_clock=_TRAIN_CLOCK,
    pretrain=Recipe(
        peak_lr=6e-4,
        budget_tokens=whole_steps(320 * B, _AGE_CLOCK, _BATCH),
        batch_tokens=_BATCH,
        micro_batches=1,
        warmup_tokens=whole_steps(8 * B, _AGE_CLOCK, _BATCH),
    ),
    heal=Recipe(
        peak_lr=6e-4,  # by the probe in docs/laptop.md: the full peak of pretraining
        budget_tokens=whole_steps(PAPER_BUDGET, _TRAIN_CLOCK, _BATCH),
        batch_tokens=_BATCH,
        micro_batches=1,
        warmup_tokens=20 * _BATCH,
        warm_phase_tokens=10 * _BATCH,
    ),
    evaluation=EvalSpec(
        tasks=("continuation", "last-word", "word-order"), heldout_windows=320, curve_windows=32
    ),
    ships_base=True,
    cheap=True,
)
