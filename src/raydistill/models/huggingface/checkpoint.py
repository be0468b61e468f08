"""Checkpoints of the Hugging Face world: found, and read as far as a plan needs, without torch.

A checkpoint is a folder with `config.json` and `*.safetensors`, or an id of the hub. Code that
comes with one never runs, and pickled weights are not read here (`raydistill import`).
"""

import json
import math
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raydistill.core.errors import DataError
from raydistill.core.paths import resolve_path
from raydistill.core.serialization import digest
from raydistill.specs.model import HubConfig

NEWEST = "main"
"""The revision of a checkpoint that none was named of."""

LONGEST_CONTEXT = 4096

FLOATS = ("F64", "F32", "F16", "BF16")
"""Weights, by the words of safetensors."""

PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")

_NO_PARAMETERS = re.compile(r"\.(rotary_emb\.inv_freq|attn\.bias|attention\.bias|masked_bias)$")

_BLOCK = re.compile(r"(.*?)\.(\d+)\.")

_DTYPES = {"bfloat16": "bfloat16", "float16": "bfloat16"}


@dataclass(frozen=True, kw_only=True, slots=True)
class HubCheckpoint:
    """What is known of a checkpoint before its weights are read."""

    name: str  # folder or id, as it was asked for
    revision: str
    folder: Path
    model: HubConfig
    precision: str  # "float32", or "bfloat16" where it is kept in half precision

    @property
    def key(self) -> str:
        """Of these files as they are now, to be read with windows of this length."""
        files = sorted([*self.folder.glob("*.safetensors"), self.folder / "config.json"])
        stats = [(f.name, f.stat().st_size, f.resolve().stat().st_mtime_ns) for f in files]
        return digest([stats, self.model.context])


def read_checkpoint(name: str, revision: str, seq_len: int = 0) -> HubCheckpoint:
    """Find a checkpoint, on the hub if it is no folder, and read its config and tensor names.

    Args:
        name: a folder, or an id of the hub.
        revision: of the hub, or a folder within the folder; `main` is the folder itself.
        seq_len: tokens in a training window; 0: the model's own context, at most 4,096.

    Raises:
        DataError: if it is not there, not whole, or would need code or pickles to be read.
    """
    folder = locate(name, revision)
    fields = read_config(folder)
    if not list(folder.glob("*.safetensors")):
        _refuse_without_weights(folder)
    shapes = _shapes(folder)
    return HubCheckpoint(
        name=name,
        revision=revision,
        folder=folder,
        model=_model(folder, fields, shapes, seq_len),
        precision=_DTYPES.get(str(fields.get("dtype") or fields.get("torch_dtype")), "float32"),
    )


def locate(name: str, revision: str = NEWEST, *, pickles: bool = False) -> Path:
    """The local folder of a checkpoint; one of the hub is fetched, safetensors and JSON alone.

    Args:
        name: a folder, or an id of the hub.
        revision: of the hub, or a folder within the folder.
        pickles: whether pickled weights are fetched too; nothing here reads them.

    Raises:
        DataError: if there is none.
    """
    path = resolve_path(name)
    if path.is_dir():
        folder = path if revision == NEWEST else path / revision
        if folder.is_dir():
            return folder.absolute()
        there = ", ".join(_revisions_within(path)) or "none"
        raise DataError(f"no revision {revision!r} in {path.absolute()}: it has {there}")
    if path.is_file():
        raise DataError(f"{path.absolute()} is a file: name the folder with its config.json")
    if (
        path.is_absolute()
        or name.startswith((".", "~"))
        or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name)
    ):
        raise DataError(f"no model at {path.absolute()}: name a folder with a config.json")
    return _fetched(name, revision, PICKLES if pickles else ())


def _fetched(name: str, revision: str, more: Sequence[str]) -> Path:
    """The folder of a checkpoint of the hub in its own cache, fetched if it is not there."""
    from huggingface_hub import snapshot_download  # noqa: PLC0415  (half a second)

    wanted = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", *more]
    try:
        found = snapshot_download(name, revision=revision, allow_patterns=wanted)
    except Exception as error:  # the hub has a dozen kinds, of three libraries
        why = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(
            f"no folder {Path(name).absolute()}, and the hub gave no {name!r} at revision "
            f"{revision!r}: {why}"
        ) from error
    return Path(found)


def _revisions_within(folder: Path) -> list[str]:
    """The checkpoints that lie within a folder, such as `checkpoint-500`; sorted."""
    return sorted(path.parent.name for path in folder.glob("*/config.json"))


def read_config(folder: Path) -> dict[str, Any]:
    """The config.json of a checkpoint.

    Raises:
        DataError: if there is none, it is not JSON, or it brings code along.
    """
    path = folder / "config.json"
    if not path.is_file():
        within = _revisions_within(folder)
        hint = f"; name revisions: --age {','.join(within[:3])}" if within else ""
        raise DataError(f"no config.json in {folder}{hint}")
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON: {error}") from None
    if not isinstance(fields, dict) or not isinstance(fields.get("model_type"), str):
        raise DataError(f"{path} names no model_type")
    if "auto_map" in fields:
        raise DataError(f"{path} has an auto_map: code of its own, which never runs here")
    if "quantization_config" in fields:
        raise DataError(f"{path} is quantised: bring the checkpoint that it was made of")
    return fields


def _refuse_without_weights(folder: Path) -> None:
    for pattern in PICKLES:
        for pickle in sorted(folder.glob(pattern)):
            raise DataError(
                f"{pickle} is pickled, and could run code when it is read: "
                f"raydistill import {folder} --to DIR reads it once, weights only"
            )
    raise DataError(f"no *.safetensors in {folder}")


def _shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Name → shape of every tensor, from the headers of the files."""
    return {
        name: shape
        for path in sorted(folder.glob("*.safetensors"))
        if path.is_file()
        for name, shape in tensor_shapes(path).items()
    }


def tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Name → shape of every tensor of a safetensors file, from its header alone.

    Raises:
        DataError: if the file is shorter or longer than its header says, or has none, or if a
            tensor is not of floats, as those of a quantised model are.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
        if length > size - 8:
            raise DataError(f"{path} has {size} bytes, less than its own header: it is truncated")
        try:
            header: dict[str, Any] = json.loads(file.read(length))
            header.pop("__metadata__", None)
            ends = [entry["data_offsets"][1] for entry in header.values()]
            shapes = {name: tuple(map(int, entry["shape"])) for name, entry in header.items()}
            kinds = {name: str(entry["dtype"]) for name, entry in header.items()}
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            raise DataError(f"{path} has no readable safetensors header") from None
    if size != 8 + length + max(ends, default=0):
        raise DataError(
            f"{path} has {size} bytes, its header says {8 + length + max(ends, default=0)}: "
            "it is truncated or was changed"
        )
    odd = [n for n in sorted(kinds) if kinds[n] not in FLOATS and not _NO_PARAMETERS.search(n)]
    if odd:
        raise DataError(
            f"{len(odd)} tensors in {path} are none of {', '.join(FLOATS)}, the first {odd[0]} "
            f"({kinds[odd[0]]}): quantised weights are not read"
        )
    return shapes


def _model(
    folder: Path, fields: Mapping[str, Any], shapes: Mapping[str, Sequence[int]], seq_len: int
) -> HubConfig:
    num_layers = _field(folder, fields, "num_hidden_layers", "n_layer")
    dim = _field(folder, fields, "hidden_size", "n_embd")
    heads = _field(folder, fields, "num_attention_heads", "n_head")
    own = _optional(fields, "max_position_embeddings", "n_positions") or LONGEST_CONTEXT
    if seq_len > own:
        raise DataError(f"--seq-len {seq_len} is more than the context of {folder}: {own}")
    sizes = {n: math.prod(s) for n, s in shapes.items() if not _NO_PARAMETERS.search(n)}
    if fields.get("tie_word_embeddings"):
        sizes.pop("lm_head.weight", None)
    prefix = _blocks_prefix(folder, shapes, num_layers)
    block = {n: size for n, size in sizes.items() if n.startswith(f"{prefix}.0.")}
    others = sum(size for n, size in sizes.items() if not n.startswith(f"{prefix}."))
    kept = {k: v for k, v in fields.items() if k not in ("_name_or_path", "transformers_version")}
    return HubConfig(
        family="hub",
        num_layers=num_layers,
        dim=dim,
        num_heads=heads,
        vocab_size=_field(folder, fields, "vocab_size"),
        context=seq_len or min(LONGEST_CONTEXT, own),
        config=json.dumps(kept, sort_keys=True),
        block_parameters=sum(block.values()),
        block_products=sum(size for n, size in block.items() if len(shapes[n]) > 1),
        other_parameters=others,
        attention_width=heads * (_optional(fields, "head_dim") or dim // heads),
    )


def _optional(fields: Mapping[str, Any], *names: str) -> int:
    """The first of these fields that is a whole number above 0; 0 if none is."""
    values = [fields[name] for name in names if isinstance(fields.get(name), int)]
    return next((value for value in values if value > 0), 0)


def _field(folder: Path, fields: Mapping[str, Any], *names: str) -> int:
    if value := _optional(fields, *names):
        return value
    raise DataError(
        f"{folder / 'config.json'} has no whole {' or '.join(names)}: "
        f"a {fields['model_type']!r} is no plain list of blocks"
    )


def _blocks_prefix(folder: Path, shapes: Mapping[str, Sequence[int]], num_layers: int) -> str:
    """What stands before the number of a block, such as `model.layers`."""
    found: dict[str, dict[int, dict[str, Sequence[int]]]] = {}
    for name, shape in shapes.items():
        if match := _BLOCK.match(name):
            blocks = found.setdefault(match[1], {})
            blocks.setdefault(int(match[2]), {})[name[match.end() :]] = shape
    if not found:
        raise DataError(f"the tensors in {folder} have no numbered blocks")
    prefix, blocks = max(found.items(), key=lambda each: len(each[1]))
    if set(blocks) != set(range(num_layers)):
        missing = sorted(set(range(num_layers)) - set(blocks))
        more = sorted(set(blocks) - set(range(num_layers)))
        raise DataError(
            f"config.json in {folder} says {num_layers} layers, the weights have {len(blocks)}: "
            f"{_some('missing', missing)}{_some('unexpected', more)}".rstrip(", ")
        )
    for layer, block in blocks.items():
        for name in sorted(set(block) | set(blocks[0])):
            if block.get(name) != blocks[0].get(name):
                raise DataError(
                    f"the blocks of {folder} are not all of one shape, so none can be left out: "
                    f"{prefix}.{layer}.{name} {_against(block.get(name), blocks[0].get(name))}"
                )
    return prefix


def _against(shape: Sequence[int] | None, first: Sequence[int] | None) -> str:
    """How a tensor of a block differs from the first block's."""
    if shape is None:
        return "is missing"
    return f"has the shape {list(shape)}, layer 0 " + (f"{list(first)}" if first else "has none")


def _some(kind: str, layers: Sequence[int]) -> str:
    if not layers:
        return ""
    return f"{len(layers)} {kind} ({', '.join(map(str, layers[:5]))}), "


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadBase:
    """Which base in the store a brought checkpoint became."""

    weights_sha256: str


def read_path(checkpoint: HubCheckpoint) -> tuple[str, str]:
    """Where the store says which base the files of a checkpoint became."""
    return "brought", f"{checkpoint.key}.json"
