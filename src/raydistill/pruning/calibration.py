"""Calibration windows: on which layers are scored and cuts measured without training.

Shapes: B windows, each of context + 1 tokens.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from raydistill.core.cpus import available_cpus
from raydistill.core.errors import DataError, UsageError
from raydistill.data.batches import TokenFile, open_tokens
from raydistill.data.corpus.preparation import prepare_corpus
from raydistill.data.sources import embedded
from raydistill.models.decoder import Decoder
from raydistill.pruning.ranking_result import locations_to_rank
from raydistill.specs.flops import forward_flops_per_token
from raydistill.storage.store import Store

# Layers are chosen by one sample; more samples tell how certain the choice is.
SAMPLES, SAMPLE_WINDOWS = 5, 64
PASS_TOKENS = 2_048  # of a forward pass, or one window: logits of a large vocabulary fill a memory

# Of `raydistill rank`.
RANK_WINDOWS, MIN_WINDOWS = 64, 4
RANK_CONTEXT = {"cuda": 2_048, "cpu": 128}  # at most; the model's own may be shorter
RANK_PASS_TOKENS = {"cuda": 16_384, "cpu": PASS_TOKENS}
CPU_FLOPS = 2e13  # of all passes on a CPU, about: a few minutes


def calibration_samples(data: TokenFile, device: torch.device) -> list[list[Tensor]]:
    """Five disjoint samples of 64 training windows, each spread over the corpus, in small batches.

    Int64 [B, context] on `device`. A short corpus gives fewer samples, a very short one fewer
    windows.
    """
    size = min(SAMPLE_WINDOWS, data.num_windows)
    count = min(SAMPLES, data.num_windows // size)
    samples = _samples(data, count, size, PASS_TOKENS, device)
    return [[ids[:, :-1] for ids in sample] for sample in samples]


def _samples(
    data: TokenFile, count: int, size: int, pass_tokens: int, device: torch.device
) -> list[tuple[Tensor, ...]]:
    """Disjoint samples of `size` windows, in batches of about `pass_tokens` tokens."""
    total = count * size
    spread = [i * data.num_windows // total for i in range(total)]
    per_batch = max(1, pass_tokens // data.context)
    return [
        tuple(ids.to(device) for ids in data.text_windows(spread[first::count]).split(per_batch))
        for first in range(count)
    ]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """Windows to score layers on, and others to measure cuts on; each int64 [B, context + 1]."""

    scored: tuple[Tensor, ...]
    measured: tuple[Tensor, ...]
    windows: int  # in each of the two
    corpus: Path  # the folder of the text that they are from


def _default_windows(model: Decoder, context: int, device: torch.device) -> int:
    """64 windows; on a CPU as many as take a few minutes."""
    windows = RANK_WINDOWS
    if device.type != "cuda":
        # On average a pass starts in the middle.
        passes = (model.config.num_layers + 4 * len(locations_to_rank())) / 2
        config = replace(model.config, context=context)
        flops = forward_flops_per_token(config) * context * passes
        while windows > MIN_WINDOWS and windows * flops > CPU_FLOPS:
            windows //= 2
    return windows


def sample_windows(data: TokenFile, windows: int, device: torch.device) -> Sample:
    """Two disjoint samples, each spread over the text; a short text gives fewer windows.

    Raises:
        DataError: if there are not two windows.
    """
    size = min(windows, data.num_windows // 2)
    if size < 1:
        raise DataError(
            f"the text {data.info.name!r} needs at least {2 * data.context + 1} training tokens "
            f"for two windows, has {len(data.tokens)}: name a longer one, or a smaller --seq-len"
        )
    pass_tokens = RANK_PASS_TOKENS.get(device.type, PASS_TOKENS)
    scored, measured = _samples(data, 2, size, pass_tokens, device)
    return Sample(scored=scored, measured=measured, windows=size, corpus=data.folder)


def read_sample(
    model: Decoder,
    text: str,
    tokenizer: Path | None,
    store: Store,
    seq_len: int | None,
    windows: int | None,
) -> Sample:
    """`windows` windows of `seq_len` tokens of `text`, on the model's device.

    None is the default of either there. `tokenizer` is the model's own, if it has one.

    Raises:
        UsageError: if the windows are longer than the model's context.
        DataError: if there is no such text or tokenizer, or too little text.
    """
    device = next(model.parameters()).device
    default_context = RANK_CONTEXT.get(device.type, RANK_CONTEXT["cpu"])
    context = seq_len or min(model.config.context, default_context)
    if context > model.config.context:
        raise UsageError(f"--seq-len {context}: the model reads up to {model.config.context}")
    if windows is None:
        windows = _default_windows(model, context, device)
    _check_installed(text)
    folder = prepare_corpus(
        text,
        store=store,
        tokenizer=tokenizer,
        vocab_size=model.config.vocab_size,
        context=context,
    )
    return sample_windows(
        open_tokens(folder, replace(model.config, context=context)), windows, device
    )


def _check_installed(text: str) -> None:
    """Name the extra of an embedded text that is not installed."""
    try:
        if text in embedded.NAMES:
            embedded.installed_versions()
    except DataError:
        raise DataError(
            "name a text with --text FILE, or install one: pip install 'raydistill[laptop]'"
        ) from None


def default_device() -> torch.device:
    """A GPU if there is one, else this machine's CPU, with a thread for each idle core it may use.

    More threads would wait for one another at every matrix product.
    """
    if torch.cuda.is_available():
        return torch.device("cuda")
    if "OMP_NUM_THREADS" not in os.environ:
        idle = (os.cpu_count() or 1) - os.getloadavg()[0]  # of the machine, as the load is
        threads = min(torch.get_num_threads(), available_cpus(), round(idle))
        torch.set_num_threads(max(1, threads))
    return torch.device("cpu")
