"""Where the teacher of a trial stands: beside the student, on devices of its own, or in the store.

Beside the student there is a copy on each of its devices, or one in shards over them. All but the
last change what a trial costs, not what comes out. Of a cached teacher an excerpt of
each answer is kept, which changes the bits, and so is part of a trial's identity.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from raydistill.core.errors import UsageError, unknown
from raydistill.core.parts import EXCERPT, part_names
from raydistill.distillation.loss_name import feature_weights

AUTO, SAME_DEVICE, SHARDED = "auto", "same-device", "sharded"

OWN_DEVICES, CACHED = "own-devices", "cached"

PLACEMENTS = (AUTO, SAME_DEVICE, SHARDED, OWN_DEVICES, CACHED)

MOST_IDS = 65_535  # their number is written in 16 bits

DEFAULT_EXCERPT = "threshold=320"
"""The cheapest that was measured to err by no more than 1 % (docs/teacher-cache.md)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """What a form of excerpt writes beside ids and log-probabilities (`answer_files.py`)."""

    counts: bool = False  # of each id; then tokens differ in how many ids they have
    scalar: bool = False  # one a token

    def bytes_per_token(self, size: int, vocab_size: int) -> int:
        """What a token takes on disk; with counts, at most."""
        entry = id_bytes(vocab_size) + 2 + (count_bytes(size) if self.counts else 0)
        return min(size, vocab_size) * entry + 2 * self.scalar + 2 * self.counts

    def window_bytes(self, size: int, vocab_size: int, context: int) -> int:
        """What a window of `context` tokens takes on disk, its number too."""
        return context * self.bytes_per_token(size, vocab_size) + 8


LAYOUTS: Mapping[str, Layout] = {
    "top-k": Layout(),
    "top-k-tail": Layout(scalar=True),
    "threshold": Layout(scalar=True),
    "sampled": Layout(counts=True),
}
"""By form, so that a plan can be priced without torch."""


def layout_of(form: str) -> Layout:
    """The layout of a form of excerpt; of one that is not listed, the most that any may write."""
    return LAYOUTS.get(form, Layout(counts=True, scalar=True))


def id_bytes(vocab_size: int) -> int:
    """2 for up to 65,536 ids, else 4."""
    return 2 if vocab_size <= 1 << 16 else 4


def count_bytes(size: int) -> int:
    """1 for up to 255 draws, else 2 (up to 65,535)."""
    return 1 if size < 1 << 8 else 2


def check_placement(placement: str, losses: Iterable[str]) -> None:
    """Refuse a placement that does not exist, or that the losses cannot be had with.

    Raises:
        UsageError: naming those there are, or the loss.
    """
    where, _, excerpt = placement.partition(":")
    if where not in PLACEMENTS or (excerpt and where != CACHED):
        raise UsageError(unknown("teacher placement", placement, PLACEMENTS))
    for loss in sorted(set(losses)):
        terms = feature_weights(loss)
        if terms and where in (SHARDED, OWN_DEVICES, CACHED):
            raise UsageError(
                f"loss {loss!r} looks inside the teacher ({', '.join(terms)}): "
                f"it must stand whole on the student's device, --teacher-placement {SAME_DEVICE}"
            )


def excerpt_of(placement: str) -> str:
    """What is cached of a teacher, `cached:FORM=SIZE`; empty where it is asked itself.

    Raises:
        UsageError: if there is no such form, or its size is out of range.

    >>> excerpt_of("cached:top-k-tail=32"), excerpt_of("auto")
    ('top-k-tail=32', '')
    """
    where, _, excerpt = placement.partition(":")
    if where != CACHED:
        return ""
    if not excerpt:
        return DEFAULT_EXCERPT
    parse_excerpt(excerpt)
    return excerpt


def parse_excerpt(excerpt: str) -> tuple[str, int]:
    """The form of an excerpt and how many ids it takes of a token.

    Raises:
        UsageError: if there is no such form, or its size is out of range.
    """
    form, _, size = excerpt.partition("=")
    forms = part_names(EXCERPT)
    if form not in forms:
        raise UsageError(unknown("excerpt", form, forms))
    if not size.isdecimal() or not 1 <= int(size) <= MOST_IDS:
        raise UsageError(f"excerpt {excerpt!r}: write {form}=SIZE, from 1 to {MOST_IDS:,} ids")
    return form, int(size)
