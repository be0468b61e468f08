"""The outcomes of trials in the store, and what they lost; reading them needs no torch."""

import itertools
import json
import math
import sys
from collections.abc import Collection, Iterator
from typing import Literal

from raydistill.core.serialization import from_dict, from_json
from raydistill.evaluation.document_split import half
from raydistill.evaluation.performance_drops import (
    downstream_drop_pct,
    perplexity_drop_pct,
    tasks_averaged,
)
from raydistill.evaluation.scoring import scores_from
from raydistill.evaluation.stored_scores import measured
from raydistill.planning.cell import bases_of
from raydistill.planning.prepared import PreparedSweep
from raydistill.planning.resolve import PlannedTrial
from raydistill.planning.search_settings import OBJECTIVES
from raydistill.specs.evaluation import EvalSpec, held_out_loss, metric_of
from raydistill.specs.flops import parameters
from raydistill.specs.results import (
    Finished,
    Outcome,
    Record,
    TrialResult,
    Unfinished,
    loss_by_document,
)
from raydistill.specs.scale import is_scale, load_scale
from raydistill.specs.trial import ExternalBase, TrialSpec
from raydistill.storage.manifest import steps_of
from raydistill.storage.store import Store

# of the held-out documents: a search selects on one half and reports on the other (METHOD 6)
Half = Literal["selection", "report"]


def averaged_over(prepared: PreparedSweep) -> tuple[str, ...]:
    """The tasks that every downstream mean over a sweep is over, from its bases' scores."""
    artifacts, store = prepared.artifacts, prepared.store
    bases = artifacts.bases
    stored = (
        measured(
            bases[base.key].weights_sha256,
            artifacts.corpus_of(base.scale).corpus_sha256,
            base.scale.evaluation,
            store,
        )
        for base in bases_of(prepared.plan.cells)
        if base.key in bases
    )
    return tasks_averaged(base.scores for base in stored if base is not None)


def outcome(spec: TrialSpec, base_sha256: str, evaluation: EvalSpec, store: Store) -> Outcome:
    """The outcome of a trial so far; its losses are against the base of that sha256."""
    trained = store.trained(spec.trial_id)
    if trained is None:
        return store.failure(spec.trial_id) or _unfinished(spec, store)
    corpus = spec.train.corpus_sha256
    before = measured(base_sha256, corpus, evaluation, store)
    after = measured(trained.weights_sha256, corpus, evaluation, store)
    if before is None or after is None:
        return store.failure(spec.trial_id) or Unfinished(
            curve=trained.curve, heldout_curve=trained.heldout_curve
        )
    result = TrialResult(trained=trained, before=before.scores, after=after.scores)
    return Finished(result=result, before=before.documents, after=after.documents)


def outcome_of(planned: PlannedTrial, prepared: PreparedSweep) -> Outcome:
    """The outcome of a trial of a sweep; one whose base or layers are not known has not begun."""
    base = prepared.artifacts.bases.get(planned.cells[0].base.key)
    if base is None or not isinstance(planned.trial, TrialSpec) or not planned.has_final_id:
        return Unfinished()
    return outcome(planned.trial, base.weights_sha256, planned.scale.evaluation, prepared.store)


def _unfinished(spec: TrialSpec, store: Store) -> Unfinished:
    folder = store.path("trials", spec.trial_id, "checkpoints")
    try:
        notes = folder / f"step-{steps_of(folder)[0]}" / "notes.json"
        record = from_json(Record, notes.read_text(encoding="utf-8"))
    except (IndexError, FileNotFoundError):  # none yet, or the trial ended meanwhile
        return Unfinished()
    rungs = store.path("trials", spec.trial_id, "rungs").glob(f"{record.tokens}-*.json")
    return Unfinished(
        curve=record.thinned_curve(spec.train.recipe),
        heldout_curve=tuple(record.heldout_curve),
        stopped=any(rungs),
    )


def lasting_progress(trial_id: str, store: Store) -> tuple[int, ...]:
    """The progress of a trial in the store, from which a retry resumes; it only grows.

    The step of its newest checkpoint; once it is trained, more than any step, and how many scores.
    """
    trained = store.trained(trial_id)
    if trained is None:
        return tuple(steps_of(store.path("trials", trial_id, "checkpoints"))[:1])
    return sys.maxsize, len(list(store.path("scores", trained.weights_sha256).glob("*.json")))


def finished_trials(store: Store, sweep: str = "") -> Iterator[Finished]:
    """Every finished trial in the store; of all sweeps, or of the one that trained it first."""
    for path in sorted(store.path("trials").glob("*/trained.json")):
        trained = store.trained(path.parent.name)
        if trained is None or (sweep and trained.trained_in != sweep):
            continue
        base = trained.spec.base
        evaluation = _evaluation(base.name, store) if isinstance(base, ExternalBase) else None
        if isinstance(base, ExternalBase) and evaluation:
            end = outcome(trained.spec, base.weights_sha256, evaluation, store)
            if isinstance(end, Finished):
                yield end


def _evaluation(scale: str, store: Store) -> EvalSpec | None:
    """The evaluation of a scale; of a custom model, that of a sweep's record."""
    if is_scale(scale):
        return load_scale(scale).evaluation
    sweeps = store.path("sweeps")
    own, others = sweeps.glob(f"*/{scale}/asked*.json"), sweeps.glob("*/*/asked*.json")
    for path in itertools.chain(own, others):  # a size has no folder of its own
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            of_cell = cell["cell"]["scale"]
            if of_cell["name"] == scale:
                evaluation: EvalSpec = from_dict(EvalSpec, of_cell["evaluation"])
                return evaluation
    return None


def metrics(finished: Finished, averaged: Collection[str]) -> dict[str, float]:
    """The metrics of a finished trial for Tune's tables and a search; drops are against the base.

    Means are over the tasks `averaged`.
    """
    result = finished.result
    before, after = result.before.over(averaged), result.after.over(averaged)
    selection = objectives(finished, "selection", averaged)
    downstream = {"downstream_drop_pct": downstream_drop_pct(before, after)} if after.tasks else {}
    return {
        "delta_nll": after.nll - before.nll,
        metric_of("perplexity_drop_pct", after.loss): perplexity_drop_pct(before.nll, after.nll),
        **downstream,
        **{OBJECTIVES[name]: value for name, value in selection.items()},
    }


def objectives(finished: Finished, which: Half, averaged: Collection[str]) -> dict[str, float]:
    """The `OBJECTIVES` of a finished trial, on one half of the held-out documents."""
    trained = finished.result.trained
    return {
        "delta_nll": delta_nll(finished, which),
        "downstream": _downstream_drop_pct(finished, which, averaged),
        "parameters": parameters(trained.model, trained.removed),
        "flops": trained.cost.flops_exact,
    }


def _downstream_drop_pct(finished: Finished, which: Half, averaged: Collection[str]) -> float:
    """The drop of the mean over tasks on one half, in percent; NaN if one has no items there."""
    units = loss_by_document(finished.before).units
    if not finished.result.after.over(averaged).tasks:
        return math.nan
    halves = [
        {
            name: half(scores, which, units)
            for name, scores in documents.items()
            if name in (held_out_loss(documents), *averaged)
        }
        for documents in (finished.before, finished.after)
    ]
    if not all(sum(scores.counts) for documents in halves for scores in documents.values()):
        return math.nan
    before, after = (scores_from("", documents) for documents in halves)
    return downstream_drop_pct(before, after)


def delta_nll(finished: Finished, which: Half) -> float:
    """Nats per token lost on one half of the held-out documents (METHOD 6)."""
    before = loss_by_document(finished.before)
    return final_nll(finished, which) - half(before, which, before.units).value


def final_nll(finished: Finished, which: Half) -> float:
    """Nats per token of a finished trial, on one half of the held-out documents."""
    units = loss_by_document(finished.before).units
    return half(loss_by_document(finished.after), which, units).value


def study_url(store: Store) -> str:
    """The database of Optuna's studies, for `optuna-dashboard`."""
    return f"sqlite:///{store.path('optuna.db')}"
