"""A brought checkpoint becomes a base in the store, in the precision that it came in."""

import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from raydistill.core.errors import DataError
from raydistill.models.families.hub import HubDecoder, be_quiet, settings_of
from raydistill.models.huggingface.checkpoint import (
    HubCheckpoint,
    ReadBase,
    read_checkpoint,
    read_path,
)
from raydistill.models.student import Student
from raydistill.models.weights import WEIGHTS, save_weights
from raydistill.storage.manifest import sha256_of
from raydistill.storage.store import Store

LONGEST = 300
"""Characters of what transformers has to say."""

TOLERANCE = 1e-3
"""How far the logits of the stock model may lie from those of ours, in the dtype of the weights."""


def read_base(name: str, revision: str, context: int, store: Store) -> str:
    """Put a checkpoint into the store as a base; the sha256 of its weights there.

    Raises:
        DataError: if it is not there, not whole, holds NaN or Inf, or is no plain list of blocks.
    """
    checkpoint = read_checkpoint(name, revision, context)
    kept = store.load(ReadBase, *read_path(checkpoint))
    if kept is not None and store.has("bases", kept.weights_sha256):
        return kept.weights_sha256
    student = Student(load_pretrained(checkpoint))
    draft = store.path("bases", f".reading.{uuid.uuid4().hex}")
    draft.mkdir(parents=True, exist_ok=True)
    save_weights(draft, student)
    sha256 = sha256_of(draft / WEIGHTS)
    with store.making("bases", sha256) as base:
        (draft / WEIGHTS).rename(base / WEIGHTS)
    draft.rmdir()
    store.save(ReadBase(weights_sha256=sha256), *read_path(checkpoint))
    return sha256


def load_pretrained(checkpoint: HubCheckpoint) -> HubDecoder:
    """The stock model in a checkpoint's folder, as a decoder, in the dtype of its weights.

    Raises:
        DataError: if its tensors are not the model's, are not finite, or its family is none that
            is a plain list of blocks between an embedding and a head.
    """
    from transformers import AutoModelForCausalLM  # noqa: PLC0415  (seconds)

    be_quiet()
    try:
        model, about = AutoModelForCausalLM.from_pretrained(
            checkpoint.folder,
            config=settings_of(checkpoint.model),
            dtype="auto",
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are told below, by name
        )
    except DataError:
        raise
    except Exception as error:  # transformers raises OSError, ValueError, RuntimeError and more
        why = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{checkpoint.folder} cannot be loaded: {why[:LONGEST]}") from error
    check_tensors(checkpoint.folder, model, about)
    decoder = HubDecoder(checkpoint.model, model)
    _check_same(checkpoint, decoder)
    return decoder


def check_tensors(folder: Path, model: nn.Module, about: Mapping[str, Any]) -> None:
    """Refuse a model whose tensors are not those of its files, or are not numbers.

    Raises:
        DataError: naming the first five, or the first with NaN or Inf.
    """
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if names := sorted(map(_told, about.get(kind) or ())):
            shown = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
            word = kind.removesuffix("_keys")
            raise DataError(f"the weights in {folder} have {len(names)} {word} tensors: {shown}")
    bad = {name: _not_finite(p) for name, p in model.named_parameters()}
    if bad := {name: count for name, count in bad.items() if count}:
        name, count = next(iter(bad.items()))
        raise DataError(
            f"{len(bad)} tensors in {folder} hold NaN or Inf, the first {name} ({count} of them)"
        )


def _told(key: str | tuple[str, Any, Any]) -> str:
    """A tensor's name; of one of another shape, both."""
    if isinstance(key, str):
        return key
    name, found, wanted = key
    return f"{name} ({list(found)}, not {list(wanted)})"


def _not_finite(values: torch.Tensor) -> int:
    return values.numel() - int(torch.isfinite(values).sum())


@torch.no_grad()
def _check_same(checkpoint: HubCheckpoint, decoder: HubDecoder) -> None:
    """Refuse a family whose head does more than we know of."""
    tokens_BT = torch.arange(8)[None] % checkpoint.model.vocab_size
    with decoder.evaluating():
        ours, stock = decoder(tokens_BT), decoder.inner(tokens_BT).logits
    if not torch.allclose(ours.float(), stock.float(), atol=TOLERANCE, rtol=TOLERANCE):
        raise DataError(
            f"{checkpoint.folder}: the head of a {type(decoder.inner).__name__} does more than a "
            "product with the last hidden state; this family is not supported"
        )
