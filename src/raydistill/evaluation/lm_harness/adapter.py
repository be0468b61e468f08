"""lm-eval's view of a decoder and its tokenizer."""

import logging
import os
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM

from raydistill.core.errors import DataError
from raydistill.core.progress import tracked
from raydistill.data.text_beginning import begin_ids
from raydistill.evaluation.likelihood.continuations import Request, score_requests
from raydistill.models.decoder import Decoder
from raydistill.specs.results import Truncation

if TYPE_CHECKING:
    from tokenizers import Tokenizer


os.environ.setdefault("DISABLE_MULTIPROC", "1")  # lm_eval forks for its bootstrap otherwise

logging.getLogger("lm_eval").setLevel(logging.ERROR)

MAX_NEW_TOKENS = 256  # where a task does not say how many; lm-eval's own
GENERATION_BATCH = 16  # rows


class DecoderLM(TemplateLM):  # type: ignore[misc]
    """Answers lm-eval's requests with a decoder, as lm-eval's own `HFLM` would.

    Where a tokenizer begins every text with a token of its own (Llama's, Gemma's), this does too,
    unless the text spells it. What a tokenizer puts after a text (BERT's) is left out: a context
    does not end before its continuation.

    Args:
        model: scored as it is.
        tokenizer: of the model.
        end_of_text_id: the token that ends a text.
        max_length: the most tokens that the model reads at once; None: all that it can.
        first_id: the token that stands before a continuation without context; None: the one that
            begins every text, else end-of-text.
        unlike_file: the class that reads texts otherwise than their tokenizer.json, if one does.
    """

    def __init__(
        self,
        model: Decoder,
        tokenizer: "Tokenizer",
        end_of_text_id: int,
        max_length: int | None = None,
        first_id: int | None = None,
        unlike_file: str = "",
    ) -> None:
        super().__init__()
        self.max_length = max_length or model.config.max_length
        self.model = model
        self.tokenizer = tokenizer
        self.end_of_text_id = end_of_text_id
        self.unlike_file = unlike_file
        self.begin_ids = begin_ids(tokenizer)
        default_id = self.begin_ids[0] if self.begin_ids else end_of_text_id
        self.first_id = default_id if first_id is None else first_id
        self._make_special({end_of_text_id, self.first_id})
        self.first_text = str(tokenizer.decode([self.first_id], skip_special_tokens=False))
        self._is_truncated: dict[int | None, bool] = {}  # by item

    def _make_special(self, ids: Collection[int]) -> None:
        """Let a text spell tokens that tokenizer.json lists as plain entries, as HFLM does."""
        plain = set(ids) - self.tokenizer.get_added_tokens_decoder().keys()
        self.tokenizer.add_special_tokens([self.tokenizer.id_to_token(i) for i in sorted(plain)])

    @property
    def truncation(self) -> Truncation:
        """How many items, of all that were asked for, were longer than what is read."""
        return Truncation(
            max_length=self.max_length,
            items=len(self._is_truncated),
            truncated=sum(self._is_truncated.values()),
            unlike_file=self.unlike_file,
        )

    def _note_length(self, request: Instance, tokens: int, most: int) -> None:
        """Note whether the `tokens` of a request are more than the `most` that are read of it."""
        before = self._is_truncated.get(request.doc_id, False)
        self._is_truncated[request.doc_id] = before or tokens > most

    @property
    def eot_token_id(self) -> int:
        """The token that ends a text."""
        return self.end_of_text_id

    @property
    def prefix_token_id(self) -> int:
        """The token that stands before a continuation without context."""
        return self.first_id

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **_kwargs: Any
    ) -> list[int]:
        """The token ids of `string`, after the token that begins every text."""
        ids = self.tokenizer.encode(string, add_special_tokens=False).ids
        return ids if add_special_tokens is False else self._begun(string, ids)

    def _begun(self, text: str, ids: list[int]) -> list[int]:
        """The ids of a text as the tokenizer begins it, but for one that spells its beginning."""
        return ids if text.startswith(self.first_text) else [*self.begin_ids, *ids]

    def loglikelihood(
        self, requests: list[Instance], disable_tqdm: bool = True
    ) -> list[tuple[float, bool]]:
        """As lm-eval does it, every text encoded once."""
        pairs: list[tuple[str, str]] = [request.args for request in requests]
        texts = {text for pair in pairs for text in ("".join(pair), pair[0].rstrip())}
        ids = self._encoded(sorted(texts))
        self._check_ids(max(map(max, filter(None, ids.values())), default=0))
        encoded = [(pair, *self._split(pair, ids)) for pair in pairs]
        for request, (_, context, continuation) in zip(requests, encoded, strict=True):
            self._note_length(request, len(context) + len(continuation) - 1, self.max_length)
        return self._loglikelihood_tokens(encoded)

    def _check_ids(self, largest: int) -> None:
        size = self.model.config.vocab_size
        if largest >= size:
            token = self.tokenizer.id_to_token(largest)
            raise DataError(
                f"the tokenizer gives a task's text the id {largest} ({token!r}), the model has "
                f"{size} entries: name the tokenizer that it was trained with"
            )

    def _encoded(self, texts: Sequence[str]) -> dict[str, list[int]]:
        encodings = self.tokenizer.encode_batch(texts, add_special_tokens=False)
        return {text: encoding.ids for text, encoding in zip(texts, encodings, strict=True)}

    def _split(
        self, pair: tuple[str, str], ids: Mapping[str, list[int]]
    ) -> tuple[list[int], list[int]]:
        """The ids of a context and of its continuation.

        Spaces that end the context go to the continuation: tokens begin with theirs.
        `prefix_token_id` stands for an empty context. Of two that become one token, which HFLM
        refuses, that token is the continuation.
        """
        context, text = pair[0].rstrip(), "".join(pair)
        context_ids = self._begun(context, ids[context]) if pair[0] else []
        if context_ids:
            both = self._begun(text, ids[text])
            if len(both) > len(context_ids):
                return context_ids, both[len(context_ids) :]
            return both[:-1] or [self.first_id], both[-1:]
        begins = ids[text][0] == self.first_id
        return (ids[text][:1], ids[text][1:]) if begins else ([self.first_id], ids[text])

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
            ids, most = self.tok_encode(context), self.max_length - size
            self._check_ids(max(ids, default=0))
            self._note_length(request, len(ids), most)
            ids = ids[-most:] or [self.prefix_token_id]
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
        texts = [self._text(row, skip_special_tokens=True) for row in new]
        for stop in stops:
            texts = [text.partition(stop)[0] for text in texts]
        return texts

    def _text(self, ids: list[int], *, skip_special_tokens: bool = False) -> str:
        if self.eot_token_id in ids:
            ids = ids[: ids.index(self.eot_token_id)]
        return str(self.tokenizer.decode(ids, skip_special_tokens=skip_special_tokens))
