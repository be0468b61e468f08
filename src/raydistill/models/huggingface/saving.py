"""A decoder of transformers written as a stock folder, which every tool loads.

The weights are in the dtype of the checkpoint that they came from, `config.json` is that
checkpoint's own but for the layers, and tokenizer and generation config are copied.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from raydistill.core.errors import DataError, UsageError
from raydistill.models.families.hub import HubDecoder, be_quiet, original_settings

COPIED = (  # from the folder of the checkpoint, as they are
    "tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab.*", "merges.txt",
    "*.model", "chat_template*", "generation_config.json",
)  # fmt: skip
LARGEST_FILE = "5GB"


def write_folder(
    decoder: HubDecoder,
    checkpoint_folder: Path,
    to: Path,
    overwrite: bool = False,
    notes: Mapping[str, str] | None = None,
) -> None:
    """Write a decoder, whichever layers left it, so that `AutoModelForCausalLM` loads it.

    Args:
        decoder: what to write, cast to the dtype of its checkpoint; itself unchanged.
        checkpoint_folder: where it came from, with tokenizer and generation config.
        to: made if missing; it gets all files at once, or none.
        overwrite: whether existing files may be replaced; others stay.
        notes: more files, name → text, such as a model card.

    Raises:
        UsageError: if `to` may not be written (`check_target`).
        DataError: if writing fails.
    """
    be_quiet()
    with draft_folder(to, overwrite, checkpoint_folder) as draft:
        texts = {"config.json": json.dumps(_settings(decoder), indent=2) + "\n", **(notes or {})}
        tensors = _cast(decoder, written_dtype(decoder))
        decoder.inner.save_pretrained(draft, state_dict=tensors, max_shard_size=LARGEST_FILE)
        decoder.inner.config.dtype = decoder.inner.dtype  # saving leaves its name there
        (draft / "generation_config.json").unlink(missing_ok=True)
        copy_tokenizer_files(checkpoint_folder, draft)
        for name, text in texts.items():
            (draft / name).write_text(text, encoding="utf-8")


@contextmanager
def draft_folder(to: Path, overwrite: bool, source: Path) -> Iterator[Path]:
    """A draft folder to fill; its files move to `to` when the block ends without an error.

    Raises:
        UsageError: if `to` may not be written (`check_target`).
        DataError: if writing fails.
    """
    check_target(to, overwrite, source)
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{to.name}-", dir=to.parent) as draft:
            yield Path(draft)
            _check_leftovers(to, Path(draft))
            to.mkdir(exist_ok=True)
            for file in sorted(Path(draft).iterdir()):
                if file.suffix == ".safetensors":
                    file.chmod(0o644)  # safetensors lets only the owner read
                file.replace(to / file.name)
    except (OSError, SafetensorError) as error:
        raise DataError(f"{to.absolute()} cannot be written: {error}") from None


def copy_tokenizer_files(source: Path, to: Path) -> None:
    """Copy a checkpoint's tokenizer and generation config."""
    for pattern in COPIED:
        for file in source.glob(pattern):
            if file.is_file():
                shutil.copyfile(file, to / file.name)


def check_target(to: Path, overwrite: bool, source: Path | None = None) -> None:
    """Check that `to` may be written.

    Raises:
        UsageError: if it is a file, is not empty without `overwrite`, or is the source.
    """
    if source is not None and to.resolve() == source.resolve():
        raise UsageError(f"--to {to} is the folder that the model comes from: name another")
    if to.exists() and not to.is_dir():
        raise UsageError(f"--to {to} is a file: name a folder")
    if to.is_dir() and any(to.iterdir()) and not overwrite:
        raise UsageError(f"{to.absolute()} is not empty: --overwrite replaces what is written anew")


def _settings(decoder: HubDecoder) -> dict[str, Any]:
    """The config that came with the checkpoint, for the layers that stay."""
    settings = {"architectures": [type(decoder.inner).__name__]}
    settings |= original_settings(decoder.config)
    depth = "num_hidden_layers" if "num_hidden_layers" in settings else "n_layer"
    return settings | decoder.per_layer() | {depth: len(decoder.blocks)}


def written_dtype(decoder: HubDecoder) -> torch.dtype:
    """The dtype of the checkpoint that a decoder came from."""
    settings = original_settings(decoder.config)
    name = settings.get("dtype") or settings.get("torch_dtype")
    dtype = getattr(torch, str(name), decoder.inner.dtype)
    assert isinstance(dtype, torch.dtype), name
    return dtype


def _cast(decoder: HubDecoder, dtype: torch.dtype) -> dict[str, Tensor]:
    """The stock model's tensors in `dtype`; tied ones stay one tensor."""
    cast: dict[int, Tensor] = {}
    tensors: dict[str, Tensor] = decoder.inner.state_dict(keep_vars=True)
    for tensor in tensors.values():
        floats = tensor.is_floating_point()
        cast.setdefault(id(tensor), tensor.detach().to(dtype) if floats else tensor)
    return {name: cast[id(tensor)] for name, tensor in tensors.items()}


def _check_leftovers(to: Path, draft: Path) -> None:
    """Refuse older weights in `to` that would be read together with the new ones."""
    new = {file.name for file in draft.iterdir()}
    old = [file.name for file in sorted(to.glob("*.safetensors")) if file.name not in new]
    if old:
        raise UsageError(
            f"{to.absolute()} has weights of another model ({', '.join(old[:3])}), which would be "
            "read with these: remove them, or name another folder"
        )
