"""Scores in the store: of weights, of trials that stopped at a rung, of cuts without training."""

from collections.abc import Sequence
from typing import NamedTuple

from raydistill.evaluation.document_split import half
from raydistill.evaluation.scoring import (
    kept_documents,
    loss_key,
    requested_scores,
    scores_from,
)
from raydistill.specs.corpus import CorpusInfo
from raydistill.specs.evaluation import EvalSpec
from raydistill.specs.results import Documents, Scores, UnitScores
from raydistill.specs.trial import TrialSpec
from raydistill.storage.store import Store


class Measured(NamedTuple):
    """The scores of some weights, over all documents and by document."""

    scores: Scores
    documents: Documents


def measured(
    weights_sha256: str, corpus_sha256: str, evaluation: EvalSpec, store: Store
) -> Measured | None:
    """The scores of some weights, or None unless all of `evaluation` was measured."""
    corpus = store.load(CorpusInfo, "corpora", corpus_sha256, "corpus.json")
    if corpus is None:
        return None
    documents = kept_documents(weights_sha256, store=store, corpus=corpus, spec=evaluation)
    if documents.keys() != set(requested_scores(evaluation)):
        return None
    return Measured(scores_from(weights_sha256, documents), documents)


def rung_path(spec: TrialSpec, tokens: int, evaluation: EvalSpec, store: Store) -> tuple[str, ...]:
    """The store key of the held-out nats of a trial that stopped at `tokens`."""
    key = _nll_key(spec.train.corpus_sha256, evaluation, store)
    return ("trials", spec.trial_id, "rungs", f"{tokens}-{key}.json")


def cut_path(
    weights_sha256: str,
    layers: Sequence[int],
    corpus_sha256: str,
    evaluation: EvalSpec,
    store: Store,
) -> tuple[str, ...]:
    """The store key of the held-out nats of a base without `layers`, before any training."""
    key = _nll_key(corpus_sha256, evaluation, store)
    return ("cuts", weights_sha256, "-".join(map(str, sorted(layers))), f"{key}.json")


def selection_nll(store_key: tuple[str, ...], store: Store) -> float | None:
    """Nats per token on the documents to select on; None if the store has none under that key."""
    nll = store.load(UnitScores, *store_key)
    return None if nll is None else half(nll, "selection", nll.units).value


def _nll_key(corpus_sha256: str, evaluation: EvalSpec, store: Store) -> str:
    corpus = store.load(CorpusInfo, "corpora", corpus_sha256, "corpus.json")
    assert corpus is not None, "nothing is measured before there is text"
    return loss_key(corpus, evaluation)
