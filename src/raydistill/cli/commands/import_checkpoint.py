"""`raydistill import`: pickled, quantised or GGUF weights become a folder with safetensors."""

import argparse
import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from raydistill.core.errors import DataError, SetupError
from raydistill.core.progress import growing
from raydistill.core.units import format_bytes
from raydistill.data.tokenizer import tokenizer_file
from raydistill.models.huggingface.checkpoint import (
    local_folder,
    locate,
    read_checkpoint,
    read_config,
    read_fields,
    way_around,
)
from raydistill.models.huggingface.loading import load_pretrained
from raydistill.models.huggingface.quantised.folder import (
    plan_dequantising,
    read_by_transformers,
    what_was_lost,
    write_dequantised,
)
from raydistill.models.huggingface.quantised.forms import Form, form_of
from raydistill.models.huggingface.quantised.gguf_file import gguf_at, read_gguf, write_gguf
from raydistill.models.huggingface.saving import copy_tokenizer_files, model_folder
from raydistill.models.huggingface.surgery.anatomy import read_settings
from raydistill.models.huggingface.surgery.end_check import check_imported
from raydistill.models.huggingface.unpickle import pickles_in
from raydistill.models.huggingface.weight_files import weight_files
from raydistill.pruning.ranking_result import layers_word
from raydistill.reports.console.console import open_console
from raydistill.storage.output_folder import write_errors
from raydistill.storage.store import Store


def import_model(store: Store, flags: argparse.Namespace) -> int:
    """Write the checkpoint `flags.source` as safetensors to `flags.to`, and load it once.

    Raises:
        UsageError: if `flags.to` is not for this to write.
        DataError: if there is no such checkpoint, its weights are not weights alone, or what was
            written is not the model that transformers reads.
        SetupError: if a package is missing.
    """
    gguf = gguf_at(flags.source)
    folder = gguf.parent if gguf else local_folder(flags.source, flags.revision)
    written = model_folder(flags.to, overwrite=flags.overwrite, source=folder, storage=store.root)
    with written as draft:
        words = _from_gguf(gguf, draft, flags) if gguf else _from_folder(draft, flags)
        size = sum(file.stat().st_size for file in draft.iterdir())
        settings = read_settings(draft).get_text_config(decoder=True)
    layers = layers_word(settings.num_hidden_layers)
    _print(f"{flags.to}: {layers}, {format_bytes(size)}{words}")
    return 0


def _from_folder(draft: Path, flags: argparse.Namespace) -> str:
    """Fill the draft from a folder or a hub id; what else is to be told."""
    source = locate(flags.source, flags.revision, pickles=True)
    fields = read_fields(source)
    if form := form_of(fields):
        return _dequantised(source, fields, form, draft, check=not flags.no_check)
    read_config(source)
    if list(source.glob("*.safetensors")):
        tokenizer_file(source)  # without one the way is another
        raise DataError(f"{source} has safetensors already: it needs no import")
    _unpickle(source, draft)
    with write_errors(draft):
        shutil.copyfile(source / "config.json", draft / "config.json")
        copy_tokenizer_files(source, draft)
    checkpoint = read_checkpoint(str(draft), "main")
    if not flags.no_check:
        load_pretrained(checkpoint)
    return ""


def _unpickle(source: Path, draft: Path) -> None:
    """Convert the pickles in a process of their own; its error is a DataError."""
    module = "raydistill.models.huggingface.unpickle"
    command = [sys.executable, "-m", module, str(source), str(draft)]
    size = sum(file.stat().st_size for file in pickles_in(source))
    with growing(draft, "reading pickled weights", size):
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  (our own module)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
        raise DataError(lines[-1])


def _dequantised(
    source: Path, fields: Mapping[str, Any], form: Form, draft: Path, *, check: bool
) -> str:
    """Fill the draft from a quantised folder; what was lost, and what was compared."""
    if not form.is_read:
        raise DataError(
            f"{source} is quantised ({form.words}), which import does not read: {way_around(form)}"
        )
    if not weight_files(source):
        raise DataError(f"no *.safetensors in {source}")
    plan = plan_dequantising(source, fields, form)
    compared = check and not plan.done.is_ragged
    missing = [n for n in form.needs if not importlib.util.find_spec(n.replace("-", "_"))]
    if compared and missing:
        raise SetupError(
            f"what is written is compared with what transformers reads of {form.method}, for which "
            f"it needs {missing[0]}: pip install 'raydistill[quantised]', or --no-check"
        )
    before = sum(file.stat().st_size for file in weight_files(source))
    often = "twice, one after the other" if compared else "once"
    _print(
        f"{form.words}: {format_bytes(before)}, in bfloat16 {format_bytes(plan.size)}, a tensor at "
        f"a time. {f'The check loads these whole, {often}; --no-check spares it.' if check else ''}"
    )
    write_dequantised(plan, draft)
    words = f"\n{what_was_lost(plan)}"
    if check:
        original = (lambda: read_by_transformers(plan)) if compared else None
        tokens = check_imported(original, draft)
        words += f"\n{_checked(tokens, original is not None)}"
    return words


def _checked(tokens: int, compared: bool) -> str:
    if compared:
        return (
            "Every tensor is to the bit as transformers dequantises it, and logits agree on "
            f"{tokens} tokens."
        )
    return (
        f"It was loaded, and answers to {tokens} tokens. It was not compared with what "
        f"transformers {version('transformers')} dequantises: a size is no multiple of its "
        "block's, and such weights it refuses, or multiplies with the scales of other blocks."
    )


def _from_gguf(file: Path, draft: Path, flags: argparse.Namespace) -> str:
    """Fill the draft from a GGUF file; what was lost, and what was compared."""
    size = format_bytes(file.stat().st_size)
    _print(f"GGUF: {size}. transformers reads it whole into memory, in bfloat16.")
    models = [read_gguf(file)]
    words = f"\n{write_gguf(models[0], file, draft)}"
    if not flags.no_check:
        tokens = check_imported(models.pop, draft)
        words += f"\n{_checked(tokens, compared=True)}"
    return words


def _print(text: str) -> None:
    open_console().print(text, soft_wrap=True)
