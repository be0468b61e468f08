"""The family of bases in seconds, for tests: `smoke_family+width=W`. It says nothing of a law."""

from dataclasses import replace

from raydistill.core.units import B
from raydistill.specs.scale import Scale
from raydistill.specs.scales.smoke import scale as smoke

scale: Scale = replace(
    smoke,
    name="smoke_family",
    model=replace(smoke.model, num_layers=4, dim=16),
    count=1,
    ages=(80 * B, 160 * B, 320 * B),
)
