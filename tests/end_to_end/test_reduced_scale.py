"""A sweep over shapes for real: killed amid its pretrainings, it goes on as if nothing had been."""

import json
import signal
import time

import pytest

from raydistill.data.known_corpora import corpus_id
from raydistill.planning.artifacts import pretraining
from raydistill.reports.sources.from_store import from_store
from raydistill.runners.pretraining import pretrain_work
from raydistill.specs.scale import load_scale
from raydistill.storage.store import Store
from raydistill.training.jobs import PretrainJob
from support import sweeping

SWEEP = "reduced_scale"
SIZES = ("smoke_reduced", "smoke_reduced+width=8", "smoke_reduced+mask=0.15")
AGES = ("80B", "320B")
FLAGS = ("--size", ",".join(SIZES), "--age", ",".join(AGES))


@pytest.fixture(scope="module")
def storage(prepared, run_sweep, ray_address, tmp_path_factory):
    """That of a sweep whose driver was killed once a run had kept its first base."""
    storage = prepared(tmp_path_factory.mktemp("shapes"))
    before = set(storage.glob("pretraining/*/ages.json"))
    process = sweeping.start(storage, *FLAGS, script=f"sweeps/{SWEEP}.py", RAY_ADDRESS=ray_address)
    deadline = time.monotonic() + 300
    while set(storage.glob("pretraining/*/ages.json")) == before and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not list(storage.glob("trials/*/trained.json"))
    done = run_sweep(SWEEP, storage, *FLAGS)
    assert done.returncode == 0, done.stderr
    return storage


def test_a_run_that_was_killed_has_the_bases_of_one_that_was_not(storage, prepared, tmp_path):
    calm, scale = Store(prepared(tmp_path)), load_scale(SIZES[1])
    spec = pretraining(scale, corpus_id(scale, calm))
    job = PretrainJob(
        spec=spec,
        ages_tokens=tuple(map(scale.age_tokens, scale.ages)),
        evaluation=scale.evaluation,
        storage=str(calm.root),
    )
    for _ in pretrain_work(job):
        pass
    ages = [
        json.loads(store.path("pretraining", spec.trial_id, "ages.json").read_text())
        for store in (calm, Store(storage))
    ]
    assert ages[0] == ages[1]


def test_every_age_of_every_shape_is_tracked_once_and_not_trained_again(storage, run_sweep):
    before = sweeping.results(storage)
    again = run_sweep(SWEEP, storage, *FLAGS)
    assert again.returncode == 0, again.stderr
    assert "nothing is trained" in again.stdout
    assert sweeping.results(storage) == before
    cells = sweeping.assert_every_step_once(storage, SWEEP)
    values = [(run.data.params["size"], run.data.params["age"]) for run in cells]
    assert sorted(values) == sorted((size, age) for size in SIZES for age in AGES)


def test_the_report_has_every_base_with_its_loss(storage):
    (report,) = from_store(Store(storage), [SWEEP])
    losses = {(base.scale, base.age): base.scores.nll for base in report.bases}
    assert len(losses) == len(SIZES) * len(AGES)
    lines = {base.scale for base in report.bases if base.masked_unigram_nats is not None}
    assert lines == {SIZES[2]}
    for size in SIZES:
        ages = load_scale(size).ages
        assert losses[size, ages[-1]] < losses[size, ages[0]] < 8
