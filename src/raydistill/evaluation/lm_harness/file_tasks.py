"""lm-eval's task objects over JSONL files: made of the corpus, of Table 2, or lm-eval's own."""

import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from lm_eval.api.instance import Instance
from lm_eval.api.task import ConfigurableTask

from raydistill.core.errors import DataError
from raydistill.evaluation.lm_harness.answers import check_answer
from raydistill.evaluation.lm_harness.catalogue import lm_eval_tasks
from raydistill.evaluation.lm_harness.paper13 import PAPER13, PREMISE, PaperTask
from raydistill.evaluation.lm_harness.task_data import FEWSHOT, ITEMS

FEWSHOT_SEED = 1234  # lm-eval's own

Results = Sequence[tuple[float, bool]]  # of requests: log-likelihood, whether it is greedy


class Documents(list[dict[str, Any]]):
    """The documents of a split, with as much of a `datasets.Dataset` as lm-eval uses."""

    @property
    def features(self) -> dict[str, Any]:
        """The fields of a document."""
        return dict.fromkeys(self[0])


class FileTask(ConfigurableTask):  # type: ignore[misc]
    """A task from JSONL files, one a split: no Hugging Face cache, no progress bars."""

    def download(self, dataset_kwargs: Any = None, **_kwargs: Any) -> None:
        """Reads the files that the configuration names, by split."""
        self.dataset = {split: Documents(read(Path(f))) for split, f in dataset_kwargs.items()}

    def build_all_requests(self, **_kwargs: Any) -> None:
        """Builds the requests of every item once; later calls clear an earlier model's answers."""
        self._instances = self._requests
        for request in self._requests:
            request.resps.clear()
            request.filtered_resps.clear()

    @functools.cached_property
    def _requests(self) -> list[Instance]:
        self.set_fewshot_seed(FEWSHOT_SEED)
        shots = self.config.num_fewshot or 0
        requests: list[Instance] = []
        for index, item in enumerate(self.eval_docs):
            context = self.fewshot_context(item, shots, gen_prefix=self.doc_to_prefix(item))
            metadata = (self.config.task, index, self.config.repeats)
            of_item = self.construct_requests(item, context, metadata=metadata)
            requests += of_item if isinstance(of_item, list) else [of_item]
        return requests


class Table2Task(FileTask):
    """One of the paper's 13, with Table 2's metric."""

    def construct_requests(self, doc: Mapping[str, Any], ctx: Any, **kwargs: Any) -> list[Instance]:
        """Each choice after the question; for PMI-DC then after nothing, and after its premise."""
        requests: list[Instance] = super().construct_requests(doc, ctx, **kwargs)
        if PAPER13[self.config.task].metric != "pmi_dc":
            return requests
        choices = [request.args[1] for request in requests if request.args[0] == ""]
        return requests + [
            Instance("loglikelihood", doc, (PREMISE, choice), index, **kwargs)
            for index, choice in enumerate(choices, len(requests))
        ]

    def process_results(self, doc: Mapping[str, Any], results: Results) -> dict[str, Any]:
        """The metric of one document, by name; with PMI-DC come lm-eval's own metrics."""
        task = PAPER13[self.config.task]
        return table2(task, doc, [nats for nats, _ in results])


def table2(task: PaperTask, document: Mapping[str, Any], nats: Sequence[float]) -> dict[str, Any]:
    """Table 2's metric of one document, from the log-likelihoods of its requests (METHOD 6).

    F1 is a pair, right answer and predicted one: it is a metric of all documents together.
    """
    choices = task.choices(document)
    size = len(choices)
    right = task.text(document) if task.shared else task.target(document)
    by_question, by_nothing, by_premise = nats[:size], nats[size : 2 * size], nats[2 * size :]

    def likeliest(scores: Sequence[float]) -> int:
        return max(range(len(scores)), key=scores.__getitem__)

    def accuracy(scores: Sequence[float]) -> float:
        return float(likeliest(scores) == right)

    if task.metric == "f1":
        return {"f1": (right, likeliest(by_question))}
    scores = {}
    if task.metric == "pmi_dc":
        for metric, bare in (("pmi_dc", by_premise), ("acc_mutual_info", by_nothing)):
            scores[metric] = accuracy([p - q for p, q in zip(by_question, bare, strict=True)])
    if task.metric == "acc_norm":
        per_character = [p / len(choice) for p, choice in zip(by_question, choices, strict=True)]
        scores["acc_norm"] = accuracy(per_character)
    return scores | {"acc": accuracy(by_question)}


def read(file: Path) -> list[dict[str, Any]]:
    """The documents of a JSONL file, which was checked when it was made."""
    lines = file.read_text("utf-8").split("\n")
    return [json.loads(line) for line in lines if line.strip()]


@functools.cache
def corpus_task(name: str, items: Path, metric: str) -> FileTask:
    """A task made of the corpus, from its file of items."""
    return FileTask(
        config={
            "task": name,
            "dataset_kwargs": {"items": str(items)},
            "validation_split": "items",
            "output_type": "multiple_choice",
            "doc_to_text": lambda item: item["context"],
            "doc_to_choice": lambda item: item["choices"],
            "doc_to_target": lambda item: item["answer"],
            "metric_list": [{"metric": metric}],
        }
    )


@functools.cache
def paper_task(name: str, folder: Path, num_fewshot: int) -> FileTask:
    """One of the paper's 13, from its folder in the store."""
    task = PAPER13[name]
    metrics = ["pmi_dc", "acc_mutual_info", "acc"] if task.metric == "pmi_dc" else [task.metric]
    return Table2Task(
        config={
            "task": name,
            "output_type": "multiple_choice",
            "doc_to_text": task.text,
            "doc_to_choice": task.choices,
            "doc_to_target": task.target,
            "process_results": "table2",  # lm-eval then looks up no metric of its own
            "metric_list": [
                {"metric": metric, "aggregation": "f1" if metric == "f1" else "mean"}
                for metric in metrics
            ],
            **_splits(folder, num_fewshot),
        }
    )


@functools.cache
def lm_eval_task(name: str, folder: Path, num_fewshot: int) -> FileTask:
    """A task of lm-eval's, its configuration from the installed package alone."""
    from lm_eval.tasks._yaml_loader import load_yaml  # noqa: PLC0415

    class DatasetTask(FileTask):
        def download(self, dataset_kwargs: Any = None, **_kwargs: Any) -> None:
            files = {split: read(Path(file)) for split, file in dataset_kwargs.items()}
            self.dataset = {split: Dataset.from_list(rows) for split, rows in files.items()}

        def construct_requests(self, doc: Any, ctx: Any, **kwargs: Any) -> Any:
            if self.OUTPUT_TYPE == "multiple_choice" and not callable(self.config.process_results):
                self._check_answer(doc, kwargs["metadata"][1])
            return super().construct_requests(doc, ctx, **kwargs)

        def _check_answer(self, doc: Any, index: int) -> None:
            right = self.doc_to_text(doc) if self.multiple_input else self.doc_to_target(doc)
            try:
                check_answer(right, self.doc_to_choice(doc))
            except ValueError as error:
                raise DataError(f"task {name!r}, document {index + 1}: {error}") from None

    config = load_yaml(lm_eval_tasks()[name], resolve_func=True)
    for key in ("tag", "group", "dataset_path", "dataset_name", "custom_dataset"):
        config.pop(key, None)
    return DatasetTask(config=config | _splits(folder, num_fewshot))


def _splits(folder: Path, num_fewshot: int) -> dict[str, Any]:
    files = {"items": folder / ITEMS} | ({"fewshot": folder / FEWSHOT} if num_fewshot else {})
    by_split = {split: str(file) for split, file in files.items() if file.is_file()}
    return {
        "dataset_kwargs": by_split,
        "training_split": None,
        "validation_split": None,
        "test_split": "items",
        "fewshot_split": "fewshot" if "fewshot" in by_split else None,
        "num_fewshot": num_fewshot,
    }
