"""Zero-shot tasks scored by lm-eval with our own models, by document."""

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from lm_eval import evaluator
from lm_eval.api.model import LM

from raydistill.core.errors import DataError
from raydistill.data.corpus.heldout_documents import read_info
from raydistill.data.tokenizer import load_tokenizer
from raydistill.evaluation.lm_harness.adapter import DecoderLM
from raydistill.evaluation.lm_harness.file_tasks import (
    FileTask,
    corpus_task,
    lm_eval_task,
    paper_task,
)
from raydistill.evaluation.lm_harness.paper13 import PAPER13
from raydistill.evaluation.text_tasks import metric
from raydistill.models.decoder import Decoder
from raydistill.models.huggingface.request_tokenizer import ReadTokenizer, read_tokenizer
from raydistill.specs.evaluation import TaskSource
from raydistill.specs.results import UnitScores

# A task's score is the first of these among its metrics, or else its own first.
PREFERRED_METRICS = ("pmi_dc", "acc_norm", "acc", "exact_match", "f1")

Sample = Mapping[str, Any]


def score_tasks(
    model: Decoder,
    folder: Path,
    items: Mapping[str, Path],
    max_length: int | None = None,
    reading: str = "",
    limit: int = 0,
) -> dict[str, UnitScores]:
    """Right answers and items of each held-out unit, for every task made of the corpus.

    Args:
        model: scored as it is, in evaluation mode.
        folder: the corpus, whose tokenizer is used.
        items: the file of items of each task, from `make_items`.
        max_length: tokens that the model reads at once, at most; None: all that it can.
        reading: of the tokenizer, that of `EvalSpec`.
        limit: how many items are scored, the first ones; 0: all.

    Raises:
        UsageError: if there is no such task.
    """
    scores = {}
    for name, file in items.items():
        lm = _lm(model, folder, max_length, reading)
        samples = _samples(lm, corpus_task(name, file, metric(name)), limit)
        by_unit = _by_unit(samples, lambda s: s["doc"]["unit"], metric(name))
        scores[name] = replace(by_unit, truncation=lm.truncation)
    return scores


def score_source(
    model: Decoder,
    folder: Path,
    source: TaskSource,
    data: Path,
    max_length: int | None = None,
    reading: str = "",
    limit: int = 0,
) -> UnitScores:
    """The score of a task that has its own data; every item is a unit.

    Args:
        model: scored as it is, in evaluation mode.
        folder: the corpus, whose tokenizer is used.
        source: the task.
        data: where its items are.
        max_length: tokens that the model reads at once, at most; None: all that it can.
        reading: of the tokenizer, that of `EvalSpec`.
        limit: how many items are scored, the first ones; 0: all.

    Raises:
        DataError: if the task has no metric that is a mean over its items.
    """
    load = paper_task if source.task in PAPER13 else lm_eval_task
    lm = _lm(model, folder, max_length, reading)
    scores = score_with(lm, load(source.task, data, source.num_fewshot), limit)
    return replace(scores, truncation=lm.truncation)


def score_with(lm: LM, task: FileTask, limit: int = 0) -> UnitScores:
    """The score of a task by any of lm-eval's models; every item is a unit.

    With a `limit` only the first items are scored.

    Raises:
        DataError: if the task has no metric that is a mean over its items.
    """
    name, samples = task.config.task, _samples(lm, task, limit)
    first_filter = samples[0]["filter"]
    filtered = [sample for sample in samples if sample["filter"] == first_filter]
    score = _score_metric(name, filtered[0])
    if score == "f1":
        return _f1(filtered, name)
    return replace(
        _by_unit(filtered, lambda s: f"{name} {s['doc_id']}", score),
        chance=_chance(task, limit),
        beside=tuple(_other_means(samples, score, first_filter)),
    )


def _samples(lm: LM, task: FileTask, limit: int) -> list[Sample]:
    name = task.config.task
    # no bootstrap: intervals are computed over whole units
    result = evaluator.evaluate(
        lm=lm, task_dict={name: task}, bootstrap_iters=0, limit=limit or None
    )
    samples: list[Sample] = result["samples"][name]
    return samples


def _score_metric(name: str, sample: Sample) -> str:
    """Which metric of a task is its score."""
    metrics: Sequence[str] = sample["metrics"]
    for key in dict.fromkeys((*PREFERRED_METRICS, *metrics)):
        if key in metrics and (key == "f1" or isinstance(sample[key], int | float)):
            return key
    raise DataError(
        f"task {name!r} has no metric that is a mean over its items, only {', '.join(metrics)}: "
        "two models cannot be compared on it item by item"
    )


def _by_unit(samples: Sequence[Sample], unit: Callable[[Sample], str], score: str) -> UnitScores:
    right: Counter[str] = Counter()
    items: Counter[str] = Counter()
    for sample in samples:
        right[unit(sample)] += sample[score]
        items[unit(sample)] += 1
    return UnitScores(
        units=tuple(items),
        sums=tuple(float(right[name]) for name in items),
        counts=tuple(items.values()),
    )


def _f1(samples: Sequence[Sample], name: str) -> UnitScores:
    """2·TP and 2·TP + FP + FN of each item; guessing is to answer 1 always."""
    pairs = [(int(right), int(predicted)) for right, predicted in (s["f1"] for s in samples)]
    share = sum(right == 1 for right, _ in pairs) / len(pairs)
    if not share:
        raise DataError(f"task {name!r} has no item whose answer is 1, and F1 counts those")
    return UnitScores(
        units=tuple(f"{name} {sample['doc_id']}" for sample in samples),
        sums=tuple(2.0 * (right == predicted == 1) for right, predicted in pairs),
        counts=tuple((right == 1) + (predicted == 1) for right, predicted in pairs),
        counts_vary=True,
        chance=2 * share / (1 + share),
        beside=(("acc", sum(right == predicted for right, predicted in pairs) / len(pairs)),),
    )


def _chance(task: FileTask, limit: int) -> float:
    """What guessing gives: the mean over items of 1/choices; 0 for a task without choices."""
    if task.OUTPUT_TYPE != "multiple_choice":
        return 0.0
    shares = [
        1 / len(task.doc_to_choice(document)) for document in islice(task.eval_docs, limit or None)
    ]
    return sum(shares) / len(shares)


def _other_means(
    samples: Sequence[Sample], score: str, first_filter: str
) -> Iterator[tuple[str, float]]:
    """The means of the other metrics, and of those after another filter."""
    values: dict[str, list[float]] = {}
    for sample in samples:
        is_first = sample["filter"] == first_filter
        for metric_name in sample["metrics"]:
            value = sample[metric_name]
            if isinstance(value, int | float) and not (is_first and metric_name == score):
                key = metric_name if is_first else f"{metric_name},{sample['filter']}"
                values.setdefault(key, []).append(float(value))
    return ((key, sum(numbers) / len(numbers)) for key, numbers in values.items())


def _lm(model: Decoder, folder: Path, max_length: int | None, reading: str) -> DecoderLM:
    read, end_id = _tokenizer(folder, reading), read_info(folder).end_of_text_id
    first_id = read.tokenizer.token_to_id(read.first_token) if read.first_token else None
    return DecoderLM(model, read.tokenizer, end_id, max_length, first_id, read.unlike_file)


@functools.cache
def _tokenizer(folder: Path, reading: str) -> ReadTokenizer:
    """One for each reading: `DecoderLM` makes its first token special."""
    file = folder / "tokenizer.json"
    read = read_tokenizer(file, reading) if reading else None
    return read or ReadTokenizer(tokenizer=load_tokenizer(file), first_token="", unlike_file="")
