"""lm-eval's view of a decoder and its tokenizer."""

import logging
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM

from raydistill.evaluation.likelihood.continuations import Request, score_requests
from raydistill.models.decoder import Decoder

if TYPE_CHECKING:
    from tokenizers import Tokenizer


os.environ.setdefault("DISABLE_MULTIPROC", "1")  # lm_eval forks for its bootstrap otherwise

logging.getLogger("lm_eval").setLevel(logging.ERROR)

MAX_NEW_TOKENS = 256
"""Generated where a task does not say how many, as by lm-eval."""

ROWS = 16
"""Generated together."""


class DecoderLM(TemplateLM):  # type: ignore[misc]
    """Answers lm-eval's requests with a decoder, as lm-eval's own `HFLM` would.

    A tokenizer that begins every text with a token of its own (Llama's, Gemma's) does so here.
    """

    def __init__(self, model: Decoder, tokenizer: "Tokenizer", end_of_text_id: int) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer
        self.end_of_text_id = end_of_text_id
        self.begins = begins_with(tokenizer)

    @property
    def eot_token_id(self) -> int:
        """What ends a text."""
        return self.end_of_text_id

    @property
    def prefix_token_id(self) -> int:
        """What stands before a continuation without context."""
        return self.begins[0] if self.begins else self.end_of_text_id

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **_kwargs: Any
    ) -> list[int]:
        """The token ids of `string`, after what begins every text."""
        return [*self.begins, *self.tokenizer.encode(string, add_special_tokens=False).ids]

    def loglikelihood(
        self, requests: list[Instance], disable_tqdm: bool = True
    ) -> list[tuple[float, bool]]:
        """As lm-eval does it, every text encoded once."""
        pairs = [_moved_spaces(*request.args) for request in requests]
        texts = {
            text for context, continuation in pairs for text in (context, context + continuation)
        }
        ids = self._encoded(sorted(texts))
        asked = [
            ((context, continuation), *self._split(ids[context], ids[context + continuation]))
            for context, continuation in pairs
        ]
        return self._loglikelihood_tokens(asked)

    def _encoded(self, texts: Sequence[str]) -> dict[str, list[int]]:
        found = self.tokenizer.encode_batch(texts, add_special_tokens=False)
        return {text: encoding.ids for text, encoding in zip(texts, found, strict=True)}

    def _split(self, context: list[int], whole: list[int]) -> tuple[list[int], list[int]]:
        """Context and continuation; without a context a token that begins texts stands for it."""
        if context:
            return [*self.begins, *context], whole[len(context) :]
        starts_alike = whole[0] == self.prefix_token_id
        return (whole[:1], whole[1:]) if starts_alike else ([self.prefix_token_id], whole)

    def _loglikelihood_tokens(
        self, requests: list[tuple[tuple[str, str], list[int], list[int]]], **_kwargs: Any
    ) -> list[tuple[float, bool]]:
        asked = [
            Request(context=tuple(context), continuation=tuple(continuation))
            for _, context, continuation in requests
        ]
        return [(a.log_probability, a.greedy) for a in score_requests(self.model, asked)]

    def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = False) -> list[float]:
        """Perplexity has its own module."""
        raise NotImplementedError

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """The likeliest text after each context, up to what ends it: greedy, whatever is asked."""
        answers: dict[int, str] = {}
        waiting: dict[tuple[int, int, tuple[str, ...]], list[tuple[int, list[int]]]] = {}
        for number, request in enumerate(requests):
            context, settings = request.args
            size = settings.get("max_gen_toks", settings.get("max_new_tokens", MAX_NEW_TOKENS))
            size = min(size, self.model.config.context // 2)
            ids = self.tok_encode(context)[-(self.model.config.context - size) :]
            ids = ids or [self.prefix_token_id]
            until = settings.get("until") or []
            ends = (until,) if isinstance(until, str) else tuple(until)
            waiting.setdefault((len(ids), size, ends), []).append((number, ids))
        for (_, size, ends), rows in waiting.items():
            for first in range(0, len(rows), ROWS):
                numbers, contexts = zip(*rows[first : first + ROWS], strict=True)
                texts = self._generated(contexts, size, tuple(filter(None, ends)))
                answers.update(zip(numbers, texts, strict=True))
        return [answers[number] for number in range(len(requests))]

    def _generated(
        self, contexts: Sequence[list[int]], size: int, ends: tuple[str, ...]
    ) -> list[str]:
        """What follows contexts of one length, cut before the first of `ends` or end-of-text."""
        device = next(self.model.parameters()).device

        def ended(new: list[int]) -> bool:
            return new[-1] == self.eot_token_id or any(end in self._text(new) for end in ends)

        new = self.model.generate(torch.tensor(contexts, device=device), size, ended)
        texts = [self._text(row) for row in new]
        for end in ends:
            texts = [text.partition(end)[0] for text in texts]
        return texts

    def _text(self, ids: list[int]) -> str:
        if self.eot_token_id in ids:
            ids = ids[: ids.index(self.eot_token_id)]
        return str(self.tokenizer.decode(ids, skip_special_tokens=False))


def begins_with(tokenizer: "Tokenizer") -> list[int]:
    """The token that a tokenizer puts before every text; empty if it puts none."""
    added = list(tokenizer.encode("", add_special_tokens=True).ids)
    return added if len(added) == 1 and tokenizer.encode("a").ids[0] == added[0] else []


def _moved_spaces(context: str, continuation: str) -> tuple[str, str]:
    """Spaces that end a context go to its continuation: tokens begin with theirs."""
    stripped = context.rstrip()
    return stripped, context[len(stripped) :] + continuation
