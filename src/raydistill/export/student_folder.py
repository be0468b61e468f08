"""Writes a student as a folder that `AutoModelForCausalLM` loads, and reads such a folder.

One of a Hugging Face family is a stock folder. One of our own family needs `import raydistill.hf`
first, which registers its class: no folder holds code.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from raydistill.core.errors import DataError, UsageError
from raydistill.core.progress import growing
from raydistill.data.tokenizer import end_of_text, end_of_text_id, load_tokenizer, tokenizer_file
from raydistill.models.decoder import Decoder
from raydistill.models.families.hub import HubDecoder, be_quiet, original_settings
from raydistill.models.families.palm import Palm
from raydistill.models.huggingface.checkpoint import DEFAULT_REVISION, read_checkpoint
from raydistill.models.huggingface.loading import check_tensors, load_pretrained
from raydistill.models.huggingface.saving import (
    fill_folder,
    model_write_errors,
    written_dtype,
)
from raydistill.models.student import Student


def check_exportable(model: Decoder) -> None:
    """Refuse a model that transformers has no class for.

    Raises:
        UsageError: if its family is neither the hub's nor `palm`.
    """
    if not isinstance(model, HubDecoder | Palm):
        raise UsageError(
            f"transformers has no class for models of family {model.config.family}: those of "
            "family palm and of the hub are exported"
        )


def stock_of(student: Student, tokenizer: Path) -> nn.Module:
    """A student as a transformers model; `tokenizer` is the folder of its tokenizer."""
    if isinstance(student.model, HubDecoder):
        inner: nn.Module = student.model.inner
        return inner
    from raydistill.models.huggingface.transformers_palm import stock_model  # noqa: PLC0415  (transformers, seconds)

    return stock_model(student, end_of_text_id(load_tokenizer(tokenizer), tokenizer))


def dtype_of(student: Student) -> torch.dtype:
    """The dtype it is written in: its checkpoint's, or float32 if it is of our own family."""
    return written_dtype(student.model) if isinstance(student.model, HubDecoder) else torch.float32


def in_float32(student: Student) -> None:
    """Mark a student of a Hugging Face family to be written in float32."""
    if isinstance(student.model, HubDecoder):
        settings = {**original_settings(student.model.config), "dtype": "float32"}
        settings.pop("torch_dtype", None)
        config = json.dumps(settings, sort_keys=True)
        student.model.config = replace(student.model.config, config=config)


def fill_student(
    student: Student, folder: Path, *, tokenizer: Path, notes: Mapping[str, str]
) -> None:
    """Write a student with its tokenizer and the token that ends a generated text.

    Args:
        student: in the precision that its base came in.
        folder: an empty one.
        tokenizer: a folder that has it; of a Hugging Face family, the checkpoint.
        notes: more files, name → text, such as a model card.

    Raises:
        SetupError: if writing fails.
    """
    if isinstance(student.model, HubDecoder):
        fill_folder(student.model, tokenizer, folder, notes)
        return
    stock: Any = stock_of(student, tokenizer)
    be_quiet()
    about = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": end_of_text(tokenizer),
        "model_max_length": student.model.config.context,
    }
    texts = {
        "tokenizer.json": tokenizer_file(tokenizer).read_text("utf-8"),
        "tokenizer_config.json": json.dumps(about, indent=2) + "\n",
        **notes,
    }
    size = sum(parameter.nbytes for parameter in stock.parameters())
    with model_write_errors(folder), growing(folder, "writing weights", size):
        stock.save_pretrained(folder)
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")


def read_student(folder: Path, seq_len: int) -> Decoder:
    """The decoder in a folder, of our own family or another, to be measured in such windows.

    Raises:
        DataError: if it is missing, incomplete, holds NaN or Inf, or is no list of blocks.
        UsageError: if its context is shorter.
    """
    checkpoint = read_checkpoint(str(folder), DEFAULT_REVISION, seq_len)
    if json.loads(checkpoint.model.config)["model_type"] != "raydistill_palm":
        return load_pretrained(checkpoint)
    from raydistill.models.huggingface.transformers_palm import read_palm  # noqa: PLC0415  (transformers, seconds)

    be_quiet()
    palm, about = read_palm(checkpoint.folder)
    check_tensors(checkpoint.folder, palm, about)
    if palm.config.context < seq_len:
        raise DataError(f"{folder} reads {palm.config.context} tokens, not {seq_len}")
    palm.config = replace(palm.config, context=seq_len)  # measured in windows of that length
    return palm
