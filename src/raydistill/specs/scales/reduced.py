"""Minutes on two cores: small models each of whose widths is its own, on the laptop's text.

`reduced+width=16+feed_forward=64`, `reduced+mask=0.15` and so on are its shapes. Mechanics at a
small scale: no law of large models. The recipe is that of *Honey, I shrunk the language* but for
peak rate and batch.
"""

from dataclasses import replace

from raydistill.core.units import K
from raydistill.specs.evaluation import EvalSpec
from raydistill.specs.model import FactorisedConfig
from raydistill.specs.scale import Scale, whole_steps
from raydistill.specs.scales.laptop_family import scale as laptop_family
from raydistill.specs.trial import Recipe

_BATCH = 1_024  # 8 windows of 128: twice as many steps as a batch of 2,048 learn more by far
_AGES = tuple(32 * K * 2**doublings for doublings in range(5))

_PRETRAIN = Recipe(
    peak_lr=6e-3,  # by the probe in docs/reduced-scale.md
    budget_tokens=_AGES[-1],
    batch_tokens=_BATCH,
    micro_batches=1,
    warmup_tokens=25 * _BATCH,  # a twentieth; blocks with the norm behind them need it
    optimizer="adamw",
    schedule="inverse-sqrt",  # has no end, so that a base is as good as a run that ends at its age
    weight_decay=0.01,
)

scale: Scale = replace(
    laptop_family,
    name="reduced",
    model=FactorisedConfig(
        family="post-norm",
        num_layers=2,
        dim=32,
        num_heads=4,
        vocab_size=laptop_family.model.vocab_size,
        context=laptop_family.model.context,
        embedding=32,
        feed_forward=128,
    ),
    ages=_AGES,
    age_clock=1,
    pretrain=_PRETRAIN,
    heal=replace(
        _PRETRAIN,
        budget_tokens=whole_steps(laptop_family.budget, laptop_family.train_clock, _BATCH),
        warmup_tokens=10 * _BATCH,
    ),
    evaluation=EvalSpec(
        tasks=(), heldout_windows=160, curve_windows=32, probes=("acceptability", "book-kind")
    ),
    rate_power=0.25,  # likewise
    ships_base=False,
)
