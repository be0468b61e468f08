"""Which tensors of a checkpoint's files are its language model's blocks."""

import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from raydistill.core.errors import DataError
from raydistill.models.huggingface.safetensors_header import Shapes
from raydistill.models.huggingface.shape.dimensions import DEPTH, dimension

Block = Mapping[str, Sequence[int]]  # the shapes of its tensors, by their names within it

_NAMED = 5  # layers in a message
_BLOCK = re.compile(r"(.*?)\.(\d{1,9})\.")
_MORE_TOKENS = re.compile(r"(^|\.)mtp\.")
_BESIDE = re.compile(r"(^|\.)(global_mean|global_invstd)$")  # buffers of towers
_NO_TEXT = re.compile(r"vision|visual|audio|image|speech|talker|token2wav|(^|\.)mtp\b")


def read_blocks(
    folder: Path, shapes: Shapes, fields: Mapping[str, Any]
) -> tuple[str, dict[int, Block]]:
    """The blocks of a language model, and their tensors' names up to their number.

    Args:
        folder: for messages.
        shapes: of all tensors.
        fields: of the language model's config; where they do not say how many layers there are,
            the tensors do.

    Raises:
        DataError: if there are not so many blocks.
    """
    lists = block_lists(shapes)
    if not lists:
        raise DataError(f"the tensors in {folder} have no numbered blocks")
    extra = dimension(fields, ("num_nextn_predict_layers",))  # transformers drops them
    lengths = {len(blocks) for blocks in lists.values()}
    depths = [depth for name in DEPTH if (depth := dimension(fields, (name,)))]
    num_layers = next((n for n in depths if {n, n + extra} & lengths), depths[0] if depths else 0)

    def fits(name: str) -> tuple[bool, bool, int]:
        length = len(lists[name])
        return length in (num_layers, num_layers + extra), "encoder" not in name, length

    prefix = max(lists, key=fits)
    blocks = lists[prefix]
    num_layers = num_layers or len(blocks)
    more = sorted(layer for layer in blocks if layer >= num_layers)
    num_missing = num_layers - (len(blocks) - len(more))
    if more == list(range(num_layers, num_layers + extra)):
        more = []
    if more or num_missing:
        absent = (layer for layer in itertools.count() if layer not in blocks)
        missing = list(itertools.islice(absent, min(num_missing, _NAMED)))
        raise DataError(
            f"config.json in {folder} says {num_layers} layers, the weights have {len(blocks)}: "
            f"{_counted('missing', missing, num_missing)}"
            f"{_counted('unexpected', more, len(more))}".rstrip(", ")
        )
    return prefix, {layer: blocks[layer] for layer in range(num_layers)}


def block_lists(shapes: Shapes) -> dict[str, dict[int, dict[str, Sequence[int]]]]:
    """The numbered lists of tensors by their prefix, without those of towers for other senses."""
    lists: dict[str, dict[int, dict[str, Sequence[int]]]] = {}
    for name, shape in shapes.items():
        if (match := _BLOCK.match(name)) and not _NO_TEXT.search(match[1]):
            blocks = lists.setdefault(match[1], {})
            blocks.setdefault(int(match[2]), {})[name[match.end() :]] = shape
    return lists


def refuse_unlike(folder: Path, prefix: str, blocks: Mapping[int, Block]) -> None:
    """Refuse blocks that are not all of one shape.

    Raises:
        DataError: naming the first tensor that is not as in layer 0.
    """
    for layer, block in blocks.items():
        for name in sorted(set(block) | set(blocks[0])):
            if block.get(name) != blocks[0].get(name):
                raise DataError(
                    f"the blocks of {folder} are not all of one shape, which its config.json does "
                    f"not say: {prefix}.{layer}.{name} "
                    f"{_difference(block.get(name), blocks[0].get(name))}"
                )


def is_of_tower(name: str) -> bool:
    """Whether a tensor beside the blocks is for images or sound."""
    return bool(_NO_TEXT.search(name) or "multi_modal" in name)


def is_dropped(name: str, model_type: str) -> bool:
    """Whether transformers' decoder of that type leaves a tensor in its file unread."""
    text_only = model_type in ("qwen3_5", "qwen3_5_moe")
    return bool(
        _MORE_TOKENS.search(name) or _BESIDE.search(name) or (text_only and _NO_TEXT.search(name))
    )


def _difference(shape: Sequence[int] | None, first: Sequence[int] | None) -> str:
    if shape is None:
        return "is missing"
    return f"has the shape {list(shape)}, layer 0 " + (f"{list(first)}" if first else "has none")


def _counted(kind: str, layers: Sequence[int], count: int) -> str:
    return f"{count} {kind} ({', '.join(map(str, layers[:_NAMED]))}), " if layers else ""
