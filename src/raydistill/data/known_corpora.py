"""The corpora that scales read, as far as they are in the package or the store.

Nothing heavy is imported: plans use it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from raydistill.core.errors import DataError
from raydistill.data.corpus.preparation import find_corpus
from raydistill.data.corpus.request import corpus_request, scales_by_text
from raydistill.specs.corpus import PLAIN, CorpusInfo
from raydistill.specs.scale import Scale, load_scale
from raydistill.storage.bundled import ShippedBases, shipped_bases
from raydistill.storage.store import Store


@dataclass(frozen=True, kw_only=True, slots=True)
class CorpusId:
    """The hashes that identify a tokenised corpus."""

    corpus_sha256: str
    tokenizer_sha256: str


# stands for a corpus that is not tokenised yet
UNTOKENISED = CorpusId(corpus_sha256="untokenised", tokenizer_sha256="untokenised")


def corpus_id(scale: Scale, store: Store) -> CorpusId:
    """The corpus a scale trains on, or `UNTOKENISED` until it has been made.

    Raises:
        DataError: if it is not the scale's own, and its text is missing.
    """
    return _shared_id([scale], store)


def corpora_of(scales: Sequence[Scale], store: Store) -> dict[str, CorpusId]:
    """The corpora of scales by name; no text is taken for another before it is made.

    Raises:
        DataError: as `corpus_id`.
    """
    corpora: dict[str, CorpusId] = {}
    for number, alike in enumerate(scales_by_text(scales)):
        known = _shared_id(alike, store)
        if number and known == UNTOKENISED:
            known = replace(known, corpus_sha256=f"{known.corpus_sha256} {number}")
        corpora |= dict.fromkeys((own.name for own in alike), known)
    return corpora


def _shared_id(scales: Sequence[Scale], store: Store) -> CorpusId:
    """`corpus_id` of scales with the same text, by that of the first and what ships for any."""
    corpus: CorpusInfo | ShippedBases | None = None
    try:
        corpus = find_corpus(corpus_request(scales[0]), store)
    except DataError:
        if not _has_own_text(scales[0]):
            raise  # the user named it; without a scale's own text a plan can still be shown
    if corpus is None:
        shipped = (bases for own in filter(_has_own_text, scales) for bases in shipped_bases(own))
        corpus = next(shipped, None)
    if corpus is None:
        return UNTOKENISED
    return CorpusId(corpus_sha256=corpus.corpus_sha256, tokenizer_sha256=corpus.tokenizer_sha256)


def _has_own_text(scale: Scale) -> bool:
    """Whether corpus, tokenizer and held-out text are those that the scale defines."""
    if scale.brought or scale.tokenizer or scale.heldout or scale.words or scale.text_form != PLAIN:
        return False
    return scale.corpus == load_scale(scale.name).corpus
