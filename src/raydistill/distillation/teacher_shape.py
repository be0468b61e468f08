"""What a student and its loss need of a teacher's shape.

It reads the student's windows; and terms that look inside it compare block by block.
"""

from raydistill.core.errors import UsageError
from raydistill.distillation.loss_name import feature_weights, has_view, no_chat, share_read
from raydistill.specs.evaluation import EvalSpec
from raydistill.specs.model import ModelConfig
from raydistill.specs.shape.families import is_causal

_ALIKE = {  # by term of `feature_losses.py`: what must be equal of teacher and base
    "hidden": ("dim", "num_layers"),
    "embedding": ("dim",),
    "attention": ("num_heads", "num_layers"),
}
_WORDS = {"dim": "width {}", "num_layers": "{} blocks", "num_heads": "{} heads"}


def check_shape(loss: str, base: ModelConfig, teacher: ModelConfig, name: str) -> None:
    """Refuse a teacher that cannot read the student's windows, or not be compared with its blocks.

    And one that sees the tokens which the student is to tell.

    Args:
        loss: with its settings.
        base: the whole model that the student is made of.
        teacher: the model that teaches.
        name: of the teacher.

    Raises:
        UsageError: naming both contexts, or the term and both shapes, or the teacher's family.
    """
    if not is_causal(teacher.family):
        raise UsageError(
            f"teacher {name}: a model of family {teacher.family} sees the next tokens, which a "
            "student is to tell: name a causal one"
        )
    if teacher.max_length < base.context:
        raise UsageError(
            f"teacher {name} reads up to {teacher.max_length} tokens, and a window of training "
            f"has {base.context}: name one that reads as many"
        )
    for term in feature_weights(loss):
        differing = [n for n in _ALIKE[term] if getattr(base, n) != getattr(teacher, n)]
        if differing:
            own, theirs = (
                " and ".join(_WORDS[n].format(getattr(model, n)) for n in differing)
                for model in (base, teacher)
            )
            raise UsageError(
                f"loss {loss!r} compares {term} states block by block: the teacher {name} has "
                f"{theirs}, the student's base {own}; leave {term} out, or name a teacher of that "
                "shape"
            )


def check_targets(loss: str, student: ModelConfig, usual: str, measured_by: EvalSpec) -> None:
    """Refuse targets that a student of that shape is not for.

    Args:
        loss: a name with settings.
        student: its shape.
        usual: what such a student learns by.
        measured_by: its held-out loss.

    Raises:
        UsageError: if the loss has no targets of its own, and the student's family is not causal;
            if it hides so few tokens that a window has none; or if it hides tokens, and the
            student is measured on the next ones; or if it has targets of its own, and the student
            learns conversations.
    """
    if measured_by.assistant and has_view(loss):
        raise UsageError(no_chat(loss))
    share, tokens = share_read(loss), student.context
    if share and not round(share * tokens):
        raise UsageError(f"loss {loss!r}: of {tokens} tokens a window it hides none")
    if share and not measured_by.mask_share:
        raise UsageError(
            f"loss {loss!r}: it teaches hidden tokens, and models of this scale are measured on "
            "the next ones: name a masked scale, such as reduced+mask=0.15"
        )
    if not has_view(loss) and not is_causal(student.family):
        raise UsageError(
            f"loss {loss!r}: a model of family {student.family} sees the next tokens, which it "
            f"would tell; it learns by {usual}"
        )
