"""The scale of *Honey, I shrunk the language* (Deshpande et al., 2023): masked models on few words.

`honey` is its smallest, and its grid is by name: `honey+width=64`, or the largest,
`honey+embedding=256+feed_forward=1024+heads=8+layers=8+width=256`. One epoch of 9,081,600 windows
of 128 tokens in batches of 256, as in the authors' repository. What differs: no dropout (theirs is
0.1), no padding, clipping of gradients at 1, and the text, which is not public as a whole: name
yours (`--corpus`), of words of a small vocabulary as theirs.
"""

from raydistill.specs.evaluation import EvalSpec
from raydistill.specs.model import FactorisedConfig
from raydistill.specs.scale import Scale
from raydistill.specs.shape.settings import masked_objective
from raydistill.specs.trial import Recipe

_CONTEXT, _SHARE = 128, 0.15
_BATCH = 256 * _CONTEXT
_EPOCH = 9_081_600 * _CONTEXT  # 35,475 steps; younger ages are 1,000 steps and doublings of it
_WARMUP = min(4_000, round(0.05 * _EPOCH / _BATCH)) * _BATCH

_RECIPE = Recipe(
    peak_lr=5e-4,
    budget_tokens=_EPOCH,
    batch_tokens=_BATCH,
    micro_batches=1,
    warmup_tokens=_WARMUP,
    optimizer="adamw",
    schedule="inverse-sqrt",
    weight_decay=0.01,
)

scale = Scale(
    name="honey",
    model=FactorisedConfig(
        family="encoder",
        num_layers=1,
        dim=32,
        num_heads=2,
        vocab_size=19_010,
        context=_CONTEXT,
        embedding=32,
        feed_forward=128,
    ),
    count=1,
    corpus="c4",
    ages=(*(1_000 * 2**i * _BATCH for i in range(5)), _EPOCH),
    budget=_EPOCH,
    age_clock=1,
    train_clock=1,
    pretrain=_RECIPE,
    heal=_RECIPE,
    evaluation=EvalSpec(tasks=(), heldout_windows=2048, curve_windows=256, mask_share=_SHARE),
    objective=masked_objective(_SHARE),
    rate_power=0.0,  # one peak for all widths
)
