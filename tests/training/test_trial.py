"""From nothing to scores through one door: bases, trials, and never the same work twice."""

import dataclasses
import json
import shutil

import pytest
import torch

from raydistill.core.errors import DataError
from raydistill.core.parts import SCORE, part_names
from raydistill.data.batches import open_tokens
from raydistill.data.corpus.preparation import prepare_corpus
from raydistill.evaluation.stored_scores import cut_path, measured, rung_path, selection_nll
from raydistill.models.distributed import World
from raydistill.models.weights import load_weights
from raydistill.planning.outcomes import metrics, outcome
from raydistill.pruning.calibration import (
    SAMPLES,
    SCORED_TOKENS,
    SCORED_WINDOWS,
    calibration_samples,
)
from raydistill.pruning.layer_choice import LayerChoice, LayerRequest, layer_choice_path
from raydistill.specs.evaluation import EvalSpec
from raydistill.specs.model import ModelConfig
from raydistill.specs.results import (
    Finished,
    HeldoutPoint,
    Progress,
    TrialResult,
    Unfinished,
    UnitScores,
)
from raydistill.specs.trial import (
    CachedTeacher,
    DropPlan,
    ExternalBase,
    LayerDrop,
    RandomBase,
    Recipe,
    TrainSpec,
    TrialSpec,
)
from raydistill.storage.store import Store
from raydistill.training.bases import base_folder, measure, measure_cuts
from raydistill.training.jobs import BaseJob, CutJob, PretrainJob, StopAt, TrialJob
from raydistill.training.pretraining import AGES, pretrain
from raydistill.training.throughput import known_peak
from raydistill.training.trial import trial
from support.tiny import run_trial

MODEL = ModelConfig(family="palm", num_layers=4, dim=16, num_heads=2, vocab_size=2048, context=32)
RECIPE = Recipe(
    peak_lr=1e-3, budget_tokens=1024, batch_tokens=128, micro_batches=1, warmup_tokens=128
)
MEASURED = EvalSpec(tasks=("continuation",), heldout_windows=8, curve_windows=2)
WORLD = World.here()


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("store"))
    prepare_corpus("smoke", store=store)
    return store


@pytest.fixture(scope="module")
def train_spec(store):
    corpus = prepare_corpus("smoke", store=store)
    info = json.loads((corpus / "corpus.json").read_text())
    return TrainSpec(
        recipe=RECIPE, loss="lm", seed=0, corpus_sha256=info["corpus_sha256"],
        tokenizer_sha256=info["tokenizer_sha256"],
    )  # fmt: skip


def pretraining(store, train_spec, **changes):
    spec = TrialSpec(base=RandomBase(model=MODEL, seed=0), plan=DropPlan(), train=train_spec)
    job = PretrainJob(
        spec=spec, ages_tokens=(256, 1024), evaluation=MEASURED, storage=str(store.root), **changes
    )
    return spec, job


@pytest.fixture(scope="module")
def bases(store, train_spec):
    """The sha256 of the bases of 256 and 1024 tokens."""
    spec, job = pretraining(store, train_spec)
    list(pretrain(job, world=WORLD))
    ages = json.loads(store.path("pretraining", spec.trial_id, AGES).read_text())
    return ages["256"], ages["1024"]


@pytest.fixture
def job(store, train_spec, bases):
    spec = TrialSpec(
        base=ExternalBase(name="tiny", revision="1024", weights_sha256=bases[1]),
        plan=DropPlan(drops=(LayerDrop(at_tokens=0, layer=1),)),
        train=dataclasses.replace(train_spec, seed=1),
    )
    return TrialJob(
        spec=spec, base_sha256=bases[1], evaluation=MEASURED, storage=str(store.root), sweep="test"
    )


def steps(items):
    return sum(isinstance(item, Progress) for item in items)


def test_one_pretraining_run_keeps_a_base_for_every_age(store, bases):
    young, old = (load_weights(base_folder(sha256, store)).model for sha256 in bases)
    assert not torch.equal(young.embedding.weight, old.embedding.weight)


def test_a_pretraining_that_was_stopped_goes_on_to_the_same_bases(tmp_path, train_spec, bases):
    store = Store(tmp_path)
    prepare_corpus("smoke", store=store)
    spec, job = pretraining(store, train_spec, checkpoint_every_s=0.0)
    first = pretrain(job, world=WORLD)
    while not (isinstance(item := next(first), Progress) and item.tokens == 384):
        pass
    first.close()
    rest = list(pretrain(job, world=WORLD))
    ages = json.loads(store.path("pretraining", spec.trial_id, AGES).read_text())
    assert (ages["256"], ages["1024"]) == bases
    assert steps(rest) == 5  # of eight; the stop left a checkpoint


def test_a_trial_ends_with_its_scores_and_says_what_it_took(store, job):
    *_, result = trial(job, world=WORLD)
    assert isinstance(result, TrialResult)
    assert result.trained.kept == (0, 2, 3)
    assert result.trained.trained_in == "test"
    assert [p.tokens for p in result.trained.heldout_curve] == [0, 128, 256, 512, 1024]
    assert result.trained.cost.tokens == 1024
    assert result.before.tasks.keys() == result.after.tasks.keys() == {"continuation"}
    assert not store.path("trials", job.spec.trial_id, "checkpoints").exists()
    assert known_peak("cpu", "float32", store).flops_per_s > 0


def test_a_finished_trial_is_not_trained_again(job):
    first = run_trial(job, world=WORLD)
    items = list(trial(job, world=WORLD))
    assert items == [first]


def test_a_new_task_is_scored_without_a_step_of_training(store, job):
    run_trial(job, world=WORLD)
    asked = dataclasses.replace(MEASURED, tasks=("continuation", "word-order"))
    assert isinstance(outcome(job.spec, job.base_sha256, asked, store), Unfinished)
    items = list(trial(dataclasses.replace(job, evaluation=asked), world=WORLD))
    assert steps(items) == 0
    assert items[-1].after.tasks.keys() == {"continuation", "word-order"}


def test_a_killed_trial_goes_on_to_the_same_weights(tmp_path, store, job):
    undisturbed = run_trial(job, world=WORLD)
    other = Store(tmp_path)
    prepare_corpus("smoke", store=other)
    base = job.spec.base.weights_sha256
    other.path("bases").mkdir()
    other.path("bases", base).symlink_to(store.path("bases", base))
    again = dataclasses.replace(job, storage=str(tmp_path), checkpoint_every_s=0.0)
    first = trial(again, world=WORLD)
    while not (isinstance(item := next(first), Progress) and item.tokens == 512):
        pass
    first.close()
    result = run_trial(again, world=WORLD)
    assert result.trained.weights_sha256 == undisturbed.trained.weights_sha256
    assert result.trained.curve == undisturbed.trained.curve
    assert result.trained.heldout_curve == undisturbed.trained.heldout_curve
    assert result.after == undisturbed.after


def test_the_store_tells_what_came_of_a_trial(store, job):
    run_trial(job, world=WORLD)
    found = outcome(job.spec, job.base_sha256, MEASURED, store)
    assert isinstance(found, Finished)
    lost = metrics(found, ("continuation",))
    before, after = (
        found.result.before.tasks["continuation"],
        found.result.after.tasks["continuation"],
    )
    assert lost["downstream_drop_pct"] == pytest.approx(100 * (1 - after.value / before.value))
    assert lost["delta_nll"] == found.result.after.nll - found.result.before.nll
    assert lost["delta_nll_selection"] != lost["delta_nll"]


def test_a_base_that_was_changed_on_disk_is_refused(tmp_path, store, job):
    base = job.spec.base.weights_sha256
    other = Store(tmp_path)
    prepare_corpus("smoke", store=other)
    folder = other.path("bases", base)
    folder.mkdir(parents=True)
    content = bytearray((store.path("bases", base) / "model.safetensors").read_bytes())
    content[-5] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(DataError, match="it was changed"):
        run_trial(dataclasses.replace(job, storage=str(tmp_path)), world=WORLD)


@pytest.mark.parametrize("score", part_names(SCORE))
def test_layers_are_chosen_by_training_windows_and_kept(store, train_spec, bases, score):
    corpus, request = train_spec.corpus_sha256, LayerRequest(score=score, count=2)
    measure(
        BaseJob(
            weights_sha256=bases[1], corpus_sha256=corpus, evaluation=MEASURED,
            layers=(request,), storage=str(store.root),
        ),
        world=WORLD,
    )  # fmt: skip
    kept = store.load(LayerChoice, *layer_choice_path(bases[1], corpus, request))
    assert set(kept.layers) == {1, 2}
    assert len(kept.samples) == SAMPLES
    assert {len(values) for values in kept.values} <= {MODEL.num_layers}


def test_calibration_samples_share_no_window_and_no_heldout_text(store):
    data = open_tokens(prepare_corpus("smoke", store=store), MODEL)
    samples = calibration_samples(data, torch.device("cpu"))
    windows = [tuple(w) for sample in samples for batch in sample for w in batch.tolist()]
    assert len(set(windows)) == len(windows) == SAMPLES * SCORED_WINDOWS
    every = {tuple(w) for w in data.windows(list(range(data.num_windows)))[:, :-1].tolist()}
    assert set(windows) <= every
    assert max(batch.numel() for sample in samples for batch in sample) <= SCORED_TOKENS


@pytest.mark.parametrize(("windows", "samples"), [(1, 1), (64, 1), (130, 2), (400, SAMPLES)])
def test_a_short_corpus_gives_fewer_samples_but_never_a_window_twice(store, windows, samples):
    data = open_tokens(prepare_corpus("smoke", store=store), MODEL)
    data.num_windows = windows
    found = calibration_samples(data, torch.device("cpu"))
    sizes = {sum(len(batch) for batch in sample) for sample in found}
    assert len(found) == samples
    assert sizes == {min(windows, SCORED_WINDOWS)}


def test_heldout_points_are_part_of_the_walk(job, train_spec):
    fresh = dataclasses.replace(
        job, spec=dataclasses.replace(job.spec, train=dataclasses.replace(train_spec, seed=9))
    )
    items = list(trial(fresh, world=WORLD))
    assert isinstance(items[0], HeldoutPoint)
    assert steps(items) == RECIPE.total_steps


def test_kd_is_the_same_walk_with_the_base_as_teacher(job):
    spec = dataclasses.replace(
        job.spec, train=dataclasses.replace(job.spec.train, loss="kd"), teacher=job.spec.base
    )
    assert spec.trial_id != job.spec.trial_id
    kd = run_trial(dataclasses.replace(job, spec=spec), world=WORLD).trained
    alone = run_trial(job, world=WORLD).trained
    assert kd.weights_sha256 != alone.weights_sha256
    assert kd.kept == alone.kept
    assert kd.cost.flops_paper > alone.cost.flops_paper
    assert kd.cost.flops_exact > alone.cost.flops_exact


def test_a_cached_teacher_is_written_once_and_read_by_others(store, job):
    """With the whole vocabulary in the excerpt nothing is lost but what 16 bits lose."""

    def taught(excerpt="", loss="kd"):
        teacher = job.spec.base
        if excerpt:
            teacher = CachedTeacher(base=teacher, excerpt=excerpt)
        train = dataclasses.replace(job.spec.train, loss=loss)
        spec = dataclasses.replace(job.spec, train=train, teacher=teacher)
        return run_trial(dataclasses.replace(job, spec=spec), world=WORLD).trained

    def files():
        return set(store.path("teacher_answers").rglob("*.bin"))

    online, cached, alone = taught(), taught("top-k-tail=2048"), taught(loss="lm")
    assert cached.trial_id != online.trial_id
    ends = [trained.curve[-1].loss for trained in (cached, online, alone)]
    assert abs(ends[0] - ends[1]) < abs(ends[0] - ends[2]) / 10
    assert cached.cost.teacher_s > 0
    assert cached.cost.flops_paper < online.cost.flops_paper
    before = files()
    taught("top-k-tail=2048", loss="logits-only")
    assert files() == before


def test_rungs_are_the_same_trial_which_later_ends_with_the_same_weights(store, train_spec, job):
    """The store knows each rung's loss; a rung that was passed already is not trained again."""
    undisturbed = run_trial(job, world=WORLD)
    shutil.rmtree(store.path("trials", job.spec.trial_id))
    taken = []
    for tokens in (256, 512, 256):
        items = list(trial(dataclasses.replace(job, until=StopAt(tokens=tokens)), world=WORLD))
        taken.append(steps(items))
        assert selection_nll(rung_path(job.spec, tokens, MEASURED, store), store) > 0
    assert taken == [2, 2, 0]
    stopped = outcome(job.spec, job.base_sha256, MEASURED, store)
    assert isinstance(stopped, Unfinished)
    assert stopped.stopped
    assert stopped.curve[-1].tokens == 512
    result = run_trial(job, world=WORLD)
    assert result.trained.weights_sha256 == undisturbed.trained.weights_sha256
    assert result.trained.heldout_curve == undisturbed.trained.heldout_curve
    assert result.after == undisturbed.after


def seeded(job, seed):
    return dataclasses.replace(job.spec, train=dataclasses.replace(job.spec.train, seed=seed))


def test_a_rung_killed_before_it_was_measured_is_measured_without_training(store, job):
    spec = seeded(job, 11)
    place = rung_path(spec, 256, MEASURED, store)
    short = dataclasses.replace(job, spec=spec, until=StopAt(tokens=256))
    list(trial(short, world=WORLD))
    kept = store.path(*place).read_text()
    store.path(*place).unlink()
    assert steps(trial(short, world=WORLD)) == 0
    assert store.path(*place).read_text() == kept


def test_a_rung_is_passed_over_where_the_trial_went_further_before(store, job):
    short = dataclasses.replace(job, spec=seeded(job, 12), until=StopAt(tokens=512))
    list(trial(short, world=WORLD))
    earlier = dataclasses.replace(short, until=StopAt(tokens=256))
    assert list(trial(earlier, world=WORLD)) == []
    assert selection_nll(rung_path(short.spec, 256, MEASURED, store), store) is None


def test_layer_sets_are_measured_without_training(store, train_spec, bases, job):
    """Each is taken out of the whole base: the empty set has the base's own loss."""
    corpus = train_spec.corpus_sha256
    run_trial(job, world=WORLD)
    sets = ((1,), (2,), (1, 2), ())
    measure_cuts(
        CutJob(
            weights_sha256=bases[1], corpus_sha256=corpus, evaluation=MEASURED, layer_sets=sets,
            storage=str(store.root),
        ),
        world=WORLD,
    )  # fmt: skip
    places = [cut_path(bases[1], layers, corpus, MEASURED, store) for layers in sets]
    losses = [selection_nll(place, store) for place in places]
    assert len(set(losses)) == 4
    _, documents = measured(bases[1], corpus, MEASURED, store)
    assert store.load(UnitScores, *places[-1]) == documents["perplexity"]
