"""`raydistill import`: a checkpoint with pickled weights becomes one with safetensors."""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from raydistill.core.errors import DataError
from raydistill.core.progress import growing
from raydistill.core.units import format_bytes
from raydistill.data.tokenizer import tokenizer_file
from raydistill.models.huggingface.checkpoint import (
    local_folder,
    locate,
    read_checkpoint,
    read_config,
)
from raydistill.models.huggingface.loading import load_pretrained
from raydistill.models.huggingface.saving import copy_tokenizer_files, model_folder
from raydistill.models.huggingface.unpickle import pickles_in
from raydistill.pruning.ranking_result import layers_word
from raydistill.reports.console.console import open_console
from raydistill.storage.output_folder import write_errors
from raydistill.storage.store import Store


def import_model(store: Store, flags: argparse.Namespace) -> int:
    """Write the checkpoint `flags.source` as safetensors to `flags.to`, and load it once.

    Raises:
        UsageError: if `flags.to` is not for this to write.
        DataError: if there is no such checkpoint, or its weights are not weights alone.
    """
    folder = local_folder(flags.source, flags.revision)
    written = model_folder(flags.to, overwrite=flags.overwrite, source=folder, storage=store.root)
    with written as draft:
        source = locate(flags.source, flags.revision, pickles=True)
        read_config(source)
        if list(source.glob("*.safetensors")):
            tokenizer_file(source)  # without one the way is another
            raise DataError(f"{source} has safetensors already: it needs no import")
        _unpickle(source, draft)
        with write_errors(draft):
            shutil.copyfile(source / "config.json", draft / "config.json")
            copy_tokenizer_files(source, draft)
        checkpoint = read_checkpoint(str(draft), "main")
        load_pretrained(checkpoint)
        size = sum(file.stat().st_size for file in draft.iterdir())
    layers = layers_word(checkpoint.model.num_layers)
    open_console().print(f"{flags.to}: {layers}, {format_bytes(size)}", soft_wrap=True)
    return 0


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
