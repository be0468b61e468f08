"""The sizes of a plan's models in words."""

from collections.abc import Iterable

from raydistill.core.units import format_tokens
from raydistill.planning.resolve import PlannedTrial
from raydistill.specs.flops import active_parameters, block_sizes, parameters
from raydistill.specs.model import ModelConfig
from raydistill.specs.trial import TrialSpec


def size_text(model: ModelConfig) -> str:
    """Blocks, width and parameters; those that a token uses, where they are fewer."""
    active, whole = active_parameters(model), parameters(model)
    few = f", {active / 1e6:.4g}M active" if active < whole else ""
    return f"{model.num_layers} blocks, width {model.dim}, {whole / 1e6:.4g}M parameters{few}"


def blocks_texts(trials: Iterable[PlannedTrial]) -> list[str]:
    """Of every model of trials whose blocks differ: from which size to which."""
    models = {planned.scale.name: planned.scale.model for planned in trials}
    unknown = {planned.scale.name for planned in trials if not isinstance(planned.trial, TrialSpec)}
    texts = []
    for name, model in models.items():
        sizes = sorted(block.parameters + block.tables for block in block_sizes(model))
        if sizes[0] == sizes[-1]:
            continue
        mean = "; where it is not known yet which leave, of mean ones" if name in unknown else ""
        texts.append(
            f"{name}: of {format_tokens(sizes[0])} to {format_tokens(sizes[-1])} parameters; "
            f"parameters, FLOPs and disk are sums over those that stay{mean}"
        )
    return texts
