"""The scores of a model, held-out perplexity and zero-shot tasks, measured or from the store.

Some tasks are made from held-out text (`tasks/`), all others have data of their own
(`lm_harness/task_data.py`). The store keeps each score by weights and by what was measured, so
nothing is measured twice. Importing this imports neither torch nor lm_eval.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from raydistill.core.fault_injection import fault_point
from raydistill.core.parts import TASK
from raydistill.core.progress import tracked
from raydistill.core.serialization import digest, from_json
from raydistill.evaluation.lm_harness.task_data import ITEMS, data_folder
from raydistill.evaluation.task_items import item_files, make_items
from raydistill.evaluation.text_tasks import chance, is_text_task
from raydistill.specs.corpus import CorpusInfo
from raydistill.specs.evaluation import (
    LOSSES,
    PERPLEXITY,
    EvalSpec,
    TaskSource,
    held_out_loss,
    plain_task,
    score_name,
)
from raydistill.specs.part_identity import edited_families, part_identity
from raydistill.specs.results import Scores, TaskScore, UnitScores
from raydistill.storage.store import Store

if TYPE_CHECKING:
    from raydistill.models.decoder import Decoder


EVALUATOR_VERSION = 1  # raised when the same weights would get other scores than before

GENERAL = "general"  # the held-out loss on a second, general text (`EvalSpec.general`)
_LOSSES = (*LOSSES, GENERAL)

MEASURING = "measuring"  # the stage, as its progress names it
BYTES_PER_TOKEN = 3  # about, of a task's items


def requested_scores(spec: EvalSpec) -> tuple[str, ...]:
    """The names of all scores of a specification: losses, then tasks."""
    tasks = (score_name(task, spec.limit) for task in spec.tasks)
    return (spec.loss, *([GENERAL] if spec.general else []), *tasks)


def score_key(
    name: str,
    corpus: CorpusInfo,
    windows: int,
    general: str = "",
    max_length: int = 0,
    reading: str = "",
    limit: int = 0,
) -> str:
    """The store's name of a score on a corpus: a perplexity of `windows`, or a task made of it.

    The weights name a window's length. `max_length` and `reading` of a task's requests, and the
    `limit` of its items, are those of `EvalSpec`.

    Raises:
        UsageError: if there is no such task.
    """
    if name == GENERAL:
        text = [EVALUATOR_VERSION, general, corpus.tokenizer_sha256, *corpus.begin_ids]
        return f"{name}-{_digest([*text, windows])}"
    text = [
        EVALUATOR_VERSION, corpus.corpus_sha256, corpus.tokenizer_sha256, *corpus.begin_ids,
    ]  # fmt: skip
    if name == PERPLEXITY:
        return f"{name}-{_digest([*text, windows])}"
    requests = _requests(max_length, reading, limit)
    return f"{name}-{_digest([*text, part_identity(TASK, name), *requests])}"


def loss_key(corpus: CorpusInfo, spec: EvalSpec, *, general: bool = False) -> str:
    """The store's name of the held-out loss, or of that on the general text."""
    name = GENERAL if general else PERPLEXITY
    key = score_key(name, corpus, spec.heldout_windows, spec.general)
    if spec.assistant:
        return f"{spec.loss}-{digest([key])}"
    if not spec.mask_share:
        return key
    return f"{GENERAL if general else spec.loss}-{digest([key, spec.mask_share])}"


def source_key(
    source: TaskSource,
    corpus: CorpusInfo,
    max_length: int = 0,
    reading: str = "",
    limit: int = 0,
) -> str:
    """The store's name of a score on a task's own data: of the corpus only the tokenizer counts."""
    data = [source.data_sha256, source.num_fewshot, corpus.tokenizer_sha256]
    requests = _requests(max_length, reading, limit)
    return f"{source.task}-{_digest([EVALUATOR_VERSION, *data, *requests])}"


def _requests(max_length: int, reading: str, limit: int) -> list[str]:
    """What tells scores apart from those of all items, up to a training window's length.

    Those, by what `tokenizer.json` says alone, have no part here.
    """
    return [
        *([f"up to {max_length} tokens"] if max_length else []),
        *([f"first {limit} items"] if limit else []),
        *([f"read by {reading}"] if reading else []),
    ]


def _digest(measured: Sequence[object]) -> str:
    """Of what is measured, and of the code that computes with the weights where it was edited."""
    return digest([*measured, *edited_families().values()])


def _key(name: str, corpus: CorpusInfo, spec: EvalSpec) -> str:
    task = plain_task(name)
    source = spec.source(task)
    requests = (spec.max_length, spec.reading, spec.limit)
    if source:
        return source_key(source, corpus, *requests)
    if name in _LOSSES:
        return loss_key(corpus, spec, general=name == GENERAL)
    return score_key(task, corpus, spec.heldout_windows, spec.general, *requests)


def scores_of(
    weights_sha256: str,
    load_model: Callable[[], "Decoder"],
    *,
    store: Store,
    folder: Path,
    spec: EvalSpec,
) -> Scores:
    """The scores of some weights: from the store, or measured and kept there score by score.

    Args:
        weights_sha256: identifies the weights.
        load_model: called only if something has to be measured.
        store: keeps scores by document.
        folder: the corpus.
        spec: which tasks, and how many windows for the perplexity.

    Raises:
        UsageError: if there is no such task.
        DataError: if there are no items for a task.
    """
    corpus = from_json(CorpusInfo, (folder / "corpus.json").read_text(encoding="utf-8"))
    documents = kept_documents(weights_sha256, store=store, corpus=corpus, spec=spec)
    if missing := [name for name in requested_scores(spec) if name not in documents]:
        items = make_items(
            [task for task in spec.corpus_tasks if score_name(task, spec.limit) in missing],
            store=store,
            folder=folder,
        )
        model = load_model()
        context = model.config.context

        def size(name: str) -> int:
            return expected_tokens(name, spec, context, corpus, store)

        for name in tracked(missing, MEASURING, "tokens", size=size, name=str):
            fault_point("evaluation")
            scores = _measure(
                model, name, items, store=store, folder=folder, corpus=corpus, spec=spec
            )
            store.save(scores, "scores", weights_sha256, f"{_key(name, corpus, spec)}.json")
            documents[name] = scores
    return scores_from(weights_sha256, documents)


def expected_tokens(
    name: str, spec: EvalSpec, context: int, corpus: CorpusInfo | None, store: Store
) -> int:
    """About how many tokens a model reads for a score, before its requests are made.

    0 of a task whose items are not here, as those of text that is not tokenised yet.
    """
    if name in _LOSSES:
        tokens = spec.heldout_windows * context
        return min(tokens, corpus.heldout_tokens) if corpus else tokens
    task = plain_task(name)
    source = spec.source(task)
    if source is not None:
        file, texts = data_folder(source, store) / ITEMS, 1 + source.num_fewshot
    elif corpus is None:
        return 0
    else:
        file, texts = item_files([task], corpus.corpus_sha256, store)[task], 1
    return texts * file.stat().st_size // BYTES_PER_TOKEN if file.is_file() else 0


def unmeasured_tokens(
    weights_sha256: str, spec: EvalSpec, context: int, corpus: CorpusInfo, store: Store
) -> int:
    """About how many tokens a model reads for those of its scores that the store lacks."""
    kept = kept_documents(weights_sha256, store=store, corpus=corpus, spec=spec)
    missing = (name for name in requested_scores(spec) if name not in kept)
    return sum(expected_tokens(name, spec, context, corpus, store) for name in missing)


def kept_documents(
    weights_sha256: str, *, store: Store, corpus: CorpusInfo, spec: EvalSpec
) -> dict[str, UnitScores]:
    """The requested scores that the store has, by name, each split by document."""
    return {
        name: scores
        for name in requested_scores(spec)
        if name in _LOSSES or spec.source(plain_task(name)) or is_text_task(plain_task(name))
        if (scores := store.unit_scores(weights_sha256, _key(name, corpus, spec))) is not None
    }


def scores_from(weights_sha256: str, documents: Mapping[str, UnitScores]) -> Scores:
    """The scores over all documents; all but the losses are tasks."""
    loss = held_out_loss(documents)
    return Scores(
        weights_sha256=weights_sha256,
        nll=documents[loss].value,
        loss=loss,
        tasks={
            name: TaskScore(
                value=scores.value,
                stderr=standard_error(scores),
                chance=_chance(plain_task(name), scores),
                beside=scores.beside,
                truncation=scores.truncation,
            )
            for name, scores in documents.items()
            if name not in _LOSSES
        },
        general_nll=documents[GENERAL].value if GENERAL in documents else "not measured",
    )


def _chance(task: str, scores: UnitScores) -> float:
    return chance(task) if is_text_task(task) else scores.chance


def _measure(
    model: "Decoder",
    name: str,
    items: Mapping[str, Path],
    *,
    store: Store,
    folder: Path,
    corpus: CorpusInfo,
    spec: EvalSpec,
) -> UnitScores:
    # torch and lm_eval take seconds, and kept scores need neither
    from raydistill.evaluation.likelihood.heldout_loss import heldout_loss  # noqa: PLC0415
    from raydistill.evaluation.lm_harness.zeroshot import score_source, score_tasks  # noqa: PLC0415

    if name in _LOSSES:
        text = store.general(spec.general, corpus) if name == GENERAL else folder
        return heldout_loss(model, text, spec)
    task, requests = (
        plain_task(name),
        (spec.tokens_read(model.config), spec.reading, spec.limit),
    )
    source = spec.source(task)
    if source is not None:
        return score_source(model, folder, source, data_folder(source, store), *requests)
    return score_tasks(model, folder, {task: items[task]}, *requests)[task]


def standard_error(scores: UnitScores) -> float:
    """That of `scores.value` if whole units are drawn, not items (METHOD 6); 0 for one unit."""
    pairs = list(zip(scores.sums, scores.counts, strict=True))
    if len(pairs) < 2:
        return 0.0
    spread = sum((total - scores.value * count) ** 2 for total, count in pairs)
    return float((spread * len(pairs) / (len(pairs) - 1)) ** 0.5 / sum(scores.counts))
