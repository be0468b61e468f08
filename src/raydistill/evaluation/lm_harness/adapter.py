"""lm-eval's view of a decoder and its tokenizer."""

import logging
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM

from raydistill.core.progress import tracked
from raydistill.evaluation.likelihood.continuations import Request, score_requests
from raydistill.models.decoder import Decoder

if TYPE_CHECKING:
    from tokenizers import Tokenizer


os.environ.setdefault("DISABLE_MULTIPROC", "1")  # lm_eval forks for its bootstrap otherwise

logging.getLogger("lm_eval").setLevel(logging.ERROR)

MAX_NEW_TOKENS = 256  # where a task does not say how many; lm-eval's own
GENERATION_BATCH = 16  # rows


class DecoderLM(TemplateLM):  # type: ignore[misc]
    """Answers lm-eval's requests with a decoder, as lm-eval's own `HFLM` would.

    Where a tokenizer begins every text with a token of its own (Llama's, Gemma's), this does too.
    `max_length` are the most tokens that the model reads at once, by default all that it can.
    """

    def __init__(
        self,
        model: Decoder,
        tokenizer: "Tokenizer",
        end_of_text_id: int,
        max_length: int | None = None,
    ) -> None:
        super().__init__()
        self.max_length = max_length or model.config.max_length
        self.model = model
        self.tokenizer = tokenizer
        self.end_of_text_id = end_of_text_id
        self.prefix_ids = prefix_ids_of(tokenizer)

    @property
    def eot_token_id(self) -> int:
        """The token that ends a text."""
        return self.end_of_text_id

    @property
    def prefix_token_id(self) -> int:
        """The token that stands before a continuation without context."""
        return self.prefix_ids[0] if self.prefix_ids else self.end_of_text_id

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **_kwargs: Any
    ) -> list[int]:
        """The token ids of `string`, after the token that begins every text."""
        return [*self.prefix_ids, *self.tokenizer.encode(string, add_special_tokens=False).ids]

    def loglikelihood(
        self, requests: list[Instance], disable_tqdm: bool = True
    ) -> list[tuple[float, bool]]:
        """As lm-eval does it, every text encoded once."""
        pairs = [_moved_spaces(*request.args) for request in requests]
        texts = {
            text for context, continuation in pairs for text in (context, context + continuation)
        }
        ids = self._encoded(sorted(texts))
        return self._loglikelihood_tokens(
            [
                ((context, continuation), *self._split(ids[context], ids[context + continuation]))
                for context, continuation in pairs
            ]
        )

    def _encoded(self, texts: Sequence[str]) -> dict[str, list[int]]:
        encodings = self.tokenizer.encode_batch(texts, add_special_tokens=False)
        return {text: encoding.ids for text, encoding in zip(texts, encodings, strict=True)}

    def _split(self, context: list[int], text: list[int]) -> tuple[list[int], list[int]]:
        """Context and continuation of a text; `prefix_token_id` stands for an empty context."""
        if context:
            return [*self.prefix_ids, *context], text[len(context) :]
        has_prefix = text[0] == self.prefix_token_id
        return (text[:1], text[1:]) if has_prefix else ([self.prefix_token_id], text)

    def _loglikelihood_tokens(
        self, requests: list[tuple[tuple[str, str], list[int], list[int]]], **_kwargs: Any
    ) -> list[tuple[float, bool]]:
        own_requests = [
            Request(context=tuple(context), continuation=tuple(continuation))
            for _, context, continuation in requests
        ]
        scores = score_requests(self.model, own_requests, self.max_length)
        return [(score.log_probability, score.greedy) for score in scores]

    def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = False) -> list[float]:
        """Not supported: perplexity is measured by `likelihood/perplexity.py`."""
        raise NotImplementedError

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """The likeliest text after each context, up to a stop string; always greedy."""
        answers: dict[int, str] = {}
        alike: dict[tuple[int, int, tuple[str, ...]], list[tuple[int, list[int]]]] = {}
        for i, request in enumerate(requests):
            context, settings = request.args
            size = settings.get("max_gen_toks", settings.get("max_new_tokens", MAX_NEW_TOKENS))
            if size >= self.max_length:  # where `HFLM` gives up
                size = self.max_length // 2
            ids = self.tok_encode(context)[-(self.max_length - size) :]
            ids = ids or [self.prefix_token_id]
            until = settings.get("until") or []
            stops = (until,) if isinstance(until, str) else tuple(until)
            alike.setdefault((len(ids), size, stops), []).append((i, ids))
        batches = [
            (size, stops, rows[first : first + GENERATION_BATCH])
            for (_, size, stops), rows in alike.items()
            for first in range(0, len(rows), GENERATION_BATCH)
        ]
        for size, stops, rows in tracked(batches, "", "tokens", size=lambda batch: batch[0]):
            indices, contexts = zip(*rows, strict=True)
            texts = self._generated(contexts, size, tuple(filter(None, stops)))
            answers.update(zip(indices, texts, strict=True))
        return [answers[i] for i in range(len(requests))]

    def _generated(
        self, contexts: Sequence[list[int]], size: int, stops: tuple[str, ...]
    ) -> list[str]:
        """What follows contexts of one length, cut before the first of `stops` or end-of-text."""
        device = next(self.model.parameters()).device

        def has_ended(new: list[int]) -> bool:
            return new[-1] == self.eot_token_id or any(stop in self._text(new) for stop in stops)

        new = self.model.generate(torch.tensor(contexts, device=device), size, has_ended)
        texts = [self._text(row) for row in new]
        for stop in stops:
            texts = [text.partition(stop)[0] for text in texts]
        return texts

    def _text(self, ids: list[int]) -> str:
        if self.eot_token_id in ids:
            ids = ids[: ids.index(self.eot_token_id)]
        return str(self.tokenizer.decode(ids, skip_special_tokens=False))


def prefix_ids_of(tokenizer: "Tokenizer") -> list[int]:
    """The token that a tokenizer puts before every text; empty if it puts none."""
    ids = list(tokenizer.encode("", add_special_tokens=True).ids)
    return ids if len(ids) == 1 and tokenizer.encode("a").ids[0] == ids[0] else []


def _moved_spaces(context: str, continuation: str) -> tuple[str, str]:
    """Moves the spaces that end a context to its continuation: tokens begin with theirs."""
    stripped = context.rstrip()
    return stripped, context[len(stripped) :] + continuation
