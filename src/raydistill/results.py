"""What the store holds of trials and bases, as plain values; reading it needs no torch."""

from typing import Literal

from raydistill.codec import from_json
from raydistill.drops import downstream_drop_pct, perplexity_drop_pct
from raydistill.evaluate import PERPLEXITY, kept_documents, scores_from
from raydistill.outcomes import Documents, Finished, Outcome, Scores, TrialResult, Unfinished
from raydistill.record import Record
from raydistill.spec import CorpusInfo, EvalSpec, TrialSpec
from raydistill.statistics import half
from raydistill.store import Store


def measured(
    weights_sha256: str, corpus_sha256: str, evaluation: EvalSpec, store: Store
) -> tuple[Scores, Documents] | None:
    """The scores of some weights, or None unless all that is asked for was measured."""
    corpus = store.load(CorpusInfo, "corpora", corpus_sha256, "corpus.json")
    if corpus is None:
        return None
    documents = kept_documents(weights_sha256, store=store, corpus=corpus, spec=evaluation)
    if documents.keys() != {PERPLEXITY, *evaluation.tasks}:
        return None
    return scores_from(weights_sha256, documents), documents


def outcome(spec: TrialSpec, base_sha256: str, evaluation: EvalSpec, store: Store) -> Outcome:
    """Where a trial stands; what it lost is against the base of that sha256."""
    trained = store.trained(spec.trial_id)
    if trained is None:
        return store.failure(spec.trial_id) or _so_far(spec, store)
    corpus = spec.train.corpus_sha256
    before = measured(base_sha256, corpus, evaluation, store)
    after = measured(trained.weights_sha256, corpus, evaluation, store)
    if before is None or after is None:
        return store.failure(spec.trial_id) or Unfinished(
            curve=trained.curve, heldout_curve=trained.heldout_curve
        )
    result = TrialResult(trained=trained, before=before[0], after=after[0])
    return Finished(result=result, before=before[1], after=after[1])


def _so_far(spec: TrialSpec, store: Store) -> Unfinished:
    folder = store.path("trials", spec.trial_id, "checkpoints")
    found = sorted(folder.glob("step-*/notes.json"), key=lambda p: int(p.parent.name[5:]))
    try:
        record = from_json(Record, found[-1].read_text(encoding="utf-8"))
    except (IndexError, FileNotFoundError):  # none yet, or the trial ended meanwhile
        return Unfinished()
    return Unfinished(
        curve=record.thinned_curve(spec.train.recipe), heldout_curve=tuple(record.heldout_curve)
    )


def metrics(finished: Finished) -> dict[str, float]:
    """What Tune's tables and a search see of a finished trial; all drops are against the base."""
    before, after = finished.result.before, finished.result.after
    downstream = {"downstream_drop_pct": downstream_drop_pct(before, after)} if after.tasks else {}
    return {
        "delta_nll": after.nll - before.nll,
        "delta_nll_selection": delta_nll(finished, "selection"),
        "perplexity_drop_pct": perplexity_drop_pct(before.nll, after.nll),
        **downstream,
    }


def delta_nll(finished: Finished, which: Literal["selection", "report"]) -> float:
    """Nats per token lost on one half of the held-out documents (METHOD 6)."""
    before, after = finished.before[PERPLEXITY], finished.after[PERPLEXITY]
    return half(after, which, before.units).value - half(before, which, before.units).value
