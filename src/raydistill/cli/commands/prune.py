"""`raydistill prune`: layers leave a checkpoint, and nothing is trained."""

import argparse
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from decimal import Decimal
from functools import partial
from pathlib import Path

from raydistill.cli.arguments.named_model import open_checkpoint
from raydistill.core.errors import DataError, UsageError
from raydistill.core.paths import resolve_path
from raydistill.core.units import B, K, M, format_bytes, format_seconds, format_tokens
from raydistill.models.huggingface.checkpoint import local_folder, locate
from raydistill.models.huggingface.model_shape import hub_config
from raydistill.models.huggingface.saving import model_folder
from raydistill.models.huggingface.surgery.anatomy import (
    Anatomy,
    config_without,
    dtype_of,
    language_fields,
    read_anatomy,
)
from raydistill.models.huggingface.surgery.check_memory import (
    available_bytes,
    check_bytes,
    refuse_beyond_memory,
)
from raydistill.models.huggingface.surgery.end_check import check_same
from raydistill.models.huggingface.surgery.short_folder import write_short
from raydistill.models.huggingface.surgery.weight_changes import what_changes
from raydistill.pruning.calibration import default_device, read_sample
from raydistill.pruning.layer_choice import LayerRequest
from raydistill.pruning.layer_scoring import choose_layers
from raydistill.pruning.mergekit import FILE_NAME, LayerMap, read_map, write_map
from raydistill.pruning.ranking_result import layers_text, layers_word
from raydistill.reports.console.console import open_console
from raydistill.specs.corpus import EMBEDDED
from raydistill.specs.flops import active_parameters, parameters
from raydistill.specs.locations import Layers, is_data_driven, is_list, listed, pick
from raydistill.storage.store import Store

_UNITS = {"": 1, "K": K, "M": M, "B": B}


def prune(store: Store, flags: argparse.Namespace) -> int:
    """Write a checkpoint without some of its layers as a stock folder.

    Raises:
        UsageError: if the flags do not say which layers leave, or these may not leave.
        DataError: if the checkpoint, the layer map or the text cannot be read.
    """
    _check_ways(flags)
    layer_map = read_map(resolve_path(flags.mergekit)) if flags.mergekit else None
    name = flags.model or (layer_map.model if layer_map else "")
    if not name:
        raise UsageError("prune needs --model, a folder or a hub id")
    source = local_folder(name, flags.revision)
    sums: dict[str, str] = {}
    written = model_folder(
        flags.to, overwrite=flags.overwrite, source=source, storage=store.root, sums=sums
    )
    with written as draft:
        line = _prune(name, layer_map, draft, sums, store, flags)
    open_console().print(f"{line}\n{resolve_path(flags.to).absolute()}", soft_wrap=True)
    return 0


def _prune(
    name: str,
    layer_map: LayerMap | None,
    folder: Path,
    sums: dict[str, str],
    store: Store,
    flags: argparse.Namespace,
) -> str:
    """Write what stays of the model into an empty folder; a line on what that is.

    `sums` gets the sha256 of its weights.
    """
    anatomy = read_anatomy(locate(name, flags.revision))
    layers = _layers(flags, name, layer_map, anatomy, store)
    dtype = dtype_of(anatomy)
    if layer_map and layer_map.dtype not in ("", dtype):
        raise DataError(
            f"{flags.mergekit}: dtype {layer_map.dtype}, but the model's {dtype} is kept: "
            "leave that key out"
        )
    kept = tuple(layer for layer in range(anatomy.num_layers) if layer not in layers)
    config = config_without(anatomy, kept, ends=flags.allow_ends)
    if not flags.no_check:
        refuse_beyond_memory(anatomy.folder)
    notes = {FILE_NAME: write_map(LayerMap(model=_absolute(name), kept=kept, dtype=dtype))}
    sums |= write_short(anatomy, kept, config, folder, notes)
    changed = what_changes(language_fields(anatomy))
    remarks = f" Not to the bit in layers that move: {changed}." if changed else ""
    if not flags.no_check:
        remarks += _checked(anatomy, layers, folder)
    size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    after = anatomy.parameters - sum(anatomy.block_parameters[layer] for layer in layers)
    return (
        f"{name}: {layers_word(anatomy.num_layers)}, {format_tokens(anatomy.parameters)} "
        f"parameters{_active(anatomy)}; without {layers_text(tuple(sorted(layers)))}: "
        f"{layers_word(len(kept))}, {format_tokens(after)}{_active(anatomy, layers)}, "
        f"{format_bytes(size)}.{remarks}"
    )


def _active(anatomy: Anatomy, layers: Layers = ()) -> str:
    """How many parameters a token uses without some layers, where they are not all."""
    with suppress(DataError):  # a model of which plans know no sizes
        model = hub_config(anatomy.folder, anatomy.fields)
        active = active_parameters(model, removed=layers)
        if active < parameters(model, removed=layers):
            return f" ({format_tokens(active)} active)"
    return ""


def _checked(anatomy: Anatomy, layers: Layers, folder: Path) -> str:
    """Check what was written; a sentence on that. What it takes is printed before."""
    size, free = (format_bytes(n) for n in (check_bytes(anatomy.folder), available_bytes()))
    open_console().print(
        f"The end check loads the whole model, {size} of {free} available, and then the written "
        "one; --no-check does without.",
        soft_wrap=True,
    )
    began = time.monotonic()
    tokens = check_same(anatomy, layers, folder)
    return (
        f" As the whole model in which they pass on their input, on {tokens} tokens; the check "
        f"took {format_seconds(time.monotonic() - began)}."
    )


def _check_ways(flags: argparse.Namespace) -> None:
    """Refuse anything but one way to say which layers leave."""
    ways = [way for way in ("location", "layers", "mergekit") if getattr(flags, way)]
    if len(ways) != 1:
        given = " and ".join(f"--{way}" for way in ways) or "none"
        raise UsageError(
            f"which layers leave? One of --location, --layers and --mergekit; there is {given}"
        )
    sizes = [size for size in (flags.count, flags.target_params) if size is not None]
    lists = flags.location is None or is_list(flags.location)
    if len(sizes) != (0 if lists else 1):
        raise UsageError(
            "a list of layers has its own count: leave --count and --target-params out"
            if lists
            else "how many layers leave? One of --count and --target-params"
        )


def _layers(
    flags: argparse.Namespace,
    name: str,
    layer_map: LayerMap | None,
    anatomy: Anatomy,
    store: Store,
) -> Layers:
    num_layers, ends = anatomy.num_layers, flags.allow_ends
    if layer_map:
        return _left_out(flags, layer_map, num_layers)
    if flags.layers or is_list(flags.location):
        return listed(flags.layers or flags.location, num_layers, allow_ends=ends)
    chosen = partial(pick, flags.location, num_layers, allow_ends=ends)
    count = flags.count
    if count is None:
        known = None if is_data_driven(flags.location) else chosen
        count = target_count(anatomy, flags.target_params, known)
    if not is_data_driven(flags.location):
        return chosen(count)
    pick("input", num_layers, count, allow_ends=ends)  # refuses a count that cannot be
    checkpoint, decoder = open_checkpoint(name, flags.revision)
    decoder.to(default_device())
    text = flags.text or EMBEDDED
    sample = read_sample(decoder, text, checkpoint.folder, store, flags.seq_len, flags.windows)
    request = LayerRequest(score=flags.location, count=count, allow_ends=ends)
    (choice,) = choose_layers(decoder, [[ids[:, :-1] for ids in sample.scored]], [request])
    return choice.layers


def _left_out(flags: argparse.Namespace, layer_map: LayerMap, num_layers: int) -> Layers:
    """The layers that a map does not name."""
    if layer_map.kept[-1] >= num_layers:
        raise DataError(
            f"{flags.mergekit} keeps layer {layer_map.kept[-1]}, the model has 0 to "
            f"{num_layers - 1}"
        )
    leaving = [str(layer) for layer in range(num_layers) if layer not in layer_map.kept]
    if not leaving:
        raise DataError(f"{flags.mergekit} keeps all {num_layers} layers")
    return listed(",".join(leaving), num_layers, allow_ends=flags.allow_ends)


def target_count(
    anatomy: Anatomy, text: str, layers_of: Callable[[int], Sequence[int]] | None = None
) -> int:
    """The smallest count that brings a model to `text` parameters, such as `0.8B`, or below.

    Args:
        anatomy: of the model.
        text: as the user wrote it.
        layers_of: the layers that leave, by their count; None if they are not known before they
            are scored: the count is then one that does so whichever leave.

    Raises:
        UsageError: if no count does, or it is as small already; with the sizes that there are.
    """
    match = re.fullmatch(r"(\d{1,12}(?:\.\d{1,12})?)\s*([KMB]?)", text.strip().upper())
    if match is None:
        raise UsageError(f"--target-params {text!r}: a number of parameters, such as 0.8B or 350M")
    target = Decimal(match[1]) * _UNITS[match[2]]
    blocks = anatomy.block_parameters
    counts = range(len(blocks) - 1)
    if layers_of is None:  # they are not known yet: the smallest, which others outdo
        sizes = [anatomy.parameters - sum(sorted(blocks)[:count]) for count in counts]
    else:
        sizes = [anatomy.parameters]
        with suppress(UsageError):  # a location takes no more
            for count in counts[1:]:
                sizes.append(anatomy.parameters - sum(blocks[n] for n in layers_of(count)))
    fitting = [count for count, size in enumerate(sizes) if size <= target]
    if fitting and fitting[0] > 0:
        return fitting[0]
    whole, first, last = map(format_tokens, (sizes[0], sizes[1], sizes[-1]))
    block = " to ".join(map(format_tokens, sorted({min(blocks), max(blocks)})))
    raise UsageError(
        f"--target-params {text}: the model has {whole}; layers leave by {block}, from {first} "
        f"down to {last}"
    )


def _absolute(name: str) -> str:
    """The absolute path of a folder; a hub id as it is."""
    path = resolve_path(name)
    return str(path.absolute()) if path.is_dir() else name
