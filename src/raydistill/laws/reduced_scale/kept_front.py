"""The laws of fronts in a storage, told from other laws by their points: bases and their FLOPs."""

import math
from collections.abc import Mapping
from dataclasses import asdict, fields

from raydistill.core.errors import UsageError
from raydistill.core.units import parse_tokens
from raydistill.laws.fit import Fit
from raydistill.specs.pretraining_flops import PretrainingFlops, pretraining_flops
from raydistill.specs.scale import load_scale

INPUT = "x"  # FLOPs
RULES = tuple(field.name for field in fields(PretrainingFlops))  # of counting them


def rule_of(fit: Fit) -> str | None:
    """By which rule the FLOPs of a front's points are counted; None of a law that is no front's.

    The points of a front are named `SCALE@AGE`, and so each has its FLOPs by each rule.
    """
    if tuple(fit.box) != (INPUT,):
        return None
    try:
        counted = [_flops(name) for name in fit.table.names]
    except (UsageError, AssertionError):  # another table, or a scale whose --parts are not given
        return None
    given = fit.table.inputs[INPUT]
    for rule in RULES:
        pairs = zip(counted, given, strict=True)
        if all(math.isclose(of[rule], x, rel_tol=1e-9) for of, x in pairs):
            return rule
    return None


def _flops(name: str) -> Mapping[str, int]:
    """Of a base, by rule."""
    size, _, age = name.rpartition("@")
    scale = load_scale(size)
    tokens = scale.age_tokens(parse_tokens(age))
    return asdict(pretraining_flops(scale.model, tokens, scale.evaluation.mask_share))
