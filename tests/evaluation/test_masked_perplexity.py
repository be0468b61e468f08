"""The loss of hidden held-out tokens: which they are, that nothing else counts, and its name."""

import dataclasses

import numpy as np
import pytest
import torch

from raydistill.core.serialization import to_json
from raydistill.data.corpus.heldout_documents import read_info, read_tokens
from raydistill.data.corpus.preparation import prepare_corpus
from raydistill.data.heldout_windows import heldout_windows
from raydistill.data.masking import heldout_places
from raydistill.evaluation.likelihood.heldout_loss import curve_nll, heldout_loss
from raydistill.evaluation.likelihood.masked_perplexity import masked_nll
from raydistill.evaluation.likelihood.perplexity import heldout_nll
from raydistill.evaluation.scoring import kept_documents, loss_key, requested_scores, scores_of
from raydistill.models.decoder import Decoder, build
from raydistill.specs.evaluation import EvalSpec
from raydistill.specs.model import FactorisedConfig, ModelConfig
from raydistill.specs.results import loss_by_document
from raydistill.storage.store import Store
from support.unigram import frequencies, heldout_targets, unigram_nats

CONFIG = FactorisedConfig(
    family="encoder", num_layers=2, dim=16, num_heads=2, vocab_size=2048, context=32, embedding=8,
    feed_forward=32,
)  # fmt: skip
SHARE, ALL = 0.15, 1_000_000
SPEC = EvalSpec(tasks=(), heldout_windows=24, curve_windows=8, mask_share=SHARE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return prepare_corpus("smoke", store=Store(tmp_path_factory.mktemp("store")))


@pytest.fixture(scope="module")
def model():
    return build(CONFIG, 0)


class Constant(Decoder):
    """The same logits at every position, whatever it reads; it notes what that is."""

    def __init__(self, logits_V):
        super().__init__(
            ModelConfig(
                family="palm", num_layers=0, dim=1, num_heads=1, vocab_size=len(logits_V),
                context=32,
            )
        )  # fmt: skip
        self.logits_V = torch.nn.Parameter(logits_V)
        self.read = []

    def hidden(self, tokens_BT, positions_BT=None, visible_BTT=None):
        self.read.append(tokens_BT)
        return torch.ones(*tokens_BT.shape, 1)

    def head(self, hidden_D):
        return hidden_D * self.logits_V

    def attention(self, position, inputs_BTD):
        raise NotImplementedError


def test_uniform_logits_give_the_logarithm_of_the_vocabulary(folder):
    scores = masked_nll(Constant(torch.zeros(2048)), folder, windows=ALL, context=32, share=SHARE)
    assert scores.value == pytest.approx(np.log(2048), rel=1e-6)


@pytest.mark.parametrize("share", [0.0, 0.15, 0.5])
def test_a_model_of_frequencies_has_the_unigram_loss(folder, share):
    model = Constant(torch.from_numpy(np.log(frequencies(folder, masked=share > 0))).float())
    if share:
        value = masked_nll(model, folder, windows=ALL, context=32, share=share).value
    else:
        value = heldout_nll(model, folder, windows=ALL, context=32).value
    assert value == pytest.approx(
        unigram_nats(folder, windows=ALL, context=32, share=share), abs=1e-4
    )


def test_frequencies_are_those_of_the_training_text(folder):
    counts = np.bincount(np.fromfile(folder / "train.bin", dtype="<u2"), minlength=2048)
    shares = frequencies(folder, masked=False)
    assert shares.sum() == pytest.approx(1)
    assert shares[17] == pytest.approx((counts[17] + 1) / (counts.sum() + 2048))
    assert frequencies(folder, masked=True)[0] < 1e-5 < shares[0]


def test_each_window_hides_exactly_its_share_and_no_target_is_read(folder):
    model = Constant(torch.zeros(2048))
    scores = masked_nll(model, folder, windows=ALL, context=32, share=SHARE)
    windows = heldout_windows(folder, windows=ALL, context=32)
    expected = sum(round(SHARE * min(w.end - w.start, 32)) for w in windows)
    assert sum(scores.counts) == expected == len(heldout_targets(folder, ALL, 32, SHARE))
    assert sum(int((ids == 0).sum()) for ids in model.read) == expected
    assert all(0 < ids.shape[1] <= 32 for ids in model.read)
    assert dict.fromkeys(scores.units) == dict.fromkeys(w.unit for w in windows)


def test_windows_are_read_without_padding_and_as_if_alone(folder, model):
    """A short last window would be told otherwise beside the padding that longer ones give it."""
    tokens, sums = read_tokens(folder), {}
    for window in heldout_windows(folder, windows=ALL, context=32):
        text = tokens[window.start : window.end][:32].copy()
        places = heldout_places(text, window.start, SHARE, 0)
        targets = text[places]
        text[places] = 0
        with torch.no_grad():
            log_p = model(torch.from_numpy(text)[None])[0].double().log_softmax(-1)
        nats = -log_p[places, targets].sum().item()
        sums[window.unit] = sums.get(window.unit, 0) + nats
    scores = masked_nll(model, folder, windows=ALL, context=32, share=SHARE)
    assert scores.units == tuple(sums)
    assert scores.sums == pytest.approx(list(sums.values()), rel=1e-5)


def test_a_window_hides_the_same_tokens_among_few_as_among_all(folder, model):
    few = heldout_windows(folder, windows=24, context=32)
    assert set(few) < set(heldout_windows(folder, windows=ALL, context=32))
    once, again = (masked_nll(model, folder, windows=24, context=32, share=SHARE) for _ in "12")
    assert once == again


def test_windows_that_begin_with_a_token_keep_it(tmp_path, folder):
    """It is read in every window, and neither hidden nor told."""
    corpus = tmp_path / "begun"
    corpus.mkdir()
    for file in folder.iterdir():
        (corpus / file.name).write_bytes(file.read_bytes())
    info = dataclasses.replace(read_info(folder), begin_ids=(5,))
    (corpus / "corpus.json").write_text(to_json(info))
    model = Constant(torch.zeros(2048))
    scores = masked_nll(model, corpus, windows=ALL, context=32, share=0.9)
    assert all((ids[:, 0] == 5).all() for ids in model.read)
    assert max(ids.shape[1] for ids in model.read) == 32
    assert sum(scores.counts) == len(heldout_targets(corpus, ALL, 32, 0.9))


def test_what_is_measured_is_what_the_specification_says(folder, model):
    masked = heldout_loss(model, folder, SPEC)
    assert masked == masked_nll(model, folder, windows=24, context=32, share=SHARE)
    causal = dataclasses.replace(SPEC, mask_share=0.0)
    assert heldout_loss(model, folder, causal) == heldout_nll(model, folder, windows=24, context=32)
    few = masked_nll(model, folder, windows=8, context=32, share=SHARE)
    assert curve_nll(folder, SPEC)(model) == few.value


def test_it_is_kept_and_named_as_what_it_is(folder, store, model):
    scores = scores_of("e" * 64, lambda: model, store=store, folder=folder, spec=SPEC)
    assert scores.loss == "masked-perplexity"
    assert scores.nll == heldout_loss(model, folder, SPEC).value
    assert requested_scores(SPEC) == ("masked-perplexity",)
    (file,) = store.path("scores", "e" * 64).iterdir()
    assert file.name.startswith("masked-perplexity-")
    info = read_info(folder)
    documents = kept_documents("e" * 64, store=store, corpus=info, spec=SPEC)
    assert loss_by_document(documents).value == scores.nll
    specs = (SPEC, *(dataclasses.replace(SPEC, mask_share=share) for share in (0.0, 0.3)))
    keys = {loss_key(info, spec, general=general) for spec in specs for general in (False, True)}
    assert len(keys) == 6
    assert kept_documents("e" * 64, store=store, corpus=info, spec=specs[2]) == {}
