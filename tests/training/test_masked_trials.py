"""An encoder that learns hidden tokens, from fresh weights to the scores of a healed student."""

import dataclasses
import json

import pytest

from raydistill.data.batches import open_tokens
from raydistill.distillation.loss import load_view
from raydistill.evaluation.likelihood.masked_perplexity import masked_nll
from raydistill.evaluation.stored_scores import rung_path
from raydistill.models.weights import load_weights
from raydistill.planning.outcomes import delta_nll, final_nll, metrics, objectives, outcome
from raydistill.specs.evaluation import EvalSpec
from raydistill.specs.model import FactorisedConfig
from raydistill.specs.results import Finished, UnitScores
from raydistill.specs.trial import DropPlan, ExternalBase, LayerDrop, RandomBase, TrialSpec
from raydistill.training.jobs import StopAt, TrialJob
from raydistill.training.pretraining import AGES, pretrain
from raydistill.training.trial import trial
from support.small_trials import (
    RECIPE,
    WORLD,
    close_after,
    pretraining,
    smoke_store,
    smoke_training,
)
from support.tiny import run_trial

MODEL = FactorisedConfig(
    family="encoder", num_layers=3, dim=16, num_heads=2, vocab_size=2048, context=32, embedding=8,
    feed_forward=32,
)  # fmt: skip
LOSS, SHARE = "masked-lm+share=0.3", 0.3
EVALUATION = EvalSpec(tasks=(), heldout_windows=40, curve_windows=8, mask_share=SHARE)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return smoke_store(tmp_path_factory.mktemp("store"))


def training(store, **changes):
    recipe = dataclasses.replace(RECIPE, micro_batches=2, **changes)
    return dataclasses.replace(smoke_training(store), loss=LOSS, recipe=recipe)


def job_of(store, **changes):
    """One run with the ages 256 and 1024 tokens."""
    spec = TrialSpec(base=RandomBase(model=MODEL, seed=0), plan=DropPlan(), train=training(store))
    return dataclasses.replace(pretraining(store, **changes), spec=spec, evaluation=EVALUATION)


def ages(store):
    path = store.path("pretraining", job_of(store).spec.trial_id, AGES)
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def bases(store):
    list(pretrain(job_of(store), world=WORLD))
    return ages(store)


def test_a_stopped_pretraining_resumes_to_the_same_bases(tmp_path, bases):
    store = smoke_store(tmp_path)
    job = job_of(store, checkpoint_every_s=0.0)
    close_after(pretrain(job, world=WORLD), tokens=384)
    list(pretrain(job, world=WORLD))
    assert ages(store) == bases


def test_what_it_hides_of_the_text_differs_by_epoch_alone(store):
    """Windows come in another order; what of each is hidden is a matter of the epoch."""
    spec = training(store)
    tokens = open_tokens(store.path("corpora", spec.corpus_sha256), MODEL)
    epoch = tokens.num_windows
    batches = [tokens.batch(0, step, epoch) for step in (0, 0, 1)]
    hidden = [
        dict(zip(batch.numbers, load_view(LOSS)(batch).at.tolist(), strict=True))
        for batch in batches
    ]
    assert hidden[0] == hidden[1]
    assert {*batches[0].epochs, *batches[2].epochs} == {0, 1}
    same = sum(hidden[0][number] == hidden[2][number] for number in hidden[0])
    assert same < 0.01 * epoch


@pytest.fixture
def job(store, bases):
    spec = TrialSpec(
        base=ExternalBase(name="tiny", revision="1024", weights_sha256=bases["1024"]),
        plan=DropPlan(drops=(LayerDrop(at_tokens=256, layer=1),)),
        train=dataclasses.replace(training(store, warm_phase_tokens=256), seed=1),
    )
    return TrialJob(
        spec=spec, base_sha256=bases["1024"], evaluation=EVALUATION, storage=str(store.root),
        sweep="test",
    )  # fmt: skip


def test_a_student_is_healed_and_measured_on_hidden_tokens(store, job):
    result = run_trial(job, world=WORLD)
    assert result.trained.kept == (0, 2)
    assert result.before.loss == result.after.loss == "masked-perplexity"
    weights = store.path("trials", job.spec.trial_id, "weights")
    corpus = store.path("corpora", job.spec.train.corpus_sha256)
    student = load_weights(weights).model
    again = masked_nll(student, corpus, windows=40, context=32, share=SHARE)
    assert result.after.nll == pytest.approx(again.value, rel=1e-6)
    few = masked_nll(student, corpus, windows=8, context=32, share=SHARE)
    assert result.trained.heldout_curve[-1].nll == pytest.approx(few.value, rel=1e-6)


def test_its_outcome_is_read_from_the_store_under_its_own_name(store, job):
    run_trial(job, world=WORLD)
    finished = outcome(job.spec, job.base_sha256, EVALUATION, store)
    assert isinstance(finished, Finished)
    assert list(finished.after) == ["masked-perplexity"]
    measured = metrics(finished, ())
    assert "masked_perplexity_drop_pct" in measured
    assert not [name for name in measured if name.startswith("perplexity")]
    for which in ("selection", "report"):
        assert objectives(finished, which, ())["delta_nll"] == delta_nll(finished, which)
    assert final_nll(finished, "selection") != final_nll(finished, "report")


def test_stopped_in_the_warm_phase_or_later_it_ends_with_the_same_weights(tmp_path, store, job):
    undisturbed = run_trial(job, world=WORLD)
    for tokens in (128, 640):
        other = smoke_store(tmp_path / str(tokens))
        other.path("bases").mkdir()
        other.path("bases", job.base_sha256).symlink_to(store.path("bases", job.base_sha256))
        there = dataclasses.replace(job, storage=str(other.root), checkpoint_every_s=0.0)
        close_after(trial(there, world=WORLD), tokens=tokens)
        result = run_trial(there, world=WORLD)
        assert result.trained.weights_sha256 == undisturbed.trained.weights_sha256
        assert result.trained.curve == undisturbed.trained.curve
        assert result.after == undisturbed.after


def test_a_rung_is_measured_on_hidden_tokens_too(tmp_path, store, job):
    other = smoke_store(tmp_path)
    other.path("bases").mkdir()
    other.path("bases", job.base_sha256).symlink_to(store.path("bases", job.base_sha256))
    there = dataclasses.replace(job, storage=str(other.root), until=StopAt(tokens=512))
    list(trial(there, world=WORLD))
    key = rung_path(job.spec, 512, EVALUATION, other)
    assert key[-1].startswith("512-masked-perplexity-")
    measured = other.load(UnitScores, *key)
    assert measured is not None
    assert sum(measured.counts) < 0.35 * 40 * 32
