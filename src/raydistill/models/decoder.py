"""Decoders. A family is a file of `models/families/` with `build(config) -> Decoder`."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from raydistill.core.errors import UsageError
from raydistill.core.parts import MODEL_FAMILY, load_part
from raydistill.models.huggingface.surgery.layer_fields import CannotLeaveError
from raydistill.models.huggingface.surgery.live_model import passing
from raydistill.specs.model import ModelConfig
from raydistill.specs.shape.families import is_causal

WatchBlock = Callable[[int, Tensor, Tensor], None]


class Decoder(nn.Module, ABC):
    """A language model that is a list of blocks between an embedding and a head.

    Causal, unless its family's file says `CAUSAL = False` (`specs/shape/families.py`).
    """

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
            positions_BT: int64 in [0, max_length), the position of each token; None: its index.
            visible_BTT: bool, whether position t sees s, t itself always; None: all s up to t,
                or simply all, of a family that is not causal.
        """

    @property
    def mask_reach(self) -> int:
        """Positions within which `visible_BTT` alone decides: the smallest window of a block."""
        return self.config.max_length

    @property
    def leaves_unused(self) -> bool:
        """Whether a step may leave a parameter that learns without a gradient."""
        return False

    @abstractmethod
    def head(self, hidden_D: Tensor) -> Tensor:
        """Logits [..., V] of hidden states [..., D]."""

    @abstractmethod
    def attention(self, position: int, inputs_BTD: Tensor) -> Tensor:
        """Log attention weights [B, H, T, T] of the block at `position`, given its input.

        Zero past the diagonal, which a causal model does not see; one that is not sees all.
        """

    def use_blocks(self, blocks: Sequence[nn.Module] | nn.ModuleList) -> None:
        """Become the model of these of its blocks, in this order."""
        self.blocks = blocks if isinstance(blocks, nn.ModuleList) else nn.ModuleList(blocks)

    def forward(self, tokens_BT: Tensor, at_BM: Tensor | None = None) -> Tensor:
        """Logits [B, T, V], or [B, M, V] of some positions.

        Position t sees tokens 0 to t, or all, of a family not causal.

        Args:
            tokens_BT: int64 in [0, vocab_size).
            at_BM: int64 in [0, T), the positions of each row whose logits are asked for: the head
                computes no others. None: all.
        """
        hidden_BTD = self.hidden(tokens_BT)
        return self.head(hidden_BTD if at_BM is None else at_positions(hidden_BTD, at_BM))

    @torch.inference_mode()
    def generate(
        self, tokens_BT: Tensor, max_new_tokens: int, ended: Callable[[list[int]], bool]
    ) -> list[list[int]]:
        """Greedy decoding without a cache: every step reads the whole row.

        Args:
            tokens_BT: int64, not padded.
            max_new_tokens: of each row, at most.
            ended: whether a row ends, given its new tokens; called after each of them.

        Returns:
            The new tokens of each row.

        Raises:
            UsageError: if positions see those after them, so that none was left to tell.
        """
        if not is_causal(self.config.family):
            raise UsageError(f"a model of family {self.config.family} generates no text")
        new: list[list[int]] = [[] for _ in tokens_BT]
        open_rows = list(range(len(new)))
        with self.evaluating():
            for _ in range(max_new_tokens):
                if not open_rows:
                    break
                last_BD = self.hidden(tokens_BT)[:, -1]
                next_B1 = self.head(last_BD).argmax(dim=-1, keepdim=True)
                for row, token in zip(open_rows, next_B1.flatten().tolist(), strict=True):
                    new[row].append(token)
                still_open = [i for i, row in enumerate(open_rows) if not ended(new[row])]
                tokens_BT = torch.cat([tokens_BT, next_B1], dim=1)[still_open]
                open_rows = [open_rows[i] for i in still_open]
        return new

    @contextmanager
    def watching_blocks(self, watch: WatchBlock) -> Iterator[None]:
        """Call `watch(position, inputs_BTD, outputs_BTD)` for each block of every forward."""

        def hook(position: int) -> Callable[..., None]:
            return lambda _block, *call: watch(position, *self.block_states(position, *call))

        handles = [
            block.register_forward_hook(hook(position), with_kwargs=True)
            for position, block in enumerate(self.blocks)
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def block_states(
        self, position: int, inputs: tuple[Any, ...], named: dict[str, Any], output: Any
    ) -> tuple[Tensor, Tensor]:
        """The hidden states that go into and come out of a block, from a call of it."""
        del position, named
        return inputs[0], output

    def states(
        self, tokens_BT: Tensor, positions: slice = slice(None)
    ) -> tuple[list[Tensor], Tensor]:
        """What goes into each block and out of the last, [B, T, D], and what the head reads.

        The former at some `positions` of a window alone.
        """
        states_BTD: list[Tensor] = []

        def keep(position: int, inputs_BTD: Tensor, outputs_BTD: Tensor) -> None:
            states_BTD.append(inputs_BTD[:, positions])
            if position == len(self.blocks) - 1:
                states_BTD.append(outputs_BTD[:, positions])

        with self.watching_blocks(keep):
            return states_BTD, self.hidden(tokens_BT)

    @contextmanager
    def skipping(self, positions: Collection[int]) -> Iterator[None]:
        """The model without the blocks at `positions`; afterwards it is as it was.

        Where no shorter model can be made they are there, and pass on their input.
        """
        blocks, gone = self.blocks, list(positions)
        with ExitStack() as stack:
            stack.callback(self.use_blocks, blocks)
            try:
                self.use_blocks([b for i, b in enumerate(blocks) if i not in positions])
            except CannotLeaveError:
                self.use_blocks(blocks)
                stack.enter_context(passing(self, "blocks", gone))
            yield

    def refusal(self, positions: Collection[int]) -> str:
        """Why the model cannot be without the blocks at `positions`; empty where it can."""
        blocks = self.blocks
        try:
            self.use_blocks([b for i, b in enumerate(blocks) if i not in positions])
        except CannotLeaveError as refusal:
            return str(refusal)
        finally:
            self.use_blocks(blocks)
        return ""

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Every module in evaluation mode; afterwards each is in its former mode."""
        training = [module for module in self.modules() if module.training]
        self.eval()
        try:
            yield
        finally:
            for module in training:
                module.training = True


def at_positions(hidden_BTD: Tensor, at_BM: Tensor) -> Tensor:
    """The hidden states [B, M, D] at some positions of each row."""
    starts_B1 = torch.arange(len(at_BM), device=at_BM.device)[:, None] * hidden_BTD.shape[1]
    chosen_ND = hidden_BTD.flatten(0, 1).index_select(0, (starts_B1 + at_BM).flatten())
    return chosen_ND.view(*at_BM.shape, -1)


def build(config: ModelConfig, seed: int) -> Decoder:
    """A fresh decoder of `config.family`; equal seeds give equal weights.

    Raises:
        UsageError: if there is no such family.
    """
    make = cast(Callable[[ModelConfig], Decoder], load_part(MODEL_FAMILY, config.family, "build"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make(config)
