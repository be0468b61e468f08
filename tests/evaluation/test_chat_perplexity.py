"""The held-out loss of conversations: of the assistant's turns alone, by conversation."""

import numpy as np
import pytest
import torch

from raydistill.data.corpus.heldout_documents import read_info, read_marks, read_spans, read_tokens
from raydistill.data.corpus.preparation import prepare_corpus
from raydistill.evaluation.likelihood.perplexity import heldout_nll
from raydistill.evaluation.scoring import loss_key
from raydistill.models.decoder import build
from raydistill.models.huggingface.chat_rendering import chat_renderer
from raydistill.specs.evaluation import EvalSpec
from raydistill.specs.model import ModelConfig
from raydistill.storage.store import Store
from support.chats import CHATML, VOCABULARY, chats, save_chat_tokenizer, write_chats

CONFIG = ModelConfig(
    family="palm", num_layers=2, dim=16, num_heads=2, vocab_size=VOCABULARY, context=16
)


@pytest.fixture(scope="module", params=["", "<|endoftext|>"], ids=["plain", "begun"])
def folder(request, tmp_path_factory):
    """Conversations; in the second corpus each begins with a token, as its tokenizer has it."""
    path = tmp_path_factory.mktemp("chats")
    template = request.param and "{{ bos_token }}" + CHATML
    tokenizer = save_chat_tokenizer(path / "model", template or CHATML, bos_token="<|endoftext|>")
    if request.param:
        begin_with(tokenizer / "tokenizer.json", request.param)
    return prepare_corpus(
        str(write_chats(path / "a.jsonl", chats(64))), store=Store(path / "store"),
        tokenizer=tokenizer, vocab_size=VOCABULARY, context=16, text_field="messages",
        text_form="chat", renderer=chat_renderer,
    )  # fmt: skip


def begin_with(file, token):
    from tokenizers import Tokenizer, processors

    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{token} $A", special_tokens=[(token, tokenizer.token_to_id(token))]
    )
    tokenizer.save(str(file))


def slowly(model, folder):
    """Nats and targets of each conversation, one window at a time."""
    tokens, learned = read_tokens(folder), read_marks(folder)
    begin = read_info(folder).begin_ids
    sums, counts = {}, {}
    shared = not begin
    targets = CONFIG.context + 1 - max(1, len(begin))
    for span in read_spans(folder):
        for start in range(span.start, span.end - shared, targets):
            end = min(start + targets + shared, span.end)
            ids = np.concatenate([np.array(begin, dtype=np.int64), tokens[start:end]])
            is_target = np.concatenate([np.zeros(len(begin), bool), learned[start:end]])[1:]
            with torch.no_grad():
                log_p = model(torch.from_numpy(ids)[None, :-1])[0].double().log_softmax(-1)
            nats = -log_p[range(len(ids) - 1), ids[1:]][torch.from_numpy(is_target)].sum().item()
            sums[span.unit] = sums.get(span.unit, 0) + nats
            counts[span.unit] = counts.get(span.unit, 0) + int(is_target.sum())
    return sums, counts


def test_only_what_the_assistant_says_counts(folder):
    model = build(CONFIG, 0)
    sums, counts = slowly(model, folder)
    scores = heldout_nll(model, folder, windows=1_000_000, context=CONFIG.context)
    assert dict(zip(scores.units, scores.counts, strict=True)) == counts
    assert scores.sums == pytest.approx([sums[unit] for unit in scores.units], rel=1e-5)
    assert 0 < sum(counts.values()) < sum(s.end - s.start for s in read_spans(folder)) / 2


def test_a_beginning_that_the_template_writes_stands_once_and_is_no_target(folder):
    info, tokens = read_info(folder), read_tokens(folder)
    text = {span.start - len(info.begin_ids) for span in read_spans(folder)}
    begins = bool(info.begin_ids)
    assert {tuple(tokens[start : start + 2]) for start in text} == {
        (0, 2048) if begins else (2048, tokens[1])
    }


def test_the_loss_has_a_name_and_a_place_of_its_own(folder):
    info, plain = read_info(folder), EvalSpec(tasks=(), heldout_windows=8, curve_windows=8)
    chat = EvalSpec(tasks=(), heldout_windows=8, curve_windows=8, assistant=True)
    assert (plain.loss, chat.loss) == ("perplexity", "assistant-perplexity")
    assert loss_key(info, chat).startswith("assistant-perplexity-")
    assert loss_key(info, plain).startswith("perplexity-")
