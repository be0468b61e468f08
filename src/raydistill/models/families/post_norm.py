"""The causal twin of the encoder: its blocks and shape, with no position that sees a later one."""

from raydistill.models.families.encoder import Encoder, of_widths
from raydistill.specs.model import ModelConfig


def build(config: ModelConfig) -> Encoder:
    """A decoder with weights from torch's current random state.

    Raises:
        UsageError: if the config does not name all widths.
    """
    return Encoder(of_widths(config), causal=True)
