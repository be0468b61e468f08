"""A written folder, loaded by the stock class, against the whole model whose blocks pass."""

import contextlib
import gc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from raydistill.core.errors import DataError
from raydistill.core.progress import in_parts
from raydistill.models.huggingface.loading import check_tensors
from raydistill.models.huggingface.surgery.anatomy import Anatomy, first_words, read_settings

TOLERANCE = 1e-4  # of the largest logit; both compute the same, in the same order
_MORE_TOKENS = 8  # than a sliding window
_LONGEST = 4096  # tokens, whatever the window
_NEW_TOKENS = 4  # generated with a cache
_WINDOWS = ("sliding_window", "attention_window_size", "attention_chunk_size", "window_size",
            "local_attention")  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class _Answer:
    logits: Tensor  # of the last tokens, without a cache
    cached: Tensor | None  # of generated tokens, with one; None: the class cannot
    why: str = ""


def check_same(anatomy: Anatomy, gone: Sequence[int], written: Path) -> int:
    """Compare the model in `written` with the whole one whose blocks `gone` pass on their input.

    One model is in memory at a time.

    Returns:
        The number of tokens that were compared.

    Raises:
        DataError: if the written one does not load, or gives other logits.
    """
    tokens_BT = _tokens(anatomy)
    with in_parts("checking what was written", "", 2) as part:
        with part(1):
            whole = _loaded(anatomy.folder)
            with _passing(whole, anatomy.blocks, gone):
                expected = _answer(anatomy, whole, tokens_BT)
            del whole
            gc.collect()
        with part(1):
            short = _loaded(written, anatomy)
            found = _answer(anatomy, short, tokens_BT)
    _compare(anatomy, "without a cache", expected.logits, found.logits)
    if expected.cached is not None:
        if found.cached is None:
            raise DataError(
                f"{_what(anatomy)} without those layers generates no text with a cache: {found.why}"
            )
        _compare(anatomy, "with a cache", expected.cached, found.cached)
    return tokens_BT.shape[1]


def _what(anatomy: Anatomy) -> str:
    return f"{anatomy.folder}: a {anatomy.settings.model_type!r}"


def _compare(anatomy: Anatomy, how: str, expected: Tensor, found: Tensor) -> None:
    scale = max(1.0, float(expected.abs().max()))
    difference = float((expected - found).abs().max()) if expected.shape == found.shape else None
    if difference is not None and difference <= TOLERANCE * scale:
        return
    raise DataError(
        f"{_what(anatomy)} without those layers is not the model in which they pass on their "
        f"input: {how}, logits differ by {difference:.3g}; nothing was written"
    )


def _tokens(anatomy: Anatomy) -> Tensor:
    """Ids int64 [1, T], longer than a sliding window where the model reads as many."""
    settings = getattr(anatomy.settings, anatomy.part) if anatomy.part else anatomy.settings
    windows = [getattr(settings, name, None) for name in _WINDOWS]
    window = max((w for w in windows if isinstance(w, int)), default=16)
    positions = getattr(settings, "max_position_embeddings", None)
    most = positions - _NEW_TOKENS if isinstance(positions, int) and positions > 0 else _LONGEST
    length = max(min(max(window, 16) + _MORE_TOKENS, _LONGEST, most), 1)
    return (torch.arange(length)[None] * 7 + 3) % int(settings.vocab_size)


def _loaded(folder: Path, origin: Anatomy | None = None) -> nn.Module:
    from transformers import AutoModelForCausalLM  # noqa: PLC0415  (seconds)

    try:
        model, info = AutoModelForCausalLM.from_pretrained(
            folder,
            config=read_settings(folder),
            dtype="auto",
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # `check_tensors` names them
        )
    except Exception as error:
        what = f"{_what(origin)} without those layers" if origin else str(folder)
        raise DataError(f"{what} cannot be loaded: {first_words(error)}") from error
    try:
        check_tensors(folder, model, info)
    except DataError as error:
        if origin is None:
            raise
        raise DataError(f"{_what(origin)} without those layers: {error}") from None
    loaded: nn.Module = model.eval()
    return loaded


@contextlib.contextmanager
def _passing(model: nn.Module, blocks: str, gone: Sequence[int]) -> Iterator[None]:
    """In the block, these blocks do their work, their cache's too, and pass on their input."""

    def passed(
        _module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any], output: Any
    ) -> Any:
        came = inputs[0] if inputs else named.get("hidden_states")
        return came if isinstance(output, Tensor) else (came, *output[1:])

    modules = list(model.get_submodule(blocks).children())
    handles = [modules[layer].register_forward_hook(passed, with_kwargs=True) for layer in gone]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@torch.inference_mode()
def _answer(anatomy: Anatomy, model: Any, tokens_BT: Tensor) -> _Answer:
    """What a model says after each of the tokens, and when it generates more with a cache."""
    try:
        logits = model(input_ids=tokens_BT, use_cache=False).logits[:, -_MORE_TOKENS:].float()
    except Exception as error:
        raise DataError(
            f"{_what(anatomy)} does not answer to tokens: {first_words(error)}"
        ) from error
    try:
        generated = _generate(model, tokens_BT)
    except Exception as error:  # noqa: BLE001  (of any kind, from transformers or torch)
        return _Answer(logits=logits, cached=None, why=first_words(error))
    return _Answer(logits=logits, cached=generated)


def _generate(model: Any, tokens_BT: Tensor) -> Tensor:
    from transformers import GenerationConfig  # noqa: PLC0415  (seconds)

    how = GenerationConfig(
        max_new_tokens=_NEW_TOKENS, do_sample=False, use_cache=True, pad_token_id=0,
        output_logits=True, return_dict_in_generate=True,
    )  # fmt: skip
    model.generation_config.eos_token_id = None
    done = model.generate(
        tokens_BT, attention_mask=torch.ones_like(tokens_BT), generation_config=how
    )
    return torch.stack(done.logits, dim=1).float()
