"""The reduced scale in seconds, for tests: `smoke_reduced+width=W`. It says nothing of a law."""

from dataclasses import replace

from raydistill.specs.model import FactorisedConfig
from raydistill.specs.scale import Scale
from raydistill.specs.scales.smoke_family import scale as smoke_family

scale: Scale = replace(
    smoke_family,
    name="smoke_reduced",
    model=FactorisedConfig(
        family="post-norm",
        num_layers=4,
        dim=16,
        num_heads=2,
        vocab_size=smoke_family.model.vocab_size,
        context=smoke_family.model.context,
        embedding=16,
        feed_forward=32,
    ),
)
