"""The smoke scale at half the width, for sweeps over sizes. It says nothing of layers."""

from dataclasses import replace

from raydistill.specs.scale import Scale
from raydistill.specs.scales.smoke import scale as smoke

scale: Scale = replace(smoke, name="smoke_small", model=replace(smoke.model, dim=16))
