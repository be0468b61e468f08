"""The held-out loss that a specification asks for: of what follows, or of hidden tokens."""

from collections.abc import Callable
from pathlib import Path

from raydistill.evaluation.likelihood.masked_perplexity import masked_nll
from raydistill.evaluation.likelihood.perplexity import heldout_nll
from raydistill.models.decoder import Decoder
from raydistill.specs.evaluation import EvalSpec
from raydistill.specs.results import UnitScores


def heldout_loss(model: Decoder, folder: Path, spec: EvalSpec, *, windows: int = 0) -> UnitScores:
    """Nats and targets of each held-out unit, in windows of the model's context.

    Args:
        model: scored as it is.
        folder: the corpus.
        spec: says whether tokens are hidden.
        windows: how many; 0: those of the table, `heldout_windows`.

    Raises:
        DataError: if the corpus has no held-out text.
    """
    size, context = windows or spec.heldout_windows, model.config.context
    if spec.mask_share:
        share = spec.mask_share
        return masked_nll(model, folder, windows=size, context=context, share=share)
    return heldout_nll(model, folder, windows=size, context=context)


def curve_nll(folder: Path, spec: EvalSpec) -> Callable[[Decoder], float]:
    """Nats per held-out target of a model, on the few windows that a curve is measured on."""
    return lambda model: heldout_loss(model, folder, spec, windows=spec.curve_windows).value
