"""Minutes on two cores: small models each of whose widths is its own, on the laptop's text.

`reduced+width=16+feed_forward=64`, `reduced+mask=0.15` and so on are its shapes. Mechanics at a
small scale: no law of large models.
"""

from dataclasses import replace

from raydistill.specs.model import FactorisedConfig
from raydistill.specs.scale import Scale
from raydistill.specs.scales.laptop_family import scale as laptop_family

scale: Scale = replace(
    laptop_family,
    name="reduced",
    model=FactorisedConfig(
        family="post-norm",
        num_layers=4,
        dim=32,
        num_heads=4,
        vocab_size=laptop_family.model.vocab_size,
        context=laptop_family.model.context,
        embedding=32,
        feed_forward=128,
    ),
    ships_base=False,
)
