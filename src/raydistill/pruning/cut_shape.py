"""A model cut from a larger one: which shape can be, and the sparsity of each axis (METHOD 8)."""

import math

from raydistill.core.errors import UsageError
from raydistill.specs.model import ModelConfig
from raydistill.specs.trial import CUT

FAMILY = "palm"  # whose blocks can be cut in width
MIN_LAYERS = 2  # the first and the last one stay

_AT_MOST = {"num_layers": "blocks", "dim": "width", "num_heads": "heads", "context": "context"}


def axis_sparsity(sparsity: float) -> float:
    """The share that leaves each of two axes so that `sparsity` of their product does.

    *Towards the law of capacity gap*, section on pruning: p′ = 1 − √(1 − p).

    >>> round(axis_sparsity(0.6), 5), round(axis_sparsity(0.84), 5)
    (0.36754, 0.6)
    """
    return 1 - math.sqrt(1 - sparsity)


def is_larger(model: ModelConfig, other: ModelConfig) -> bool:
    """Whether a model has more blocks, heads or width than another."""
    return any(getattr(model, name) > getattr(other, name) for name in _AT_MOST)


def check_start(start: str, student: ModelConfig, teacher: ModelConfig, name: str) -> None:
    """Refuse a student that would start cut from a teacher that its shape cannot be cut from.

    Raises:
        UsageError: saying why.
    """
    if start == CUT and (why := cut_refusal(student, teacher)):
        raise UsageError(f"start {CUT}: no student is cut from {name}: {why}")


def cut_refusal(student: ModelConfig, teacher: ModelConfig) -> str:
    """Why a student of that shape cannot be cut from the teacher; empty where it can."""
    for model in (student, teacher):
        if model.family != FAMILY:
            return f"only models of family {FAMILY} are cut in width, and one is of {model.family}"
    for name, words in _AT_MOST.items():
        own, theirs = getattr(student, name), getattr(teacher, name)
        if own > theirs:
            return f"the student's {words} {own} is more than the teacher's {theirs}"
    if student.num_layers < min(MIN_LAYERS, teacher.num_layers):
        return f"the student has {student.num_layers} blocks: the first and the last one stay"
    if student.vocab_size != teacher.vocab_size:
        return f"vocabularies of {student.vocab_size} and {teacher.vocab_size} ids are not one"
    if student.dim // student.num_heads > teacher.dim // teacher.num_heads:
        return "the student's heads are wider than the teacher's"
    return ""
