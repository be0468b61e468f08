"""A decoder that loses blocks: removed in place, frozen before they leave."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from raydistill.models.decoder import Decoder


class Student:
    """A decoder whose blocks keep the index that they had in the base model.

    Removal is idempotent: `remove((3,))` twice leaves the model as after the first.
    """

    def __init__(self, model: Decoder) -> None:
        self.model = model
        self.kept = list(range(len(model.blocks)))

    def freeze(self, layers: Sequence[int]) -> None:
        """Stop the gradients of `layers` still present (paper, section 4.2)."""
        for layer in set(layers).intersection(self.kept):
            self.model.blocks[self.kept.index(layer)].requires_grad_(False)

    def remove(self, layers: Sequence[int]) -> list[nn.Module]:
        """Remove those of `layers` still present; the blocks that left."""
        blocks = dict(zip(self.kept, self.model.blocks, strict=True))
        gone = [block for layer, block in blocks.items() if layer in layers]
        if gone:
            self.kept = [layer for layer in self.kept if layer not in layers]
            self.model.use_blocks([blocks[layer] for layer in self.kept])
        return gone

    def to_bfloat16(self) -> None:
        """Round all floating-point parameters to bfloat16; buffers stay."""
        for parameter in self.model.parameters():
            if parameter.is_floating_point():
                parameter.data = parameter.data.to(torch.bfloat16)

    def named_parameters(self) -> dict[str, nn.Parameter]:
        """Parameters by name, where `blocks.7.` is layer 7 of the base whichever layers left."""
        return {self._name(name): p for name, p in self.model.named_parameters()}

    def named_tensors(self) -> dict[str, Tensor]:
        """All that is stored, by the same names: parameters and persistent buffers."""
        stored = self.model.state_dict().keys()
        buffers = {n: b for n, b in self.model.named_buffers() if n in stored}
        parameters = {name: p.data for name, p in self.named_parameters().items()}
        return parameters | {self._name(name): buffer for name, buffer in buffers.items()}

    def rounded_tensors(self) -> dict[str, Tensor]:
        """The same with parameters in bfloat16."""
        rounded = {name: p.detach().bfloat16() for name, p in self.named_parameters().items()}
        return self.named_tensors() | rounded

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Copy in values by the names of `named_tensors`.

        Raises:
            KeyError: if one is missing from `tensors`.
        """
        for name, tensor in self.named_tensors().items():
            tensor.copy_(tensors[name])

    def _name(self, name: str) -> str:
        first, _, rest = name.partition(".")
        if first != "blocks":
            return name
        position, _, inner = rest.partition(".")
        return f"blocks.{self.kept[int(position)]}.{inner}"
