"""The fields of a config that speak of single layers, by name, and what they are without some.

A list that merely has as many entries as the model has layers is none of them: fields are known
by name, as the config classes of transformers use them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from raydistill.core.errors import DataError

Fields = Mapping[str, Any]
Item = TypeVar("Item")

PER_LAYER = frozenset(
    {
        "activation_sparsity_pattern", "attention_layers", "attention_window", "attn_layers",
        "compress_ratios", "hybrid_override_pattern", "indexer_types", "intermediate_size",
        "kv_sharing_modes", "layer_rope_theta", "layer_types", "layers_block_type",
        "layers_num_experts", "mlp_layer_types", "moe_intermediate_size", "moe_topk",
        "no_rope_layers", "num_attention_heads_per_layer", "num_experts",
        "num_key_value_heads_per_layer", "num_shared_expert", "sliding_windows", "swiglu_limits",
        "swiglu_limits_shared",
    }
)  # fmt: skip
"""A value per layer, where the field is a list (or a text) at all."""

NUMBERS = frozenset(
    {
        "attn_layer_indices", "cross_attention_layers", "full_attn_idxs", "hybrid_layer_ids",
        "mlp_only_layers", "moe_layers", "rope_scaling_layers",
    }
)  # fmt: skip
"""Numbers of layers, in a list of any length."""

NUMBERS_FROM_ONE = frozenset(("ple_layer_ids",))
FIRST = frozenset(("first_k_dense_replace", "num_dense_layers"))  # so many layers at the beginning
BY_NUMBER = frozenset(("per_layer_config",))  # dicts


BY_THEIR_NUMBER = {
    "beam": "layers weigh what they add by their number, which no field says",
}
"""Types of which only the last layers can leave, and why."""

NEVER = {
    "blt": "encoder_config, global_config, decoder_config: it is three models of bytes and patches",
    "hrm_text": "num_layers_per_stack: its two stacks run in turn, H_cycles and L_cycles times",
    "inkling2_text": "n_layers_per_attn_res_block: layers read earlier ones by their number",
    "gemma4_assistant": "num_kv_shared_layers: it has the keys and values of another model",
    "gemma4_unified_assistant": "num_kv_shared_layers: it has the keys and values of another model",
    "xlm": "n_layers: transformers keeps its layers' parts in four lists, and has no blocks",
}
"""Types that cannot lose layers, whichever, each with the field that it is about and why."""


class CannotLeaveError(DataError):
    """Layers that no value of a config's field can say to have left."""


def fields_without(fields: Fields, count: int, kept: Sequence[int]) -> dict[str, Any]:
    """What a config's fields become when only the layers `kept` of `count` stay; others stay.

    Raises:
        CannotLeaveError: naming the field, if it can have no right value.
    """
    changed: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, list | tuple | str) and name in PER_LAYER and len(value) == count:
            values = [value[layer] for layer in kept]
            changed[name] = "".join(values) if isinstance(value, str) else values
        elif isinstance(value, list | tuple) and name in NUMBERS | NUMBERS_FROM_ONE:
            first = int(name in NUMBERS_FROM_ONE)
            changed[name] = [new + first for new, old in enumerate(kept) if old + first in value]
        elif isinstance(value, int) and name in FIRST:
            changed[name] = sum(layer < value for layer in kept)
        elif isinstance(value, dict) and name in BY_NUMBER:
            by_number = {int(layer): more for layer, more in value.items()}
            changed[name] = {n: by_number[old] for n, old in enumerate(kept) if old in by_number}
    for rule in _RULES:
        changed |= rule(fields, count, kept)
    return changed


def _sparse_step(fields: Fields, count: int, kept: Sequence[int]) -> dict[str, Any]:
    """Every so many layers are sparse, but for some: all are, but for more."""
    step = fields.get("decoder_sparse_step")
    if not isinstance(step, int) or step < 2:
        return {}
    only = fields.get("mlp_only_layers") or ()
    dense = [new for new, old in enumerate(kept) if old in only or (old + 1) % step]
    return {"decoder_sparse_step": 1, "mlp_only_layers": dense}


def _cycle(fields: Fields, count: int, kept: Sequence[int]) -> dict[str, Any]:
    """Kinds in turn: the kinds that stay, in full."""
    kinds = fields.get("block_types")
    return {"block_types": [kinds[layer % len(kinds)] for layer in kept]} if kinds else {}


def _runs(fields: Fields, count: int, kept: Sequence[int]) -> dict[str, Any]:
    """GPT-Neo's kinds, with how often they follow each other."""
    if "attention_types" not in fields:
        return {}
    kinds = [kind for kinds, n in fields["attention_types"] for _ in range(n) for kind in kinds]
    stay = [kinds[layer] for layer in kept]
    return {"attention_types": [[[kind], 1] for kind in stay]}


def _periods(fields: Fields, count: int, kept: Sequence[int]) -> dict[str, Any]:
    """Jamba's: of every `period` layers the one at `offset`."""
    if "layers_block_type" in fields and "expert_layer_period" not in fields:
        return {}  # Zamba's say nothing beside the list
    changed: dict[str, Any] = {}
    for kind in ("attn", "expert"):
        period, offset = (fields.get(f"{kind}_layer_{word}") for word in ("period", "offset"))
        if not isinstance(period, int) or not isinstance(offset, int):
            continue
        stay = [layer % period == offset for layer in kept]
        pairs = ((p, o) for p in [period, *range(1, len(kept) + 2)] for o in range(p))
        pair = _first(pairs, stay, lambda po, layer: layer % po[0] == po[1])
        if pair is None:
            raise CannotLeaveError(
                f"{kind}_layer_period and {kind}_layer_offset cannot say that "
                f"{_where(stay)} of those that stay are {_KINDS[kind]}"
            )
        changed |= {f"{kind}_layer_period": pair[0], f"{kind}_layer_offset": pair[1]}
    return changed


_KINDS = {"attn": "attention", "expert": "experts"}


def _interval(fields: Fields, count: int, kept: Sequence[int]) -> dict[str, Any]:
    """ERNIE's: every so many layers from a first to a last one."""
    names = [f"moe_layer_{word}" for word in ("interval", "start_index", "end_index")]
    if not all(isinstance(fields.get(name), int) for name in names):
        return {}
    interval, start, end = (fields[name] for name in names)
    end = count - 1 if end == -1 else end

    def sparse(values: tuple[int, int, int], layer: int) -> bool:
        return (layer + 1) % values[0] == 0 and values[1] <= layer <= values[2]

    stay = [sparse((interval, start, end), layer) for layer in kept]
    first = stay.index(True) if any(stay) else len(kept)
    last = len(kept) - 1 - stay[::-1].index(True) if any(stay) else len(kept)
    values = ((step, first, last) for step in range(1, len(kept) + 1))
    if (chosen := _first(values, stay, sparse)) is None:
        raise CannotLeaveError(
            f"{names[0]} cannot say that {_where(stay)} of those that stay are experts"
        )
    return dict(zip(names, chosen, strict=True))


def _shared_blocks(fields: Fields, count: int, kept: Sequence[int]) -> dict[str, Any]:
    """Zamba's hybrid layers are one block or a few in turn, whose weights the first ones hold."""
    kinds = fields.get("layers_block_type") or ()
    if "hybrid" not in kinds:
        return {}
    hybrids = [layer for layer, kind in enumerate(kinds) if kind == "hybrid"]
    if fields.get("model_type") == "zamba2" and (gone := sorted(set(hybrids) - set(kept))):
        raise CannotLeaveError(
            f"layers_block_type: the hybrid layers {_numbers(hybrids)} share blocks with adapters "
            f"by their order; {_numbers(gone)} must stay"
        )
    stay = [layer for layer in hybrids if layer in kept]
    if fields.get("model_type") == "zamba" and (stay[:1] != hybrids[:1] or len(stay) < 2):
        raise CannotLeaveError(
            f"layers_block_type: the hybrid layer {hybrids[0]}, which holds the weights of all, "
            "and another one must stay"
        )
    return {}


def _by_their_number(fields: Fields, count: int, kept: Sequence[int]) -> dict[str, Any]:
    why = BY_THEIR_NUMBER.get(str(fields.get("model_type")))
    if why and list(kept) != list(range(len(kept))):
        raise CannotLeaveError(f"{why}; only the last ones can leave")
    return {}


def _shared_keys(fields: Fields, count: int, kept: Sequence[int]) -> dict[str, Any]:
    """Gemma's last layers have the keys and values of the last of their kind before them."""
    shared = fields.get("num_kv_shared_layers")
    kinds = fields.get("layer_types")
    if not isinstance(shared, int) or not shared or not kinds:
        return {}
    first = count - shared
    for kind in {kinds[layer] for layer in kept if layer >= first}:
        source = max(layer for layer in range(first) if kinds[layer] == kind)
        if source not in kept:
            raise CannotLeaveError(
                f"num_kv_shared_layers {shared}: layer {source} has the keys and values of every "
                f"later {kind}, and must stay"
            )
    return {"num_kv_shared_layers": sum(layer >= first for layer in kept)}


def _last_full(fields: Fields, count: int, kept: Sequence[int]) -> dict[str, Any]:
    """Gemma 4's config makes its last layer one of full attention."""
    kinds = fields.get("layer_types") or ()
    gemma4 = str(fields.get("model_type")).startswith("gemma4")
    if gemma4 and kinds and kinds[kept[-1]] != "full_attention":
        raise CannotLeaveError("layer_types: the last layer that stays must be full_attention")
    return {}


def _full_attention(fields: Fields, count: int, kept: Sequence[int]) -> dict[str, Any]:
    """OLMo needs a layer of full attention, as do Qwen's and LFM's caches: they count there."""
    kinds = fields.get("layer_types") or ()
    model_type = str(fields.get("model_type"))
    if not model_type.startswith(("qwen3_next", "qwen3_5", "olmo_hybrid", "lfm2")):
        return {}
    full = [n for n, kind in enumerate(kinds) if kind == "full_attention"]
    name = "layer_types" if kinds else "full_attn_idxs"
    full = full or fields.get("full_attn_idxs") or []
    if full and not set(full) & set(kept):
        raise CannotLeaveError(f"{name}: a layer of full_attention must stay")
    return {}


def _shared_indexers(fields: Fields, count: int, kept: Sequence[int]) -> dict[str, Any]:
    """Layers with a shared indexer have that of the last full one before them."""
    kinds = fields.get("indexer_types") or ()
    if len(kinds) != count:
        return {}
    for layer in kept:
        source = next((n for n in range(layer, -1, -1) if kinds[n] != "shared"), layer)
        if source not in kept:
            raise CannotLeaveError(
                f"indexer_types: layer {layer} shares the indexer of {source}, which must stay"
            )
    return {}


def _twice(fields: Fields, count: int, kept: Sequence[int]) -> dict[str, Any]:
    """LongCat's layers have two attentions, which its other depth counts."""
    twice = fields.get("num_layers") == count and fields.get("num_hidden_layers") == 2 * count
    return {"num_hidden_layers": 2 * len(kept)} if twice else {}


def _residual_scale(fields: Fields, count: int, kept: Sequence[int]) -> dict[str, Any]:
    """MiniCPM's residuals are scaled by this over the square root of the depth."""
    scale = fields.get("scale_depth")
    if fields.get("model_type") != "minicpm3" or not isinstance(scale, int | float):
        return {}
    return {"scale_depth": scale * (len(kept) / count) ** 0.5}


_RULES: tuple[Callable[[Fields, int, Sequence[int]], dict[str, Any]], ...] = (
    _sparse_step, _cycle, _runs, _periods, _interval, _by_their_number, _shared_blocks,
    _shared_keys, _last_full, _full_attention, _shared_indexers, _twice, _residual_scale,
)  # fmt: skip


def _first(
    candidates: Iterable[Item], pattern: Sequence[bool], holds: Callable[[Item, int], bool]
) -> Item | None:
    """The first candidate that holds for just those layers."""
    fit = (c for c in candidates if all(holds(c, n) == on for n, on in enumerate(pattern)))
    return next(fit, None)


def _numbers(layers: Sequence[int]) -> str:
    return ", ".join(map(str, layers))


def _where(pattern: Sequence[bool]) -> str:
    return ", ".join(str(n) for n, on in enumerate(pattern) if on) or "none"
