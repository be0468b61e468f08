"""Calibration windows: spread over the training text, and never used twice."""

import pytest
import torch

from raydistill.data.batches import TokenFile
from raydistill.data.corpus.preparation import prepare_corpus
from raydistill.pruning.calibration import (
    PASS_TOKENS,
    SAMPLE_WINDOWS,
    SAMPLES,
    calibration_samples,
    sample_windows,
)
from raydistill.storage.store import Store

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return prepare_corpus("smoke", store=Store(tmp_path_factory.mktemp("store")))


def test_calibration_samples_share_no_window_and_no_heldout_text(corpus):
    data = TokenFile(corpus, 32)
    samples = calibration_samples(data, CPU)
    windows = [tuple(w) for sample in samples for batch in sample for w in batch.tolist()]
    assert len(set(windows)) == len(windows) == SAMPLES * SAMPLE_WINDOWS
    training = {tuple(w) for w in data.windows(list(range(data.num_windows)))[:, :-1].tolist()}
    assert set(windows) <= training
    assert max(batch.numel() for sample in samples for batch in sample) <= PASS_TOKENS


@pytest.mark.parametrize(("windows", "samples"), [(1, 1), (64, 1), (130, 2), (400, SAMPLES)])
def test_a_short_corpus_gives_fewer_samples_but_never_a_window_twice(corpus, windows, samples):
    data = TokenFile(corpus, 32)
    data.num_windows = windows
    chosen = calibration_samples(data, CPU)
    sizes = {sum(len(batch) for batch in sample) for sample in chosen}
    assert len(chosen) == samples
    assert sizes == {min(windows, SAMPLE_WINDOWS)}


def test_windows_to_score_and_to_measure_are_disjoint_and_spread(corpus):
    sample = sample_windows(TokenFile(corpus, 64), 8, CPU)
    scored, measured = torch.cat(sample.scored), torch.cat(sample.measured)
    assert scored.shape == measured.shape == (8, 65)
    assert not {tuple(row) for row in scored.tolist()} & {tuple(row) for row in measured.tolist()}
