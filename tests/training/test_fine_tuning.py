"""Fine-tuning on probes: the same bits for the same seed, padding unseen, what can be learnt is."""

import dataclasses

import pytest
import torch

from raydistill.core.progress import listening
from raydistill.evaluation.probing.item_files import make_items, read_items
from raydistill.evaluation.probing.labelled_items import LabelledItem, ProbeItems
from raydistill.evaluation.probing.stored import kept_probes
from raydistill.evaluation.stored_scores import measured
from raydistill.models.decoder import build
from raydistill.specs.evaluation import FRESH, PRETRAINED, probe_score
from raydistill.specs.model import FactorisedConfig
from raydistill.training.bases import measure
from raydistill.training.fine_tuning import _Item, _Reader, accuracy
from raydistill.training.jobs import BaseJob
from support.small_trials import EVALUATION, MODEL, WORLD, pretrained, smoke_store, smoke_training

WIDTHS = {"embedding": 8, "feed_forward": 32}
ENCODER = FactorisedConfig(**{**dataclasses.asdict(MODEL), "family": "encoder"}, **WIDTHS)
SPEC = dataclasses.replace(EVALUATION, probes=("kings",), probe_seeds=1)

KINGS = """
from raydistill.api import LabelledItem
LABELS = 2
def candidates(document, others, rng):
    for number in range(20):
        label = rng.randrange(2)
        texts = (rng.choice(("and he", "but they")), "king" if label else "shepherd")
        yield LabelledItem(unit=document.unit, texts=texts, label=label)
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return smoke_store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def folder(store):
    return store.path("corpora", smoke_training(store).corpus_sha256)


@pytest.fixture
def kings(store, folder, own_parts):
    """The items of a probe that asks for a word."""
    own_parts({"probes/kings.py": KINGS})
    make_items(["kings"], store=store, folder=folder)
    return read_items("kings", folder.name, SPEC, store)


@pytest.mark.parametrize("config", [MODEL, ENCODER], ids=["causal", "bidirectional"])
def test_what_can_be_learnt_is_learnt_and_a_seed_decides_every_bit(kings, folder, config):
    few = dataclasses.replace(kings, test=kings.test[:60])
    runs = [accuracy(build(config, 1), few, folder=folder, seed=seed) for seed in (1, 1)]
    assert runs[0] == runs[1]
    assert runs[0].value > 0.9
    assert runs[0].chance == 0.5
    assert sum(runs[0].counts) == 60
    counts = dict(zip(runs[0].units, runs[0].counts, strict=True))
    assert counts == {u: sum(item.unit == u for item in few.test) for u in counts}


def test_another_seed_is_another_run(store, folder):
    make_items(["book-kind"], store=store, folder=folder)
    items = read_items("book-kind", folder.name, SPEC, store)
    hard = ProbeItems(train=items.train[::8], test=items.test, labels=5, chance=0.2)
    rights = {accuracy(build(MODEL, 1), hard, folder=folder, seed=s).sums for s in (1, 2, 3)}
    assert len(rights) > 1


@pytest.mark.parametrize("config", [MODEL, ENCODER], ids=["causal", "bidirectional"])
def test_padding_is_not_seen(folder, config):
    model = build(config, 0)
    read = _Reader(folder, model)
    short, long = _Item([5, 6, 7], 0), _Item(list(range(5, 25)), 1)
    with torch.no_grad(), model.evaluating():
        alone = read.means(read.padded([short]))[0]
        beside = read.means(read.padded([short, long]))[0]
    torch.testing.assert_close(alone, beside, rtol=1e-5, atol=1e-6)


def test_texts_end_with_the_end_of_text_and_lose_their_end_where_they_are_long(folder):
    read = _Reader(folder, build(MODEL, 0))
    one = read.item(LabelledItem(unit="a", texts=("and he said",), label=0))
    assert one.ids[-1] == read.end
    assert read.tokenizer.decode(one.ids[:-1]) == "and he said"
    two = read.item(LabelledItem(unit="a", texts=("the king " * 40, "the sea " * 40), label=1))
    assert len(two.ids) <= MODEL.context
    assert two.ids.count(read.end) == 2
    assert len(two.ids) >= MODEL.context - 1


def test_a_base_is_measured_once_from_both_starts_and_no_mean_has_it(store, kings):
    base, corpus = pretrained(store)[1], smoke_training(store).corpus_sha256
    job = BaseJob(
        weights_sha256=base, corpus_sha256=corpus, evaluation=SPEC, layers=(),
        storage=str(store.root),
    )  # fmt: skip
    names = tuple(probe_score("kings", start, 1) for start in (PRETRAINED, FRESH))
    assert kept_probes(base, corpus, SPEC, store) == ({}, names)
    told = []
    with listening(told.append):
        assert measure(job, world=WORLD) == ()
    assert any("fine-tuning: kings fresh 1" in progress.part for progress in told)
    kept, missing = kept_probes(base, corpus, SPEC, store)
    assert missing == ()
    assert tuple(kept) == names
    assert all(scores.value > 0.9 for scores in kept.values())
    assert measured(base, corpus, SPEC, store) == measured(base, corpus, EVALUATION, store)
    file = next(store.path("scores", base).glob("probe-kings-fresh-*.json"))
    before = file.stat().st_mtime_ns
    measure(job, world=WORLD)
    assert file.stat().st_mtime_ns == before
