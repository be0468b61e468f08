import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from raydistill.core.errors import DataError
from raydistill.core.progress import listening
from raydistill.data.corpus.heldout_documents import read_documents, read_spans
from raydistill.data.corpus.preparation import prepare_corpus
from raydistill.evaluation.likelihood.heldout_loss import curve_nll
from raydistill.evaluation.likelihood.perplexity import heldout_nll, window_nats
from raydistill.models.decoder import build
from raydistill.models.huggingface.checkpoint import read_checkpoint
from raydistill.models.huggingface.loading import load_pretrained
from raydistill.specs.evaluation import EvalSpec
from raydistill.specs.model import ModelConfig
from raydistill.storage.store import Store
from support.texts import essays, write_jsonl
from support.tokenizer_kinds import save_kind

CONFIG = ModelConfig(family="palm", num_layers=2, dim=16, num_heads=2, vocab_size=2048, context=32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return prepare_corpus("smoke", store=Store(tmp_path_factory.mktemp("store")))


@pytest.fixture(scope="module")
def model():
    return build(CONFIG, 0)


def slowly(model, folder):
    """Nats and targets of each chapter, one window at a time."""
    tokens = np.fromfile(folder / "heldout.bin", dtype="<u2").astype(np.int64)
    sums, counts = {}, {}
    for document in json.loads((folder / "heldout.json").read_text())["documents"]:
        ids = torch.from_numpy(tokens[document["start"] : document["end"]])
        for start in range(0, len(ids) - 1, CONFIG.context):
            window = ids[start : start + CONFIG.context + 1]
            with torch.no_grad():
                log_probabilities = model(window[None, :-1])[0].double().log_softmax(-1)
            nats = -log_probabilities[range(len(window) - 1), window[1:]].sum().item()
            sums[document["unit"]] = sums.get(document["unit"], 0) + nats
            counts[document["unit"]] = counts.get(document["unit"], 0) + len(window) - 1
    return sums, counts


def test_all_windows_count_every_token_but_the_first_of_a_document(folder, model):
    sums, counts = slowly(model, folder)
    scores = heldout_nll(model, folder, windows=1_000_000, context=CONFIG.context)
    assert dict(zip(scores.units, scores.counts, strict=True)) == counts
    assert scores.sums == pytest.approx([sums[unit] for unit in scores.units], rel=1e-5)
    documents = json.loads((folder / "heldout.json").read_text())["documents"]
    assert sum(scores.counts) == sum(d["end"] - d["start"] - 1 for d in documents)


def test_few_windows_are_spread_over_all_chapters(folder, model):
    scores = heldout_nll(model, folder, windows=24, context=CONFIG.context)
    assert 24 * 0.8 * CONFIG.context <= sum(scores.counts) <= 24 * CONFIG.context
    assert len(scores.units) >= 10


def test_a_fresh_model_guesses_among_the_whole_vocabulary(folder, model):
    value = heldout_nll(model, folder, windows=24, context=CONFIG.context).value
    assert value == pytest.approx(np.log(CONFIG.vocab_size), abs=0.5)


def test_windows_run_in_batches_of_about_four_thousand_tokens(folder, model):
    batches = []
    with model.watching_blocks(lambda layer, inputs, _: batches.append(inputs.shape[:2])):
        heldout_nll(model, folder, windows=1_000_000, context=CONFIG.context)
    assert all(windows * size <= 4_096 for windows, size in batches)
    assert (4_096 // CONFIG.context, CONFIG.context) in batches


def test_a_window_longer_than_a_batch_runs_alone(folder):
    model = build(replace(CONFIG, context=8_192), 0)
    batches = []
    with model.watching_blocks(lambda layer, inputs, _: batches.append(inputs.shape[0])):
        heldout_nll(model, folder, windows=4, context=8_192)
    assert batches == [1] * 4 * CONFIG.num_layers


def test_measuring_changes_nothing(folder, model):
    model.train()
    first = heldout_nll(model, folder, windows=24, context=CONFIG.context)
    assert model.training
    assert all(p.grad is None for p in model.parameters())
    assert heldout_nll(model, folder, windows=24, context=CONFIG.context) == first


def test_a_target_of_minus_100_does_not_count(model):
    inputs_BT, targets_BT = torch.arange(6).view(2, 3), torch.arange(1, 7).view(2, 3)
    with torch.no_grad():
        log_q_BTV = model(inputs_BT).double().log_softmax(-1)
    nats_BT = -log_q_BTV.gather(-1, targets_BT[..., None])[..., 0]
    padded_BT = torch.tensor([[1, -100, 3], [-100, -100, 6]])
    expected_B = torch.stack([nats_BT[0, 0] + nats_BT[0, 2], nats_BT[1, 2]])
    torch.testing.assert_close(
        window_nats(model, inputs_BT, padded_BT), expected_B, rtol=1e-5, atol=0
    )


def test_progress_is_in_tokens_of_the_windows(folder, model):
    reports = []
    with listening(reports.append):
        heldout_nll(model, folder, windows=24, context=CONFIG.context)
    lengths = [CONFIG.context + 1] * 24  # at most, as the last window of a document may be shorter
    assert 0.8 * sum(lengths) <= reports[-1].total <= sum(lengths)
    assert reports[-1].done == pytest.approx(reports[-1].total)


def test_a_curve_is_measured_on_its_own_few_windows(folder, model):
    spec = EvalSpec(tasks=(), heldout_windows=1_000, curve_windows=8)
    few = heldout_nll(model, folder, windows=8, context=CONFIG.context)
    assert curve_nll(folder, spec)(model) == few.value
    assert sum(few.counts) <= 8 * CONFIG.context


def test_a_corpus_without_held_out_text_is_refused(folder, model, tmp_path):
    for name in ("corpus.json", "heldout.bin"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "heldout.json").write_text('{"documents": []}')
    with pytest.raises(DataError, match="no held-out text"):
        heldout_nll(model, tmp_path, windows=8, context=CONFIG.context)


@pytest.mark.parametrize("kind", ["begins", "begins and ends", "first", "has one, does not begin"])
def test_windows_begin_as_the_tokenizer_begins_texts(kind, tmp_path):
    """Each token of a text is a target once, what texts begin with never."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = save_kind(tmp_path / "model", kind)
    text = write_jsonl(tmp_path / "text.jsonl", essays())
    corpus = prepare_corpus(text, store=Store(tmp_path / "store"), tokenizer=folder)
    stock, tokenizer = (
        AutoModelForCausalLM.from_pretrained(folder),
        AutoTokenizer.from_pretrained(folder),
    )
    begin = [tokenizer.bos_token_id] if kind != "has one, does not begin" else []
    size, nats, targets = 24, 0.0, 0
    for document in read_documents(corpus):
        ids = tokenizer.encode(document.text, add_special_tokens=False)
        for start in range(0, len(ids) - (not begin), size):
            row = torch.tensor([[*begin, *ids[start : start + size + (not begin)]]])
            assert row.shape[1] <= size + 1
            with torch.no_grad():
                loss = stock(row, labels=row).loss.double()
            nats, targets = nats + loss.item() * (row.shape[1] - 1), targets + row.shape[1] - 1
    decoder = load_pretrained(read_checkpoint(str(folder), "main"))
    scores = heldout_nll(decoder, corpus, windows=10**6, context=size)
    assert sum(scores.counts) == targets
    assert scores.value == pytest.approx(nats / targets, abs=1e-5)
    if begin:
        ends = sum(span.end - span.start for span in read_spans(corpus))
        assert targets == ends
