"""A written folder, loaded by the stock class, against the whole model whose blocks pass."""

import gc
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from raydistill.core.errors import DataError
from raydistill.core.progress import in_parts
from raydistill.models.huggingface.loading import check_tensors, first_words, load_stock
from raydistill.models.huggingface.surgery.anatomy import (
    Anatomy,
    dtype_of,
    language_fields,
    read_settings,
)
from raydistill.models.huggingface.surgery.finding import WINDOWS, language_part
from raydistill.models.huggingface.surgery.live_model import passing
from raydistill.models.huggingface.surgery.weight_changes import what_changes

TOLERANCE = 1e-4  # of the largest logit; both compute the same, in the same order
_ROUNDINGS = 8  # of the dtype, the same, where weights had to change
_MORE_TOKENS = 8  # than a sliding window
_LONGEST = 8192 + _MORE_TOKENS  # whatever the window
_NEW_TOKENS = 4  # generated with a cache


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
    settings = getattr(anatomy.settings, anatomy.part) if anatomy.part else anatomy.settings
    what = f"{anatomy.folder}: a {anatomy.settings.model_type!r}"
    short = f"{what} without those layers"
    tokens_BT = _tokens(settings)
    with in_parts("checking what was written", "", 2) as part:
        with part(1):
            whole = _loaded(anatomy.folder, "")
            with passing(whole, anatomy.blocks, gone):
                answer = _answer(whole, tokens_BT, what)
            del whole
            gc.collect()
        with part(1):
            short_answer = _answer(_loaded(written, short), tokens_BT, short)
    wrong = f"{short} is not the model in which they pass on their input"
    _compare(wrong, answer, short_answer, _tolerance(anatomy))
    return tokens_BT.shape[1]


def _tolerance(anatomy: Anatomy) -> float:
    """Of the largest logit; wider where weights of half precision were rounded anew."""
    if not what_changes(language_fields(anatomy)):
        return TOLERANCE
    dtype = getattr(torch, dtype_of(anatomy), torch.float32)
    return max(TOLERANCE, _ROUNDINGS * torch.finfo(dtype).eps)


def check_written(model: Any, written: Path) -> None:
    """Compare the model in `written` with the stock model that it was written of.

    Raises:
        DataError: if the written one does not load, or gives other logits.
    """
    inside, depth = language_part(written, model.config)
    settings = getattr(model.config, inside) if inside else model.config
    what = f"a {model.config.model_type!r} of {getattr(settings, depth)} layers"
    tokens_BT = _tokens(settings)
    with in_parts("checking what was written", "", 2) as part:
        with part(1):
            answer = _answer(model.eval(), tokens_BT, what)
        with part(1):
            short_answer = _answer(_loaded(written, what), tokens_BT, what)
    _compare(f"{what}, loaded again, is not the one that was written", answer, short_answer)


def check_imported(original: Callable[[], Any] | None, written: Path) -> int:
    """Compare the model in `written` with the one that it was made of: each tensor, and logits.

    One model is in memory at a time, if nobody else holds the original.

    Args:
        original: loads it, or hands it over, with the same tensors; None: the written one alone is
            loaded, and answers.
        written: the folder.

    Returns:
        The number of tokens that were compared.

    Raises:
        DataError: if one does not load, or they differ in a bit of a tensor, or in logits.
    """
    settings = read_settings(written)
    what = f"a {settings.model_type!r} in bfloat16"
    tokens_BT = _tokens(settings.get_text_config(decoder=True))
    with in_parts("checking what was written", "", 2) as part:
        with part(1):
            answer, digests = None, {}
            if original is not None:
                model = original().eval()
                answer, digests = _answer(model, tokens_BT, what), _digests(model)
                del model
                gc.collect()
        with part(1):
            model = _loaded(written, what)
            written_answer = _answer(model, tokens_BT, what)
            written_digests = _digests(model)
    if answer is None:
        if not written_answer.logits.isfinite().all():
            raise DataError(f"{what} answers with NaN or Inf; nothing was written")
        return tokens_BT.shape[1]
    names = sorted(digests.keys() | written_digests.keys())
    if other := [name for name in names if digests.get(name) != written_digests.get(name)]:
        raise DataError(
            f"{what} is not the model that transformers dequantises: {len(other)} tensors differ, "
            f"the first {other[0]}; nothing was written"
        )
    _compare(f"{what} is not the model that transformers dequantises", answer, written_answer)
    return tokens_BT.shape[1]


def _digests(model: nn.Module) -> dict[str, str]:
    """The sha256 of every tensor's bytes, with its dtype and shape, by name."""
    digests = {}
    for name, tensor in model.state_dict().items():
        form = f"{tensor.dtype} {list(tensor.shape)} "
        values = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        digest = hashlib.sha256(form.encode())
        digest.update(values.data)
        digests[name] = digest.hexdigest()
    return digests


def _compare(
    wrong: str, answer: _Answer, short_answer: _Answer, tolerance: float = TOLERANCE
) -> None:
    pairs = [("without a cache", answer.logits, short_answer.logits)]
    if answer.cached is not None:  # else the stock class has none that works
        if short_answer.cached is None:
            raise DataError(f"{wrong}: it generates no text with a cache: {short_answer.why}")
        read_alike = _read_alike(answer.cached, short_answer.cached)
        one, other = answer.cached[:, :read_alike], short_answer.cached[:, :read_alike]
        pairs.append(("with a cache", one, other))
    for how, one, other in pairs:
        difference = float((one - other).abs().max())
        if not difference <= tolerance * max(1.0, float(one.abs().max())):
            raise DataError(
                f"{wrong}: {how}, logits differ by {difference:.3g}; nothing was written"
            )


def _read_alike(one: Tensor, other: Tensor) -> int:
    """How many of two generated texts' logits [1, T, V] were of the same tokens before."""
    differ = (one.argmax(-1) != other.argmax(-1))[0].tolist()
    return differ.index(True) + 1 if True in differ else len(differ)


def _tokens(settings: Any) -> Tensor:
    """Ids int64 [1, T], longer than a sliding window where the model reads as many."""
    windows = [getattr(settings, name, None) for name in WINDOWS]
    window = max((w for w in windows if isinstance(w, int)), default=16)
    positions = getattr(settings, "max_position_embeddings", None)
    most = positions - _NEW_TOKENS if isinstance(positions, int) and positions > 0 else _LONGEST
    length = max(min(max(window, 16) + _MORE_TOKENS, _LONGEST, most), 1)
    return (torch.arange(length)[None] * 7 + 3) % int(settings.vocab_size)


def _loaded(folder: Path, what: str) -> nn.Module:
    """The stock model in a folder; `what` it is, where that says more than the folder's name."""
    try:
        model, info = load_stock(folder, read_settings(folder))
    except Exception as error:
        raise DataError(_told(f"cannot be loaded: {first_words(error)}", folder, what)) from error
    try:
        check_tensors(folder, model, info)
    except DataError as error:
        if not what:
            raise
        raise DataError(_told(f"has other tensors: {error}", folder, what)) from None
    loaded: nn.Module = model.eval()
    return loaded


def _told(wrong: str, folder: Path, what: str) -> str:
    """What is wrong with a folder's model; a draft, which `what` names, has no path to tell."""
    return f"{what} {wrong.replace(str(folder), 'the draft')}" if what else f"{folder} {wrong}"


def _keeps_logits(model: nn.Module) -> bool:
    """Whether a model can be asked for the logits of the last tokens alone: others take memory."""
    return "logits_to_keep" in signature(model.forward).parameters


@torch.inference_mode()
def _answer(model: Any, tokens_BT: Tensor, what: str) -> _Answer:
    """What a model says after each of the tokens, and when it generates more with a cache."""
    try:
        last = {"logits_to_keep": _MORE_TOKENS} if _keeps_logits(model) else {}
        logits = model(input_ids=tokens_BT, use_cache=False, **last).logits
        logits = logits[:, -_MORE_TOKENS:].float()
    except Exception as error:
        raise DataError(f"{what} does not answer to tokens: {first_words(error)}") from error
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
