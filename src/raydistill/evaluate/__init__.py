"""What a model is measured by: held-out perplexity, and tasks made from held-out text.

Scores are kept in the store by weights and by what was measured on them (`score_key`), so
nothing is measured twice. Importing this imports neither torch nor lm_eval.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from raydistill.codec import from_json
from raydistill.evaluate.items import make_items
from raydistill.evaluate.tasks import TASKS, chance, source_digest
from raydistill.outcomes import Scores, TaskScore, UnitScores
from raydistill.spec import CorpusInfo, EvalSpec, digest
from raydistill.store import Store

if TYPE_CHECKING:
    from raydistill.models import Decoder

__all__ = [
    "EVALUATOR_VERSION",
    "GENERAL",
    "PERPLEXITY",
    "TASKS",
    "asked_scores",
    "chance",
    "kept_documents",
    "make_items",
    "score_key",
    "scores_from",
    "scores_of",
]

EVALUATOR_VERSION = 1
"""Raised when the same weights would get other scores than before."""

PERPLEXITY = "perplexity"
GENERAL = "general"
"""The perplexity on a second, general text (`EvalSpec.general`)."""


def asked_scores(spec: EvalSpec) -> tuple[str, ...]:
    """The names of all scores of a specification: perplexities, then tasks."""
    return (PERPLEXITY, *([GENERAL] if spec.general else []), *spec.tasks)


def score_key(name: str, corpus: CorpusInfo, windows: int, general: str = "") -> str:
    """The name under which the store keeps a score: a perplexity (of `windows`) or a task.

    Raises:
        UsageError: if there is no such task.
    """
    if name == GENERAL:
        text = [EVALUATOR_VERSION, general, corpus.tokenizer_sha256]
        return f"{name}-{digest([*text, windows])}"
    measured = [EVALUATOR_VERSION, corpus.corpus_sha256, corpus.tokenizer_sha256]
    asked = windows if name == PERPLEXITY else source_digest(name)
    return f"{name}-{digest([*measured, asked])}"


def scores_of(
    weights_sha256: str,
    load_model: Callable[[], "Decoder"],
    *,
    store: Store,
    folder: Path,
    spec: EvalSpec,
) -> Scores:
    """The scores of some weights; what the store lacks is measured and kept.

    Args:
        weights_sha256: whose scores these are.
        load_model: called only if something has to be measured.
        store: where scores are kept, by chapter.
        folder: the corpus.
        spec: which tasks, and how many windows for the perplexity.

    Raises:
        UsageError: if there is no such task.
        DataError: if the corpus has no items for a task.
    """
    corpus = from_json(CorpusInfo, (folder / "corpus.json").read_text(encoding="utf-8"))
    found = kept_documents(weights_sha256, store=store, corpus=corpus, spec=spec)
    missing = [name for name in asked_scores(spec) if name not in found]
    if missing:
        measured = _measure(load_model(), missing, store=store, folder=folder, spec=spec)
        for name, scores in measured.items():
            key = score_key(name, corpus, spec.heldout_windows, spec.general)
            store.save(scores, "scores", weights_sha256, f"{key}.json")
        found |= measured
    return scores_from(weights_sha256, found)


def kept_documents(
    weights_sha256: str, *, store: Store, corpus: CorpusInfo, spec: EvalSpec
) -> dict[str, UnitScores]:
    """Those of the scores asked for that the store has, by name and split by document."""
    kept = {
        name: store.unit_scores(
            weights_sha256, score_key(name, corpus, spec.heldout_windows, spec.general)
        )
        for name in asked_scores(spec)
    }
    return {name: scores for name, scores in kept.items() if scores is not None}


def scores_from(weights_sha256: str, documents: Mapping[str, UnitScores]) -> Scores:
    """The scores that these documents make together; all but the perplexities are tasks."""
    return Scores(
        weights_sha256=weights_sha256,
        nll=documents[PERPLEXITY].value,
        tasks={
            name: _task_score(name, found)
            for name, found in documents.items()
            if name not in (PERPLEXITY, GENERAL)
        },
        general_nll=documents[GENERAL].value if GENERAL in documents else "not measured",
    )


def _measure(
    model: "Decoder", names: list[str], *, store: Store, folder: Path, spec: EvalSpec
) -> dict[str, UnitScores]:
    # torch and lm_eval take seconds, and kept scores need neither
    from raydistill.evaluate.perplexity import heldout_nll  # noqa: PLC0415
    from raydistill.evaluate.zeroshot import score_tasks  # noqa: PLC0415

    tasks = [name for name in names if name not in (PERPLEXITY, GENERAL)]
    items = make_items(tasks, store=store, folder=folder)
    scores = score_tasks(model, folder, items) if items else {}
    corpus = from_json(CorpusInfo, (folder / "corpus.json").read_text(encoding="utf-8"))
    texts = {PERPLEXITY: folder, GENERAL: store.general(spec.general, corpus.tokenizer_sha256)}
    for name in (name for name in texts if name in names):
        windows, context = spec.heldout_windows, model.config.context
        scores[name] = heldout_nll(model, texts[name], windows=windows, context=context)
    return scores


def _task_score(name: str, scores: UnitScores) -> TaskScore:
    return TaskScore(value=scores.value, stderr=standard_error(scores), chance=chance(name))


def standard_error(scores: UnitScores) -> float:
    """Of `scores.value` when whole units are drawn, not single items (METHOD 6); 0 for one unit."""
    pairs = list(zip(scores.sums, scores.counts, strict=True))
    if len(pairs) < 2:
        return 0.0
    spread = sum((total - scores.value * count) ** 2 for total, count in pairs)
    return float((spread * len(pairs) / (len(pairs) - 1)) ** 0.5 / sum(scores.counts))
