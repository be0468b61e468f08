"""The paper's 1.1B model: 24 blocks, bases of 40B to 160B tokens, half of the layers removed."""

from raydistill.core.units import B
from raydistill.specs.evaluation import EvalSpec
from raydistill.specs.model import ModelConfig
from raydistill.specs.scale import PAPER_BUDGET, PAPER_TASKS, Scale, whole_steps
from raydistill.specs.trial import Recipe

_BATCH = 1024 * 2048  # "2M tokens"

scale = Scale(
    name="paper_1b",
    model=ModelConfig(
        family="palm", num_layers=24, dim=2048, num_heads=16, vocab_size=50_304, context=2048
    ),
    count=12,
    corpus="c4",
    ages=(40 * B, 80 * B, 160 * B),
    age_clock=1,
    train_clock=1,
    pretrain=Recipe(
        peak_lr=2e-4,
        budget_tokens=whole_steps(160 * B, 1, _BATCH),
        batch_tokens=_BATCH,
        micro_batches=128,
        warmup_tokens=whole_steps(8 * B, 1, _BATCH),
        precision="bfloat16",
    ),
    heal=Recipe(
        peak_lr=2e-5,
        budget_tokens=whole_steps(PAPER_BUDGET, 1, _BATCH),
        batch_tokens=_BATCH,
        micro_batches=128,
        warmup_tokens=whole_steps(8 * B, 1, _BATCH),
        warm_phase_tokens=whole_steps(1 * B, 1, _BATCH),
        precision="bfloat16",
    ),
    evaluation=EvalSpec(tasks=PAPER_TASKS, heldout_windows=2048, curve_windows=256),
    devices_per_trial=8,  # Table 4
)
