"""What a plan says of teachers: those of another model, and what is cached of any."""

from collections.abc import Iterator, Sequence

from raydistill.core.text.redaction import without_tokens
from raydistill.core.units import format_bytes, format_flops
from raydistill.planning.cell import BaseRequest, Cell, teachers_beside
from raydistill.specs.flops import forward_flops_per_token, parameters

WEIGHT_BYTES = 4  # of a parameter: a teacher's weights are float32 too


def teachers_text(cells: Sequence[Cell]) -> str:
    """Each teacher that is another model than its students' base, with its memory and its price.

    Empty if all teachers are bases of the students' own.
    """
    return "; ".join(map(_text, teachers_beside(cells)))


def _text(teacher: BaseRequest) -> str:
    model, place = teacher.scale.model, without_tokens(teacher.scale.brought)
    return (
        f"{teacher.name}{f' ({place})' if place else ''}, "
        f"{format_bytes(WEIGHT_BYTES * parameters(model))} of weights on its device, "
        f"{format_flops(forward_flops_per_token(model))} FLOPs a token"
    )


def cached_sentence(needed_bytes: int, cache_gb: float) -> Iterator[str]:
    """The disk space of cached teachers, and its cap; nothing where none is cached."""
    if needed_bytes:
        cap = f"cap {cache_gb:g} GB (--cache-gb)"
        if needed_bytes > 1e9 * cache_gb:
            cap = f"over the cap of {cache_gb:g} GB: raise --cache-gb, or write less of each token"
        yield f"Cached teachers: at most {format_bytes(needed_bytes)} in the storage, {cap}."
