"""Decoders. A family is a file of this folder with `build(config) -> Decoder`."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn

from raydistill.core.parts import MODEL_FAMILY, load_part
from raydistill.specs.model import ModelConfig

WatchBlock = Callable[[int, Tensor, Tensor], None]


class Decoder(nn.Module, ABC):
    """A causal language model that is a list of blocks between an embedding and a head."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.blocks = nn.ModuleList()

    @abstractmethod
    def hidden(
        self,
        tokens_BT: Tensor,
        positions_BT: Tensor | None = None,
        visible_BTT: Tensor | None = None,
    ) -> Tensor:
        """What the head reads, float [B, T, D].

        Args:
            tokens_BT: int64 in [0, vocab_size).
            positions_BT: int64 in [0, context), where each token stands; None: at its index.
            visible_BTT: bool, whether position t sees s, t itself always; None: all s up to t.
        """

    @property
    def mask_reach(self) -> int:
        """Up to which position `visible_BTT` is all that decides: below every block's window."""
        return self.config.context

    @abstractmethod
    def head(self, hidden_D: Tensor) -> Tensor:
        """Logits [..., V] of hidden states [..., D]."""

    @abstractmethod
    def attention(self, position: int, inputs_BTD: Tensor) -> Tensor:
        """What the block at `position` attends to, given its input: log shares [B, H, T, T].

        Zero past the diagonal, where a causal model sees nothing.
        """

    def use_blocks(self, blocks: Sequence[nn.Module] | nn.ModuleList) -> None:
        """Be the model of these of its blocks, in this order."""
        self.blocks = blocks if isinstance(blocks, nn.ModuleList) else nn.ModuleList(blocks)

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """Logits [B, T, V]; position t sees tokens 0 to t."""
        return self.head(self.hidden(tokens_BT))

    @torch.inference_mode()
    def generate(
        self, tokens_BT: Tensor, max_new_tokens: int, ended: Callable[[list[int]], bool]
    ) -> list[list[int]]:
        """The likeliest token after each row, again and again; every step reads the whole row.

        Args:
            tokens_BT: int64, not padded.
            max_new_tokens: no row gets more.
            ended: whether the new tokens of a row are its end; asked after each of them.

        Returns:
            The new tokens of each row.
        """
        new: list[list[int]] = [[] for _ in tokens_BT]
        going = list(range(len(new)))
        with self.evaluating():
            for _ in range(max_new_tokens):
                if not going:
                    break
                last_BD = self.hidden(tokens_BT)[:, -1]
                next_B1 = self.head(last_BD).argmax(dim=-1, keepdim=True)
                for row, token in zip(going, next_B1.flatten().tolist(), strict=True):
                    new[row].append(token)
                left = [place for place, row in enumerate(going) if not ended(new[row])]
                tokens_BT = torch.cat([tokens_BT, next_B1], dim=1)[left]
                going = [going[place] for place in left]
        return new

    @contextmanager
    def watching_blocks(self, watch: WatchBlock) -> Iterator[None]:
        """Call `watch(position, inputs_BTD, outputs_BTD)` for each block of every forward."""

        def hook(position: int) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
            return lambda _block, inputs, output: watch(position, inputs[0], output)

        handles = [b.register_forward_hook(hook(i)) for i, b in enumerate(self.blocks)]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    @contextmanager
    def skipping(self, positions: Collection[int]) -> Iterator[None]:
        """The model without the blocks at `positions`; afterwards it is as it was."""
        whole = self.blocks
        self.use_blocks([b for i, b in enumerate(whole) if i not in positions])
        try:
            yield
        finally:
            self.use_blocks(whole)

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Every module in evaluation mode; afterwards each is in its own mode again."""
        training = [module for module in self.modules() if module.training]
        self.eval()
        try:
            yield
        finally:
            for module in training:
                module.training = True


def build(config: ModelConfig, seed: int) -> Decoder:
    """A fresh decoder of `config.family`; equal seeds give equal weights.

    Raises:
        UsageError: if there is no such family.
    """
    make = cast(Callable[[ModelConfig], Decoder], load_part(MODEL_FAMILY, config.family, "build"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make(config)
