"""One corpus, the items of its tasks, and a model to score on them."""

import pytest
import torch

from raydistill.data.corpus.preparation import prepare_corpus
from raydistill.data.sources import embedded
from raydistill.evaluation.task_items import make_items
from raydistill.models.decoder import build
from raydistill.planning.custom_model import OWN_TASKS
from raydistill.specs.model import ModelConfig
from raydistill.storage.store import Store


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="session")
def folder(store):
    return prepare_corpus("smoke", store=store)


@pytest.fixture(scope="session")
def items(store, folder):
    """The file of items of every task."""
    return make_items(OWN_TASKS, store=store, folder=folder)


@pytest.fixture(scope="session")
def model():
    """Far from uniform, so that an error of one position shows."""
    fresh = build(
        ModelConfig(family="palm", num_layers=2, dim=16, num_heads=2, vocab_size=2048, context=64),
        0,
    )
    with torch.no_grad():
        for p in fresh.parameters():
            p.mul_(3)
    return fresh


@pytest.fixture(scope="session")
def heldout():
    _, documents = embedded.split(embedded.TRANSLATIONS, every=1, heldout=70)
    return documents
