"""One pretraining run makes the base of every age."""

import pytest
import torch

from raydistill.models.weights import load_weights
from raydistill.training.bases import base_folder
from raydistill.training.pretraining import pretrain
from support.small_trials import (
    WORLD,
    bases_by_age,
    close_after,
    pretrained,
    pretraining,
    smoke_store,
    steps,
)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return smoke_store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def bases(store):
    """The sha256 of the bases of 256 and 1024 tokens."""
    return pretrained(store)


def test_one_pretraining_run_keeps_a_base_for_every_age(store, bases):
    young, old = (load_weights(base_folder(sha256, store)).model for sha256 in bases)
    assert not torch.equal(young.embedding.weight, old.embedding.weight)


def test_a_stopped_pretraining_resumes_to_the_same_bases(tmp_path, bases):
    store = smoke_store(tmp_path)
    job = pretraining(store, checkpoint_every_s=0.0)
    close_after(pretrain(job, world=WORLD), tokens=384)
    rest = list(pretrain(job, world=WORLD))
    assert bases_by_age(store) == bases
    assert steps(rest) == 5  # of eight; the stop left a checkpoint
