"""A front of real shapes with planted losses, as a sweep leaves it in a storage."""

from dataclasses import asdict

import numpy as np

from raydistill.core.units import parse_tokens
from raydistill.laws.fitting import fit
from raydistill.laws.points import Points
from raydistill.specs.pretraining_flops import pretraining_flops
from raydistill.specs.scale import load_scale

BASES = (
    "reduced+width=16@32K", "reduced@64K", "reduced+mask=0.15@128K", "reduced@256K",
    "reduced+width=64@256K", "reduced+width=64@512K", "reduced+layers=4+width=64@512K",
)  # fmt: skip


def flops_of(base, rule):
    name, _, age = base.partition("@")
    scale = load_scale(name)
    tokens = scale.age_tokens(parse_tokens(age))
    return asdict(pretraining_flops(scale.model, tokens, scale.evaluation.mask_share))[rule]


def front_fit(rule, names=BASES):
    """The power law 60·x^−0.09, a hundredth off now and then."""
    flops = np.array([float(flops_of(base, rule)) for base in BASES])
    losses = 60 * flops**-0.09 * (1 + 0.002 * np.sin(np.arange(len(BASES))))
    return fit("power", Points(inputs={"x": flops}, outputs=losses, names=tuple(names)))
