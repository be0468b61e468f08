"""Which form a quantised checkpoint is in, by its config alone, and what helps."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

NAMES = ("quantization_config", "compression_config")  # fields of config.json that say so
_FLOATS = ("float-quantized", "naive-quantized", "dense")  # formats of compressed-tensors


@dataclass(frozen=True, kw_only=True, slots=True)
class Form:
    """How the weights of a checkpoint are quantised."""

    method: str  # as transformers names it, such as "fp8"
    words: str  # such as "8-bit floats with a scale for each 128x128 block"
    is_read: bool = False  # whether `raydistill import` makes bfloat16 of it
    block: tuple[int, int] | None = None  # rows and columns that share a scale, where that is said
    needs: tuple[str, ...] = ()  # packages that transformers' own reading needs
    made_of: str = ""  # the checkpoint that it was made of, where the config names it


def form_of(fields: Mapping[str, Any]) -> Form | None:
    """The form of the checkpoint with these fields of config.json; None if it is not quantised."""
    settings = next(_quantisations(fields), None)
    if settings is None:
        return None
    method = str(settings.get("quant_method") or settings.get("quant_algo") or "unknown method")
    if method in ("fp8", "mxfp8"):
        block = _pair(settings.get("weight_block_size"))
        return Form(method=method, words=_eight(block), is_read=True, block=block,
                    needs=("accelerate",))  # fmt: skip
    if method == "mxfp4":
        is_read = fields.get("model_type") == "gpt_oss"  # of others transformers reads none
        words = "MXFP4: 4-bit floats with a power of two for each 32 values"
        return Form(method=method, words=words, is_read=is_read, made_of=_made_of(fields))
    if method == "compressed-tensors":
        return _compressed(settings, fields)
    return Form(method=method, words=_words(method, settings), made_of=_made_of(fields))


def without_quantisation(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of config.json without what they say of quantisation, also in their parts."""
    return {
        name: without_quantisation(value) if isinstance(value, dict) else value
        for name, value in fields.items()
        if name not in NAMES
    }


def _quantisations(fields: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """What a config says of quantisation, itself and in its parts, such as `text_config`."""
    for part in (fields, *(value for value in fields.values() if isinstance(value, dict))):
        for name in NAMES:
            if isinstance(part.get(name), dict) and part[name]:
                yield part[name]


def _compressed(settings: Mapping[str, Any], fields: Mapping[str, Any]) -> Form:
    """A form of the package compressed-tensors, which may have several within a checkpoint."""
    groups = settings.get("config_groups")
    groups = list(groups.values()) if isinstance(groups, dict) else []
    weights = [g["weights"] for g in groups if isinstance(g, dict) and g.get("weights")]
    formats = {str(g.get("format") or settings.get("format")) for g in groups}
    method, needs = "compressed-tensors", ("compressed-tensors",)
    kinds = {(w.get("type"), w.get("num_bits"), bool(w.get("symmetric", True))) for w in weights}
    if formats <= set(_FLOATS) and kinds == {("float", 8, True)}:
        block = _pair(weights[0].get("block_structure"))
        return Form(method=method, words=_eight(block), is_read=True, block=block, needs=needs)
    if formats == {"pack-quantized"} and kinds in ({("int", 4, True)}, {("int", 8, True)}):
        bits, size = weights[0]["num_bits"], weights[0].get("group_size")
        one = f"{size} values" if isinstance(size, int) and size > 0 else "row"
        words = f"{bits}-bit integers with a scale for each {one}"
        is_ordered = any(w.get("actorder") for w in weights)
        return Form(method=method, words=words, is_read=not is_ordered, needs=needs,
                    made_of=_made_of(fields))  # fmt: skip
    words = f"compressed-tensors, {' and '.join(sorted(formats)) or 'of no format'}"
    return Form(method=method, words=words, made_of=_made_of(fields))


def _eight(block: tuple[int, int] | None) -> str:
    one = f"{block[0]}x{block[1]} block" if block else "tensor or row"
    return f"8-bit floats with a scale for each {one}"


def _words(method: str, settings: Mapping[str, Any]) -> str:
    bits = next((settings[n] for n in ("bits", "w_bit", "nbits") if settings.get(n)), None)
    if method == "bitsandbytes":
        bits = 4 if settings.get("load_in_4bit") else 8
    return f"{method}, {bits} bits" if bits else method


def _made_of(fields: Mapping[str, Any]) -> str:
    name = fields.get("_name_or_path")
    return name if isinstance(name, str) else ""


def _pair(value: object) -> tuple[int, int] | None:
    if isinstance(value, list) and len(value) == 2 and all(isinstance(n, int) for n in value):
        return (value[0], value[1]) if min(value) > 0 else None
    return None
