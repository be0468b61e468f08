"""Where the blocks of a checkpoint are: in its config, in its model's class, in its files."""

import copy
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn

from raydistill.core.errors import DataError
from raydistill.models.attention import lacks_flash_attn
from raydistill.models.families.hub import be_quiet
from raydistill.models.huggingface.checkpoint import read_config, refuse_without_weights
from raydistill.models.huggingface.loading import first_words
from raydistill.models.huggingface.model_shape import blocks_prefix
from raydistill.models.huggingface.safetensors_header import tensor_shapes
from raydistill.models.huggingface.surgery.finding import (
    TABLES,
    as_written,
    block_list,
    depth_fields,
    language_part,
)
from raydistill.models.huggingface.surgery.layer_fields import (
    NEVER,
    CannotLeaveError,
    fields_without,
)
from raydistill.models.huggingface.surgery.nearest_sets import nearest
from raydistill.models.huggingface.tied_head import says_tied, ties_head
from raydistill.models.huggingface.weight_files import weight_files

_MOST_LAYERS = 10_000
_BLOCK = re.compile(r"(.*?)\.(\d{1,9})\.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Anatomy:
    """A checkpoint whose blocks can be told apart from what stays in any case."""

    folder: Path
    fields: Mapping[str, Any]  # of config.json
    settings: Any  # the same, as the config class of its type reads it
    part: str  # the field that holds those of the language model, such as text_config; "": none
    depth: str  # the class' name of the field with the number of layers
    num_layers: int
    class_name: str  # of the stock model
    blocks: str  # the list of blocks in it, such as `model.layers`
    prefix: str  # of blocks' tensors in the files, up to their number
    parameters: int  # of the whole stock model, tied ones once
    block_parameters: Sequence[int]  # that leave with each block, its share of tables too


def read_anatomy(folder: Path) -> Anatomy:
    """The anatomy of the checkpoint in a folder; no weights are read.

    Raises:
        DataError: if transformers has no such decoder, its blocks are no list, or the files are
            not those of the config.
    """
    be_quiet()
    fields = read_config(folder)
    files = {path: tensor_shapes(path) for path in weight_files(folder)}
    if not list(folder.glob("*.safetensors")):
        refuse_without_weights(folder)
    shapes = {name: shape for tensors in files.values() for name, shape in tensors.items()}
    _refuse_absurd_depth(folder, fields)
    settings = read_settings(folder)
    _refuse_never(folder, settings)
    if says_tied(fields) and not ties_head(fields, files):
        fields["tie_word_embeddings"] = settings.tie_word_embeddings = False
    model = _described(folder, settings)
    part, depth = language_part(folder, settings)
    num_layers = int(getattr(getattr(settings, part) if part else settings, depth))
    blocks = block_list(folder, model, num_layers)
    prefix = _prefix_in_files(folder, shapes, blocks, num_layers)
    if _are_alike(model.get_submodule(blocks)):
        of_blocks = {n: s for n, s in shapes.items() if n.startswith(f"{prefix}.")}
        blocks_prefix(folder, of_blocks, num_layers)  # refuses others than in the config
    return Anatomy(
        folder=folder,
        fields=fields,
        settings=settings,
        part=part,
        depth=depth,
        num_layers=num_layers,
        class_name=type(model).__name__,
        blocks=blocks,
        prefix=prefix,
        parameters=_count(model),
        block_parameters=_block_parameters(model, blocks),
    )


def config_without(anatomy: Anatomy, kept: Sequence[int], *, ends: bool) -> dict[str, Any]:
    """The config.json of the model of which only the layers `kept` stay.

    Args:
        anatomy: of the whole model.
        kept: ascending.
        ends: whether the first and the last layer may leave, in what is proposed instead.

    Raises:
        CannotLeaveError: if no config can say so, with the nearest sets of layers of which one can.
    """
    part = _language_settings(anatomy)
    config = copy.deepcopy(dict(anatomy.fields))
    written = config.setdefault(anatomy.part, {}) if anatomy.part else config
    known = language_fields(anatomy)
    try:
        changed = fields_without(known, anatomy.num_layers, kept)
    except CannotLeaveError as refusal:
        sets = nearest(known, anatomy.num_layers, kept, ends=ends)
        instead = " or ".join(",".join(map(str, layers)) for layers in sets)
        hint = f"; {instead} can leave" if sets else ""
        raise CannotLeaveError(
            f"a {part.model_type!r} cannot lose these layers: {refusal}{hint}"
        ) from None
    changed |= depth_fields(part, anatomy.depth, len(kept))
    written.update(as_written(part, written, changed))
    config.setdefault("architectures", [anatomy.class_name])
    return config


def language_fields(anatomy: Anatomy) -> dict[str, Any]:
    """The fields of the language model's config, as its class reads them."""
    written = anatomy.fields.get(anatomy.part, {}) if anatomy.part else anatomy.fields
    return {**written, **_language_settings(anatomy).to_dict()}


def _language_settings(anatomy: Anatomy) -> Any:
    return getattr(anatomy.settings, anatomy.part) if anatomy.part else anatomy.settings


def read_settings(folder: Path) -> Any:
    """The config.json in a folder as the class of its type reads it.

    Raises:
        DataError: if transformers knows no such type, or its class refuses the fields.
    """
    from transformers import AutoConfig  # noqa: PLC0415  (seconds)

    path = folder / "config.json"
    try:
        settings = AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:
        raise DataError(f"transformers cannot read {path}: {first_words(error)}") from error
    named = getattr(settings, "_attn_implementation", None)
    if lacks_flash_attn(named):
        settings._attn_implementation = None
    return settings


def dtype_of(anatomy: Anatomy) -> str:
    """The dtype of a checkpoint by its config, else of its first file's first tensor."""
    named = anatomy.fields.get("dtype") or anatomy.fields.get("torch_dtype")
    if named:
        return str(named).removeprefix("torch.")
    with safe_open(weight_files(anatomy.folder)[0], framework="pt") as opened:
        first: torch.Tensor = opened.get_tensor(next(iter(opened.keys())))
    return str(first.dtype).removeprefix("torch.")


def _refuse_absurd_depth(folder: Path, fields: Mapping[str, Any]) -> None:
    for name in ("num_hidden_layers", "n_layer", "n_layers", "num_layers"):
        depth = fields.get(name)
        if isinstance(depth, int) and depth > _MOST_LAYERS:
            raise DataError(f"config.json in {folder} says {depth} layers ({name})")


def _refuse_never(folder: Path, settings: Any) -> None:
    parts = [settings, *(v for v in vars(settings).values() if hasattr(v, "model_type"))]
    for model_type in (part.model_type for part in parts):
        if why := NEVER.get(model_type):
            raise CannotLeaveError(f"{folder}: a {model_type!r} cannot lose layers: {why}")


def _are_alike(blocks: nn.Module) -> bool:
    shapes = [{n: p.shape for n, p in block.named_parameters()} for block in blocks.children()]
    return all(shape == shapes[0] for shape in shapes)


def _described(folder: Path, settings: Any) -> nn.Module:
    """The stock model without memory for its weights."""
    from transformers import AutoModelForCausalLM  # noqa: PLC0415  (seconds)

    try:
        with torch.device("meta"):
            model: nn.Module = AutoModelForCausalLM.from_config(
                copy.deepcopy(settings), trust_remote_code=False
            )
    except Exception as error:
        raise DataError(
            f"{folder}: transformers makes no decoder of a {settings.model_type!r}: "
            f"{first_words(error)}"
        ) from error
    return model


def _prefix_in_files(
    folder: Path, shapes: Mapping[str, Sequence[int]], blocks: str, num_layers: int
) -> str:
    """The names of the blocks' tensors in the files, up to their number."""
    numbers: dict[str, set[int]] = {}
    for name in shapes:
        if match := _BLOCK.match(name):
            numbers.setdefault(match[1], set()).add(int(match[2]))
    words = blocks.split(".")
    named = [prefix for prefix in numbers if prefix.split(".")[-1] == words[-1]] or list(numbers)
    if not named:
        raise DataError(f"the tensors in {folder} have no numbered blocks")
    prefix = max(named, key=lambda p: (len(set(p.split(".")) & set(words)), -p.count(".")))
    there = numbers[prefix]
    missing = [layer for layer in range(num_layers) if layer not in there]
    if missing or len(there) != num_layers:
        more = sorted(layer for layer in there if layer >= num_layers)
        raise DataError(
            f"config.json in {folder} says {num_layers} layers, the weights have {len(there)}: "
            f"{_counted('missing', missing)}{_counted('unexpected', more)}".rstrip(", ")
        )
    return prefix


def _counted(kind: str, layers: Sequence[int]) -> str:
    return f"{len(layers)} {kind} ({', '.join(map(str, layers[:5]))}), " if layers else ""


def _block_parameters(model: nn.Module, blocks: str) -> list[int]:
    """The parameters of each block that no other shares, and its part of tables beside them."""
    owned = [list(block.parameters()) for block in model.get_submodule(blocks).children()]
    owners = Counter(id(parameter) for of_block in owned for parameter in of_block)
    tables = (p.numel() for n, p in model.named_parameters() if n.endswith(tuple(TABLES)))
    share = sum(tables) // len(owned)
    return [share + sum(p.numel() for p in own if owners[id(p)] == 1) for own in owned]


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
