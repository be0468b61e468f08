"""A decoder of transformers written as a stock folder, which every tool loads.

The weights are in the dtype of the checkpoint that they came from, `config.json` is that
checkpoint's own but for the layers, and tokenizer and generation config are copied.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from raydistill.core.errors import SetupError, UsageError
from raydistill.core.paths import resolve_path
from raydistill.core.progress import growing
from raydistill.models.families.hub import HubDecoder, be_quiet, original_settings
from raydistill.storage.output_folder import output_folder, write_errors

COPIED = (  # from the folder of the checkpoint, as they are
    "tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab.*", "merges.txt",
    "*.model", "chat_template*", "generation_config.json", "*processor_config.json",
)  # fmt: skip
LARGEST_FILE = "5GB"
_WEIGHT_FILES = ("model.safetensors", "model-*.safetensors", "model.safetensors.index.json")


@contextmanager
def model_folder(
    to: str | Path,
    *,
    overwrite: bool,
    source: Path | None,
    storage: Path,
    sums: Mapping[str, str] | None = None,
) -> Iterator[Path]:
    """A draft to fill, which becomes the folder `to` when the block ends without an error.

    Args:
        to: as the user wrote it.
        overwrite: whether a model in it may be replaced; what is none of its files stays.
        source: the folder that the model comes from, which `to` must neither be nor hold.
        storage: its root, the same.
        sums: the sha256 of written files, by name, where the block fills this.

    Raises:
        UsageError: before the block, if `to` may not be written.
        SetupError: if it cannot be.
    """
    apart_from = {"the folder that the model comes from": source, "the storage": storage}
    written = output_folder(
        to, overwrite=overwrite, apart_from=apart_from, replaced=_WEIGHT_FILES, sums=sums
    )
    with written as draft:
        _check_weights(resolve_path(to))
        yield draft
        for file in draft.glob("*.safetensors"):
            file.chmod(0o644)  # safetensors lets only the owner read


def fill_folder(
    decoder: HubDecoder, checkpoint_folder: Path, folder: Path, notes: Mapping[str, str]
) -> None:
    """Write a decoder, whichever layers left it, so that `AutoModelForCausalLM` loads it.

    Args:
        decoder: what to write, cast to the dtype of its checkpoint; itself unchanged.
        checkpoint_folder: where it came from, with tokenizer and generation config.
        folder: an empty one.
        notes: more files, name → text, such as a model card.

    Raises:
        SetupError: if writing fails.
    """
    be_quiet()
    texts = {"config.json": json.dumps(_settings(decoder), indent=2) + "\n", **notes}
    tensors = _cast(decoder, written_dtype(decoder))
    size = sum({id(tensor): tensor.nbytes for tensor in tensors.values()}.values())
    with model_write_errors(folder), growing(folder, "writing weights", size):
        decoder.inner.save_pretrained(folder, state_dict=tensors, max_shard_size=LARGEST_FILE)
        decoder.inner.config.dtype = decoder.inner.dtype  # saving leaves its name there
        (folder / "generation_config.json").unlink(missing_ok=True)
        copy_tokenizer_files(checkpoint_folder, folder)
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")


@contextmanager
def model_write_errors(folder: Path) -> Iterator[None]:
    """In the block, which writes a model into `folder`, errors of writing become a `SetupError`."""
    try:
        with write_errors(folder):
            yield
    except SafetensorError as error:
        raise SetupError(f"{folder} cannot be written: {error}") from error


def copy_tokenizer_files(source: Path, to: Path) -> None:
    """Copy a checkpoint's tokenizer and generation config."""
    for pattern in COPIED:
        for file in source.glob(pattern):
            if file.is_file():
                shutil.copyfile(file, to / file.name)


def _settings(decoder: HubDecoder) -> dict[str, Any]:
    """The config that came with the checkpoint, for the layers that stay."""
    settings = {"architectures": [type(decoder.inner).__name__]}
    return settings | decoder.layers.written_fields(original_settings(decoder.config))


def written_dtype(decoder: HubDecoder) -> torch.dtype:
    """The dtype of the checkpoint that a decoder came from."""
    settings = original_settings(decoder.config)
    name = settings.get("dtype") or settings.get("torch_dtype")
    dtype = getattr(torch, str(name), decoder.inner.dtype)
    assert isinstance(dtype, torch.dtype), name
    return dtype


def _cast(decoder: HubDecoder, dtype: torch.dtype) -> dict[str, Tensor]:
    """The stock model's tensors in `dtype`; tied ones stay one tensor, but for those of blocks.

    Which blocks share weights, as in Zamba, depends on the layers that stay: each has its own.
    """
    cast: dict[tuple[int, str], Tensor] = {}
    blocks = f"{decoder.layers.list}."
    written: dict[str, Tensor] = {}
    for name, tensor in decoder.layers.written_tensors().items():
        block = name.removeprefix(blocks).partition(".")[0] if name.startswith(blocks) else ""
        key = id(tensor), block
        if key not in cast:
            own = tensor.clone() if any(known == id(tensor) for known, _ in cast) else tensor
            cast[key] = own.to(dtype) if own.is_floating_point() else own
        written[name] = cast[key]
    return written


def _check_weights(to: Path) -> None:
    """Refuse weights in `to` that are not those of one model in the usual files."""
    old = sorted(file.name for file in to.glob("*.safetensors"))
    shards = [f"model-{n:05}-of-{len(old):05}.safetensors" for n in range(1, len(old) + 1)]
    if old not in ([], ["model.safetensors"], shards):
        raise UsageError(
            f"{to.absolute()} has weights of another model ({', '.join(old[:3])}), which would be "
            "read with these: remove them, or name another folder"
        )
