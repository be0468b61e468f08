"""What the store holds of trials and bases, as plain values; reading it needs no torch."""

import json
import math
import sys
from collections.abc import Collection, Iterator, Sequence
from typing import Literal

from raydistill.codec import from_dict, from_json
from raydistill.drops import downstream_drop_pct, perplexity_drop_pct, tasks_averaged
from raydistill.evaluate import (
    PERPLEXITY,
    asked_scores,
    kept_documents,
    score_key,
    scores_from,
)
from raydistill.flops import parameters
from raydistill.manifest import steps_of
from raydistill.outcomes import (
    Documents,
    Finished,
    Outcome,
    Scores,
    TrialResult,
    Unfinished,
    UnitScores,
)
from raydistill.prepared import PreparedSweep
from raydistill.record import Record
from raydistill.resolve import PlannedTrial
from raydistill.scales import load_scale, scale_names
from raydistill.search import OBJECTIVES
from raydistill.spec import CorpusInfo, EvalSpec, ExternalBase, TrialSpec
from raydistill.statistics import half
from raydistill.store import Store
from raydistill.sweep import bases_of

Half = Literal["selection", "report"]
"""Of the held-out documents: a search selects on one and reports on the other (METHOD 6)."""


def measured(
    weights_sha256: str, corpus_sha256: str, evaluation: EvalSpec, store: Store
) -> tuple[Scores, Documents] | None:
    """The scores of some weights, or None unless all that is asked for was measured."""
    corpus = store.load(CorpusInfo, "corpora", corpus_sha256, "corpus.json")
    if corpus is None:
        return None
    documents = kept_documents(weights_sha256, store=store, corpus=corpus, spec=evaluation)
    if documents.keys() != set(asked_scores(evaluation)):
        return None
    return scores_from(weights_sha256, documents), documents


def averaged_over(prepared: PreparedSweep) -> tuple[str, ...]:
    """The tasks that every downstream mean over a sweep is over, from its bases' scores."""
    made, store = prepared.artifacts, prepared.store
    corpus = made.corpus.corpus_sha256
    scored = [
        measured(made.bases[base.key].weights_sha256, corpus, base.scale.evaluation, store)
        for base in bases_of(prepared.plan.cells)
        if base.key in made.bases
    ]
    return tasks_averaged(kept[0] for kept in scored if kept is not None)


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


def outcome_of(planned: PlannedTrial, prepared: PreparedSweep) -> Outcome:
    """Where a trial of a sweep stands; one whose base or layers are not known has not begun."""
    base = prepared.artifacts.bases.get(planned.cells[0].base.key)
    if base is None or not isinstance(planned.trial, TrialSpec) or not planned.has_final_id:
        return Unfinished()
    return outcome(planned.trial, base.weights_sha256, planned.scale.evaluation, prepared.store)


def _so_far(spec: TrialSpec, store: Store) -> Unfinished:
    folder = store.path("trials", spec.trial_id, "checkpoints")
    try:
        notes = folder / f"step-{steps_of(folder)[0]}" / "notes.json"
        record = from_json(Record, notes.read_text(encoding="utf-8"))
    except (IndexError, FileNotFoundError):  # none yet, or the trial ended meanwhile
        return Unfinished()
    rung = store.path("trials", spec.trial_id, "rungs").glob(f"{record.tokens}-*.json")
    return Unfinished(
        curve=record.thinned_curve(spec.train.recipe),
        heldout_curve=tuple(record.heldout_curve),
        stopped=any(rung),
    )


def reached(trial_id: str, store: Store) -> tuple[int, ...]:
    """How far a trial has come for good; a try after it goes on from there.

    The step of its newest checkpoint; once it is trained, one more than any step, and its scores.
    """
    trained = store.trained(trial_id)
    if trained is None:
        return tuple(steps_of(store.path("trials", trial_id, "checkpoints"))[:1])
    return sys.maxsize, len(list(store.path("scores", trained.weights_sha256).glob("*.json")))


def finished_trials(store: Store, sweep: str = "") -> Iterator[Finished]:
    """Every trial of a scale that the store has, trained and measured; of all sweeps, or of one.

    A trial that several sweeps share is its first one's.
    """
    for path in sorted(store.path("trials").glob("*/trained.json")):
        trained = store.trained(path.parent.name)
        if trained is None or (sweep and trained.trained_in != sweep):
            continue
        base = trained.spec.base
        evaluation = _evaluation(base.name, store) if isinstance(base, ExternalBase) else None
        if isinstance(base, ExternalBase) and evaluation:
            found = outcome(trained.spec, base.weights_sha256, evaluation, store)
            if isinstance(found, Finished):
                yield found


def _evaluation(scale: str, store: Store) -> EvalSpec | None:
    """What trials of a scale are measured by; of a brought model, as a sweep was last asked."""
    if scale in scale_names():
        return load_scale(scale).evaluation
    for path in store.path("sweeps").glob(f"*/{scale}/asked*.json"):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            found: EvalSpec = from_dict(EvalSpec, cell["cell"]["scale"]["evaluation"])
            return found
    return None


def metrics(finished: Finished, averaged: Collection[str]) -> dict[str, float]:
    """What Tune's tables and a search see of a finished trial; all drops are against the base.

    Means are over the tasks `averaged`.
    """
    result = finished.result
    before, after = result.before.over(averaged), result.after.over(averaged)
    selection = objectives(finished, "selection", averaged)
    downstream = {"downstream_drop_pct": downstream_drop_pct(before, after)} if after.tasks else {}
    return {
        "delta_nll": after.nll - before.nll,
        "perplexity_drop_pct": perplexity_drop_pct(before.nll, after.nll),
        **downstream,
        **{OBJECTIVES[name]: value for name, value in selection.items()},
    }


def objectives(finished: Finished, which: Half, averaged: Collection[str]) -> dict[str, float]:
    """What a search may minimise (`search.OBJECTIVES`), on one half of the held-out documents."""
    trained = finished.result.trained
    return {
        "delta_nll": delta_nll(finished, which),
        "downstream": _downstream_drop_pct(finished, which, averaged),
        "parameters": parameters(trained.model, trained.model.num_layers - len(trained.kept)),
        "flops": trained.cost.flops_exact,
    }


def _downstream_drop_pct(finished: Finished, which: Half, averaged: Collection[str]) -> float:
    """Percent lost of the mean over the tasks on one half; NaN if one has no items there."""
    units = finished.before[PERPLEXITY].units
    if not finished.result.after.over(averaged).tasks:
        return math.nan
    halves = [
        {
            name: half(scores, which, units)
            for name, scores in documents.items()
            if name in (PERPLEXITY, *averaged)
        }
        for documents in (finished.before, finished.after)
    ]
    if not all(sum(scores.counts) for documents in halves for scores in documents.values()):
        return math.nan
    before, after = (scores_from("", documents) for documents in halves)
    return downstream_drop_pct(before, after)


def delta_nll(finished: Finished, which: Half) -> float:
    """Nats per token lost on one half of the held-out documents (METHOD 6)."""
    before = finished.before[PERPLEXITY]
    return final_nll(finished, which) - half(before, which, before.units).value


def final_nll(finished: Finished, which: Half) -> float:
    """Nats per token in the end, on one half of the held-out documents."""
    units = finished.before[PERPLEXITY].units
    return half(finished.after[PERPLEXITY], which, units).value


def rung_path(spec: TrialSpec, tokens: int, evaluation: EvalSpec, store: Store) -> tuple[str, ...]:
    """Where the store keeps the held-out nats of a trial that stopped at `tokens`."""
    key = _nll_key(spec.train.corpus_sha256, evaluation, store)
    return ("trials", spec.trial_id, "rungs", f"{tokens}-{key}.json")


def cut_path(
    weights_sha256: str,
    layers: Sequence[int],
    corpus_sha256: str,
    evaluation: EvalSpec,
    store: Store,
) -> tuple[str, ...]:
    """Where the store keeps the held-out nats of a base without `layers`, before any training."""
    key = _nll_key(corpus_sha256, evaluation, store)
    return ("cuts", weights_sha256, "-".join(map(str, sorted(layers))), f"{key}.json")


def selection_nll(place: tuple[str, ...], store: Store) -> float | None:
    """Nats per token kept at `place`, on the documents to select on; None if nothing is kept."""
    nll = store.load(UnitScores, *place)
    return None if nll is None else half(nll, "selection", nll.units).value


def _nll_key(corpus_sha256: str, evaluation: EvalSpec, store: Store) -> str:
    corpus = store.load(CorpusInfo, "corpora", corpus_sha256, "corpus.json")
    assert corpus is not None, "nothing is measured before there is text"
    return score_key(PERPLEXITY, corpus, evaluation.heldout_windows)


def study_url(store: Store) -> str:
    """The database that keeps what Optuna searched, for `optuna-dashboard`."""
    return f"sqlite:///{store.path('optuna.db')}"
