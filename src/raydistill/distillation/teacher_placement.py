"""Where a trial's teacher is: on the student's devices, on devices of its own, or in the store.

On the student's devices there is a copy on each, or one sharded over them. These change what a
trial costs, not its result. A cached teacher is an excerpt of each answer in the store, which
changes the result, and so is part of the trial's id.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from raydistill.core.errors import UsageError, unknown
from raydistill.core.parts import EXCERPT, part_names
from raydistill.distillation.loss_file import WHOLE
from raydistill.distillation.loss_name import feature_weights, loss_file

AUTO, SAME_DEVICE, SHARDED = "auto", "same-device", "sharded"
OWN_DEVICES, CACHED = "own-devices", "cached"
PLACEMENTS = (AUTO, SAME_DEVICE, SHARDED, OWN_DEVICES, CACHED)
MAX_IDS = 65_535  # of a token; their number is written in 16 bits
DEFAULT_EXCERPT = "threshold=320"  # the cheapest with 1 % error at most (docs/teacher-cache.md)


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """What an excerpt writes in addition to ids and log-probabilities (`answer_files.py`)."""

    counts: bool = False  # of each id; then the number of ids varies by token
    scalar: bool = False  # one per token

    def bytes_per_token(self, size: int, vocab_size: int) -> int:
        """Bytes on disk per token; with counts, at most."""
        entry = id_bytes(vocab_size) + 2 + (count_bytes(size) if self.counts else 0)
        return min(size, vocab_size) * entry + 2 * self.scalar + 2 * self.counts

    def window_bytes(self, size: int, vocab_size: int, context: int) -> int:
        """Bytes on disk of a window of `context` tokens, with its number."""
        return context * self.bytes_per_token(size, vocab_size) + 8


LAYOUTS: Mapping[str, Layout] = {  # by form, so that a plan is priced without torch
    "top-k": Layout(),
    "top-k-tail": Layout(scalar=True),
    "threshold": Layout(scalar=True),
    "sampled": Layout(counts=True),
}


def layout_of(form: str) -> Layout:
    """The layout of a form of excerpt; of an unlisted one, the largest that any may have."""
    return LAYOUTS.get(form, Layout(counts=True, scalar=True))


def id_bytes(vocab_size: int) -> int:
    """Bytes of an id: 2 for up to 65,536 ids, else 4."""
    return 2 if vocab_size <= 1 << 16 else 4


def count_bytes(size: int) -> int:
    """Bytes of a count: 1 for up to 255 draws, else 2 (up to 65,535)."""
    return 1 if size < 1 << 8 else 2


def check_placement(placement: str, losses: Iterable[str]) -> None:
    """Check that a placement exists and that every loss works with it.

    Raises:
        UsageError: naming the placements, or the loss that does not.
    """
    kind, _, excerpt = placement.partition(":")
    if kind not in PLACEMENTS or (excerpt and kind != CACHED):
        raise UsageError(unknown("teacher placement", placement, PLACEMENTS))
    for loss in sorted(set(losses)):
        terms = feature_weights(loss)
        if kind == CACHED and loss_file(loss).teacher == WHOLE:
            raise UsageError(
                f"loss {loss!r} asks for all of the teacher's distribution, and a cached teacher "
                f"keeps some ids of it: --teacher-placement {AUTO}"
            )
        if terms and kind in (SHARDED, OWN_DEVICES, CACHED):
            raise UsageError(
                f"loss {loss!r} looks inside the teacher ({', '.join(terms)}): "
                f"it must stand whole on the student's device, --teacher-placement {SAME_DEVICE}"
            )


def excerpt_of(placement: str) -> str:
    """The excerpt of a cached teacher, of `cached:FORM=SIZE`; empty for an online one.

    Raises:
        UsageError: if there is no such form, or its size is out of range.

    >>> excerpt_of("cached:top-k-tail=32"), excerpt_of("auto")
    ('top-k-tail=32', '')
    """
    kind, _, excerpt = placement.partition(":")
    if kind != CACHED:
        return ""
    if not excerpt:
        return DEFAULT_EXCERPT
    parse_excerpt(excerpt)
    return excerpt


def parse_excerpt(excerpt: str) -> tuple[str, int]:
    """The form of an excerpt and its number of ids per token.

    Raises:
        UsageError: if there is no such form, or its size is out of range.
    """
    form, _, size = excerpt.partition("=")
    forms = part_names(EXCERPT)
    if form not in forms:
        raise UsageError(unknown("excerpt", form, forms))
    if not size.isdecimal() or not 1 <= int(size) <= MAX_IDS:
        raise UsageError(f"excerpt {excerpt!r}: write {form}=SIZE, from 1 to {MAX_IDS:,} ids")
    return form, int(size)
