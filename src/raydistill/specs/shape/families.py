"""What a family's file says of it, read from its source: planning imports no torch.

CAUSAL = False    # a position sees those after it too; without this line it does not
"""

import ast
import functools
from pathlib import Path

from raydistill.core.errors import UsageError
from raydistill.core.parts import MODEL_FAMILY, own_folder, part_file
from raydistill.specs.evaluation import EvalSpec
from raydistill.specs.model import ModelConfig
from raydistill.specs.trial import TEACHER_FREE


def is_causal(family: str) -> bool:
    """Whether no position of a family's models sees those after it.

    Raises:
        UsageError: if there is no such family, its file is not Python, or its `CAUSAL` is neither
            True nor False.
    """
    return _is_causal(family, own_folder())


def check_measured(model: ModelConfig, evaluation: EvalSpec, objective: str) -> None:
    """Refuse scores that a model cannot have.

    Args:
        model: its shape.
        evaluation: what it would be measured by.
        objective: the loss that it was pretrained by.

    Raises:
        UsageError: if it sees the tokens that it would be asked for, or learned to tell no masked
            ones.
    """
    if is_causal(model.family):
        if evaluation.mask_share and objective == TEACHER_FREE:
            raise UsageError(
                f"masked perplexity: a model of family {model.family} that learned the next tokens "
                "tells no masked ones"
            )
        return
    what = f"a model of family {model.family} sees"
    if evaluation.tasks:
        names = ", ".join(evaluation.tasks)
        raise UsageError(f"tasks ask what follows a text, which {what}: leave out {names}")
    if not evaluation.mask_share:
        raise UsageError(f"perplexity is of the next tokens, which {what}: give its mask_share")


@functools.cache  # a process goes on using the code that it has loaded
def _is_causal(family: str, own: Path | None) -> bool:
    file = part_file(MODEL_FAMILY, family)
    try:
        body = ast.parse(file.read_bytes()).body
    except SyntaxError as error:
        raise UsageError(f"{file}:{error.lineno}: SyntaxError: {error.msg}") from None
    except ValueError as error:
        raise UsageError(f"{file} is not Python: {error}") from None
    for node in body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "CAUSAL":
            if not (isinstance(node.value, ast.Constant) and isinstance(node.value.value, bool)):
                raise UsageError(f"{file}:{node.lineno}: CAUSAL is read, not run: True or False")
            return node.value.value
    return True
