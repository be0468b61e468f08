"""What a plan says of lengths: perplexity's windows, what is read of tasks, what is truncated."""

from raydistill.evaluation.scoring import kept_documents
from raydistill.planning.cell import bases_of
from raydistill.planning.prepared import PreparedSweep
from raydistill.specs.corpus import CorpusInfo
from raydistill.specs.results import Truncation


def lengths_text(prepared: PreparedSweep) -> str:
    """Tokens of a window of perplexity and of what is read of a task, and items that are longer.

    Items are counted once a base is measured.
    """
    scale = prepared.plan.scale
    tokens = scale.evaluation.tokens_read(scale.model)
    longer = [
        f"{t.truncated} of {t.items} of {name}"
        for name, t in sorted(_truncations(prepared).items())
        if t.truncated
    ]
    lost = f"; longer items lose their beginning ({', '.join(longer)})" if longer else ""
    return (
        f"perplexity in {scale.evaluation.heldout_windows} windows of {scale.model.context:,} "
        f"tokens, tasks up to {tokens:,} tokens{lost}"
    )


def _truncations(prepared: PreparedSweep) -> dict[str, Truncation]:
    """By task, as counted when a base was measured."""
    store, artifacts = prepared.store, prepared.artifacts
    corpus = store.load(CorpusInfo, "corpora", artifacts.corpus.corpus_sha256, "corpus.json")
    if corpus is None:
        return {}
    return {
        name: scores.truncation
        for base in bases_of(prepared.plan.cells)
        if base.key in artifacts.bases
        for name, scores in kept_documents(
            artifacts.bases[base.key].weights_sha256,
            store=store,
            corpus=corpus,
            spec=base.scale.evaluation,
        ).items()
        if not isinstance(scores.truncation, str)
    }
