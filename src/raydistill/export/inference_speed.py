"""How fast models read a prompt and generate, and the size of a token in their cache.

Two models are measured in turns, so that what slows the machine slows both.
"""

import statistics
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from raydistill.core.progress import tracked
from raydistill.export.lineage import Speed, Speeds
from raydistill.models.distributed import World
from raydistill.training.devices import timed

TURNS = 5
LONGEST_PROMPT, LONGEST_ANSWER = 512, 32


def measure_speeds(before: nn.Module, after: nn.Module, context: int, world: World) -> Speeds:
    """Time two stock models with a cache, each on a prompt of half their context or 512 tokens.

    Args:
        before: as transformers has it, on the device of `world`; so is `after`.
        after: the other one.
        context: how many positions both have.
        world: this process and its device.
    """
    prompt_tokens = min(LONGEST_PROMPT, context // 2)
    new_tokens = min(LONGEST_ANSWER, context - prompt_tokens)
    turns = [
        [_turn(model, prompt_tokens, new_tokens, world) for model in (before, after)]
        for _ in tracked(range(TURNS + 1), "measuring speeds", "turns")
    ][1:]  # the first warms up
    speeds = [
        _speed(model, seconds, prompt_tokens, new_tokens)
        for model, seconds in zip((before, after), zip(*turns, strict=True), strict=True)
    ]
    return Speeds(
        before=speeds[0],
        after=speeds[1],
        device=world.device_kind,
        threads=torch.get_num_threads(),
        prompt_tokens=prompt_tokens,
        new_tokens=new_tokens,
    )


@torch.inference_mode()
def _turn(model: nn.Module, prompt: int, new: int, world: World) -> tuple[float, float]:
    """Seconds for reading a prompt, and for `new` tokens after it."""
    tokens_BT = torch.arange(prompt, device=world.device)[None] % 100
    output: Any = None

    def read() -> None:
        nonlocal output
        output = model(tokens_BT, use_cache=True)

    def write() -> None:
        nonlocal output
        for _ in range(new):
            last_B1 = output.logits[:, -1:].argmax(-1)
            output = model(last_B1, past_key_values=output.past_key_values, use_cache=True)

    return timed(read, world), timed(write, world)


def _speed(model: nn.Module, turns: Sequence[tuple[float, float]], prompt: int, new: int) -> Speed:
    read_s, write_s = map(statistics.median, zip(*turns, strict=True))
    return Speed(
        prefill_tokens_per_s=prompt / read_s,
        decode_tokens_per_s=new / write_s,
        kv_bytes_per_token=_kv_bytes(model),
    )


@torch.inference_mode()
def _kv_bytes(model: nn.Module) -> int:
    """What one token adds to the cache, before any window of attention is full."""
    device = next(model.parameters()).device
    cache = model(torch.zeros(1, 1, dtype=torch.long, device=device), use_cache=True)
    return sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.past_key_values.layers)
