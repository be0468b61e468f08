"""Seconds for a whole sweep: for tests and documented commands. It says nothing of layers."""

from raydistill.core.units import B
from raydistill.specs.evaluation import EvalSpec
from raydistill.specs.model import ModelConfig
from raydistill.specs.scale import PAPER_BUDGET, Scale, whole_steps
from raydistill.specs.trial import Recipe

_AGE_CLOCK, _TRAIN_CLOCK = 5_000_000, 2_500_000
_BATCH = 512  # 8 windows of 64

scale = Scale(
    name="smoke",
    model=ModelConfig(
        family="palm", num_layers=6, dim=32, num_heads=2, vocab_size=2048, context=64
    ),
    count=2,
    corpus="smoke",
    ages=(80 * B, 320 * B),
    age_clock=_AGE_CLOCK,
    train_clock=_TRAIN_CLOCK,
    pretrain=Recipe(
        peak_lr=1e-3,
        budget_tokens=whole_steps(320 * B, _AGE_CLOCK, _BATCH),
        batch_tokens=_BATCH,
        micro_batches=1,
        warmup_tokens=8 * _BATCH,
    ),
    heal=Recipe(
        peak_lr=1e-3,
        budget_tokens=whole_steps(PAPER_BUDGET, _TRAIN_CLOCK, _BATCH),
        batch_tokens=_BATCH,
        micro_batches=1,
        warmup_tokens=2 * _BATCH,
        warm_phase_tokens=whole_steps(1 * B, _TRAIN_CLOCK, _BATCH),
    ),
    evaluation=EvalSpec(
        tasks=("continuation", "last-word", "word-order"), heldout_windows=16, curve_windows=4
    ),
    min_steps_after_cut=10,
    cheap=True,
)
