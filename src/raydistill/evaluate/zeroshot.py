"""Zero-shot tasks, scored by lm-eval through our own model. The only door to `lm_eval`."""

import functools
import json
import logging
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raydistill.evaluate.heldout import read_info
from raydistill.evaluate.loglikelihood import Request, answer
from raydistill.evaluate.tasks import metric
from raydistill.models import Decoder
from raydistill.outcomes import UnitScores
from raydistill.tokenizer import load_tokenizer

os.environ.setdefault("DISABLE_MULTIPROC", "1")  # lm_eval forks for its bootstrap otherwise
logging.getLogger("lm_eval").setLevel(logging.ERROR)

from lm_eval import evaluator  # noqa: E402  (reads the environment above)
from lm_eval.api.instance import Instance  # noqa: E402
from lm_eval.api.model import TemplateLM  # noqa: E402
from lm_eval.api.task import ConfigurableTask  # noqa: E402

if TYPE_CHECKING:
    from tokenizers import Tokenizer

BOOTSTRAP_ITERATIONS = 100  # for metrics without a closed form; 0 would drop every stderr


def score_tasks(model: Decoder, folder: Path, items: Mapping[str, Path]) -> dict[str, UnitScores]:
    """Right answers and items of each held-out unit, by task.

    Args:
        model: scored as it is, in evaluation mode.
        folder: the corpus, whose tokenizer is used.
        items: the file of items of each task, from `make_items`.

    Raises:
        UsageError: if there is no such task.
    """
    tasks = {name: _load_task(name, file) for name, file in items.items()}
    lm = DecoderLM(model, _tokenizer(folder), read_info(folder).end_of_text_id)
    result = evaluator.evaluate(lm=lm, task_dict=tasks, bootstrap_iters=BOOTSTRAP_ITERATIONS)
    return {name: _by_unit(result["samples"][name], metric(name)) for name in items}


class DecoderLM(TemplateLM):  # type: ignore[misc]
    """lm-eval's view of a decoder and its tokenizer."""

    def __init__(self, model: Decoder, tokenizer: "Tokenizer", end_of_text_id: int) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer
        self.end_of_text_id = end_of_text_id

    @property
    def eot_token_id(self) -> int:
        """What stands before a continuation without context."""
        return self.end_of_text_id

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **_kwargs: Any
    ) -> list[int]:
        """The token ids of `string`; special tokens are never added."""
        return list(self.tokenizer.encode(string, add_special_tokens=False).ids)

    def loglikelihood(
        self, requests: list[Instance], disable_tqdm: bool = True
    ) -> list[tuple[float, bool]]:
        """As lm-eval does it, without its progress bar."""
        answers: list[tuple[float, bool]] = super().loglikelihood(requests, disable_tqdm=True)
        return answers

    def _loglikelihood_tokens(
        self, requests: list[tuple[tuple[str, str], list[int], list[int]]], **_kwargs: Any
    ) -> list[tuple[float, bool]]:
        asked = [
            Request(context=tuple(context), continuation=tuple(continuation))
            for _, context, continuation in requests
        ]
        return [(a.log_probability, a.greedy) for a in answer(self.model, asked)]

    def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = False) -> list[float]:
        """Perplexity has its own module."""
        raise NotImplementedError

    def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
        """No task generates."""
        raise NotImplementedError


class _Items(list[dict[str, Any]]):
    """The items of a task, as much of a `datasets.Dataset` as lm-eval asks for."""

    @property
    def features(self) -> dict[str, Any]:
        """The fields of an item."""
        return dict.fromkeys(self[0])


class _ChoiceTask(ConfigurableTask):  # type: ignore[misc]
    """A multiple-choice task from a JSONL file: no Hugging Face cache, no progress bars."""

    def download(self, dataset_kwargs: Any = None, **_kwargs: Any) -> None:
        """Read the file of the configuration."""
        lines = Path(self.config.dataset_path).read_text(encoding="utf-8").splitlines()
        self.dataset = {"validation": _Items(map(json.loads, lines))}

    def build_all_requests(self, **_kwargs: Any) -> None:
        """The requests of every item; built once, the answers of an earlier model forgotten."""
        self._instances = self._requests
        for request in self._requests:
            request.resps.clear()
            request.filtered_resps.clear()

    @functools.cached_property
    def _requests(self) -> list[Instance]:
        return [
            request
            for number, item in enumerate(self.eval_docs)
            for request in self.construct_requests(
                item, self.doc_to_text(item), metadata=(self.config.task, number, 1)
            )
        ]


@functools.cache
def _load_task(name: str, items: Path) -> _ChoiceTask:
    return _ChoiceTask(
        config={
            "task": name,
            "dataset_path": str(items),
            "validation_split": "validation",
            "output_type": "multiple_choice",
            "doc_to_text": "context",
            "doc_to_choice": "choices",
            "doc_to_target": "answer",
            "metric_list": [{"metric": metric(name)}],
        }
    )


@functools.cache
def _tokenizer(folder: Path) -> "Tokenizer":
    return load_tokenizer(folder / "tokenizer.json")


def _by_unit(samples: list[dict[str, Any]], score: str) -> UnitScores:
    right: Counter[str] = Counter()
    items: Counter[str] = Counter()
    for sample in samples:
        right[sample["doc"]["unit"]] += sample[score]
        items[sample["doc"]["unit"]] += 1
    return UnitScores(
        units=tuple(items),
        sums=tuple(float(right[unit]) for unit in items),
        counts=tuple(items.values()),
    )
