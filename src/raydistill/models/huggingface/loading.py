"""Checkpoints read as decoders, and put into the store as bases, in their own precision."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from raydistill.core.errors import DataError
from raydistill.core.progress import in_parts, tracked
from raydistill.core.units import format_tokens
from raydistill.models.families.hub import HubDecoder, be_quiet, settings_of
from raydistill.models.huggingface.checkpoint import (
    HubCheckpoint,
    ReadBase,
    read_checkpoint,
    stored_base_path,
)
from raydistill.models.huggingface.surgery.layer_fields import CannotLeaveError
from raydistill.models.huggingface.surgery.live_model import passing
from raydistill.models.student import Student
from raydistill.models.weights import store_base
from raydistill.specs.flops import parameters
from raydistill.storage.store import Store

_ERROR_LENGTH = 300  # characters of a message from transformers, at most
_TOLERANCE = 1e-3  # of our logits against the stock model's, in the dtype of the weights


def read_base(name: str, revision: str, context: int, store: Store) -> str:
    """Put a checkpoint into the store as a base; the sha256 of its weights there.

    Raises:
        DataError: if it is missing, incomplete, has NaN or Inf, or is no list of blocks.
    """
    checkpoint = read_checkpoint(name, revision, context)
    base = store.load(ReadBase, *stored_base_path(checkpoint))
    if base is not None and store.has("bases", base.weights_sha256):
        return base.weights_sha256
    with in_parts(f"reading {name}", "", 5) as part:
        with part(2):
            student = Student(load_pretrained(checkpoint))
        with part(3):
            sha256 = store_base(student, store)
    store.save(ReadBase(weights_sha256=sha256), *stored_base_path(checkpoint))
    return sha256


def load_pretrained(checkpoint: HubCheckpoint) -> HubDecoder:
    """The stock model in a checkpoint's folder, as a decoder, in the dtype of its weights.

    Raises:
        DataError: if its tensors are not the model's or not finite, or its family is no
            list of blocks between an embedding and a head.
    """
    be_quiet()
    folder, settings = checkpoint.folder, settings_of(checkpoint.model)
    with in_parts("loading weights", "", 2) as part:
        with part(1), _tensors_tracked():
            try:
                _check_size(checkpoint)
                model, loading_info = load_stock(folder, settings)
            except DataError:
                raise
            except Exception as error:  # transformers raises OSError, ValueError and more
                raise DataError(f"{folder} cannot be loaded: {first_words(error)}") from error
        with part(1, "checking"):
            check_tensors(folder, model, loading_info)
    try:
        decoder = HubDecoder(checkpoint.model, model)
        _check_same(checkpoint, decoder)
    except DataError:
        raise
    except Exception as error:
        raise DataError(
            f"{folder}: a {type(model).__name__} does not answer to tokens alone, without a cache: "
            f"{type(error).__name__}: {first_words(error)}"
        ) from error
    return decoder


def load_stock(folder: Path, settings: Any) -> tuple[Any, Mapping[str, Any]]:
    """The stock model in a folder, in the dtype of its weights, and what `check_tensors` takes.

    Raises:
        Exception: of any kind, from transformers.
    """
    from transformers import AutoModelForCausalLM  # noqa: PLC0415  (seconds)

    model, loading_info = AutoModelForCausalLM.from_pretrained(
        folder,
        config=settings,
        dtype="auto",
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # `check_tensors` names them
    )
    return model, loading_info


def first_words(error: BaseException) -> str:
    """A message of another library on one line, not too long."""
    return (" ".join(str(error).split()) or type(error).__name__)[:_ERROR_LENGTH]


def _check_size(checkpoint: HubCheckpoint) -> None:
    """Refuse a config of a larger model than the weights are, before memory is taken for it."""
    from transformers import AutoModelForCausalLM  # noqa: PLC0415  (seconds)

    with torch.device("meta"):
        described = AutoModelForCausalLM.from_config(settings_of(checkpoint.model))
    size, given = sum(p.numel() for p in described.parameters()), parameters(checkpoint.model)
    if size > 2 * given:  # what a file leaves out or has twice is named by `check_tensors`
        raise DataError(
            f"config.json in {checkpoint.folder} describes {format_tokens(size)} parameters, the "
            f"weights have {format_tokens(given)}"
        )


@contextmanager
def _tensors_tracked() -> Iterator[None]:
    """Progress of what transformers loads, in place of the bar that it would draw."""
    from transformers.utils import logging  # noqa: PLC0415  (seconds)

    def tracking(factory: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not args:
            return factory(*args, **kwargs)
        return tracked(args[0], "", "tensors")

    before = logging.set_tqdm_hook(tracking)
    try:
        yield
    finally:
        logging.set_tqdm_hook(before)


def check_tensors(folder: Path, model: nn.Module, loading_info: Mapping[str, Any]) -> None:
    """Refuse a model whose tensors are not those of its files, or are not finite.

    Raises:
        DataError: naming the first five, or the first with NaN or Inf.
    """
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if names := sorted(map(_described, loading_info.get(kind) or ())):
            first = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
            word = kind.removesuffix("_keys")
            raise DataError(f"the weights in {folder} have {len(names)} {word} tensors: {first}")
    parameters = list(model.named_parameters())
    counts = {
        name: int((~torch.isfinite(p)).sum())
        for name, p in tracked(parameters, "", "values", size=lambda pair: pair[1].numel())
    }
    if bad := [name for name, count in counts.items() if count]:
        raise DataError(
            f"{len(bad)} tensors in {folder} hold NaN or Inf, the first {bad[0]} "
            f"({counts[bad[0]]} of them)"
        )


def _described(key: str | tuple[str, Any, Any]) -> str:
    """A tensor's name, with both shapes where they differ."""
    if isinstance(key, str):
        return key
    name, shape, expected = key
    return f"{name} ({list(shape)}, not {list(expected)})"


@torch.no_grad()
def _check_same(checkpoint: HubCheckpoint, decoder: HubDecoder) -> None:
    """Refuse a family of which a decoder, whole or without a block, is not the stock model."""
    tokens_BT = torch.arange(8)[None] % checkpoint.model.vocab_size
    what = f"{checkpoint.folder}: a {type(decoder.inner).__name__}"
    with decoder.evaluating():
        if not _is_close(decoder(tokens_BT), _stock_logits(decoder, tokens_BT)):
            raise DataError(
                f"{what} makes more of its text than blocks and a head: sweeps and scores read none"
            )
        if (layer := _one_that_leaves(decoder)) is None:
            return
        with passing(decoder.inner, decoder.layers.list, (layer,)):
            passed_BTV = _stock_logits(decoder, tokens_BT)
        with decoder.skipping((layer,)):
            if not _is_close(decoder(tokens_BT), passed_BTV):
                raise DataError(
                    f"{what} without layer {layer} is not the model in which that layer passes on "
                    "its input: no layers can be taken out of it"
                )


def _stock_logits(decoder: HubDecoder, tokens_BT: Tensor) -> Tensor:
    logits: Tensor = decoder.inner(input_ids=tokens_BT, use_cache=False).logits
    return logits


def _is_close(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one.float(), other.float(), atol=_TOLERANCE, rtol=_TOLERANCE)


def _one_that_leaves(decoder: HubDecoder) -> int | None:
    """A layer within that can leave alone; None if its config can say so of none."""
    for layer in range(1, len(decoder.blocks) - 1):
        try:
            with decoder.skipping((layer,)):
                return layer
        except CannotLeaveError:
            continue
    return None
