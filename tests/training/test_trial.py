"""One trial from its base to its scores, and never the same work twice."""

import dataclasses
import shutil

import pytest
import torch

from raydistill.core.errors import DataError
from raydistill.evaluation.likelihood.perplexity import heldout_nll
from raydistill.evaluation.stored_scores import rung_path, selection_nll
from raydistill.models.decoder import build
from raydistill.models.student import Student
from raydistill.models.weights import load_weights, store_base
from raydistill.planning.outcomes import metrics, outcome
from raydistill.pruning.width import cut
from raydistill.specs.flops import paper_flops
from raydistill.specs.results import Finished, HeldoutPoint, TrialResult, Unfinished
from raydistill.specs.trial import (
    CachedTeacher,
    CutBase,
    DropPlan,
    ExternalBase,
    LayerDrop,
    TrialSpec,
)
from raydistill.storage import lock
from raydistill.storage.sharing import turn_of
from raydistill.training.jobs import StopAt, TrialJob
from raydistill.training.throughput import known_peak
from raydistill.training.trial import Waiting, trial
from support.small_trials import (
    EVALUATION,
    RECIPE,
    WORLD,
    close_after,
    pretrained,
    smoke_store,
    smoke_training,
    steps,
)
from support.tiny import run_trial


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return smoke_store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def base(store):
    """The sha256 of the base of 1024 tokens."""
    return pretrained(store)[1]


@pytest.fixture
def job(store, base):
    spec = TrialSpec(
        base=ExternalBase(name="tiny", revision="1024", weights_sha256=base),
        plan=DropPlan(drops=(LayerDrop(at_tokens=0, layer=1),)),
        train=dataclasses.replace(smoke_training(store), seed=1),
    )
    return TrialJob(
        spec=spec, base_sha256=base, evaluation=EVALUATION, storage=str(store.root), sweep="test"
    )


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


def test_a_trial_may_begin_at_its_teachers_weights_cut_to_its_shape(store, job, base):
    teacher = job.spec.base
    model = dataclasses.replace(load_weights(store.path("bases", base)).model.config, dim=8)
    kd = dataclasses.replace(job.spec.train, loss="kd")
    spec = TrialSpec(
        base=CutBase(base=teacher, model=model), plan=DropPlan(), train=kd, teacher=teacher
    )
    result = run_trial(dataclasses.replace(job, spec=spec), world=WORLD)
    assert result.trained.model == model
    assert result.trained.kept == tuple(range(model.num_layers))
    started = cut(load_weights(store.path("bases", base)).model, model).model
    first = heldout_nll(
        started,
        store.path("corpora", kd.corpus_sha256),
        windows=EVALUATION.curve_windows,
        context=model.context,
    )
    assert result.trained.heldout_curve[0].nll == pytest.approx(first.value, rel=1e-6)
    assert result.before.weights_sha256 == base
    assert result.trained.cost.flops_paper == paper_flops(
        model, DropPlan(), kd.recipe, [load_weights(store.path("bases", base)).model.config]
    )


def test_a_finished_trial_is_not_trained_again(job):
    first = run_trial(job, world=WORLD)
    items = list(trial(job, world=WORLD))
    assert items == [first]


def test_a_trial_that_another_sweep_has_in_work_is_waited_for(tmp_path, store, job, monkeypatch):
    monkeypatch.setattr(lock, "HEARTBEAT_S", 0.05)
    trained = run_trial(job, world=WORLD)
    there = dataclasses.replace(job, storage=str(tmp_path))
    for part in ("bases", "corpora", "items"):
        (tmp_path / part).symlink_to(store.path(part))
    with turn_of(tmp_path, "trial", job.spec.trial_id):
        items = trial(there, world=WORLD)
        assert [next(items), next(items)] == [Waiting(), Waiting()]
        for part in ("trials", "scores"):  # the other one is done
            shutil.copytree(store.path(part), tmp_path / part)
    *_, result = items
    assert result == trained


def test_a_trial_that_is_closed_is_free_for_another_sweep(store, job):
    other = dataclasses.replace(job, spec=seeded(job, 5))
    close_after(trial(other, world=WORLD), tokens=512)
    with turn_of(store.root, "trial", other.spec.trial_id):
        assert store.path("trials", other.spec.trial_id, "checkpoints").is_dir()


def test_a_new_task_is_scored_without_a_step_of_training(store, job):
    run_trial(job, world=WORLD)
    two_tasks = dataclasses.replace(EVALUATION, tasks=("continuation", "word-order"))
    assert isinstance(outcome(job.spec, job.base_sha256, two_tasks, store), Unfinished)
    items = list(trial(dataclasses.replace(job, evaluation=two_tasks), world=WORLD))
    assert steps(items) == 0
    assert items[-1].after.tasks.keys() == {"continuation", "word-order"}


def test_a_stopped_trial_resumes_to_the_same_weights(tmp_path, store, job):
    undisturbed = run_trial(job, world=WORLD)
    other = smoke_store(tmp_path)
    base = job.spec.base.weights_sha256
    other.path("bases").mkdir()
    other.path("bases", base).symlink_to(store.path("bases", base))
    there = dataclasses.replace(job, storage=str(tmp_path), checkpoint_every_s=0.0)
    close_after(trial(there, world=WORLD), tokens=512)
    result = run_trial(there, world=WORLD)
    assert result.trained.weights_sha256 == undisturbed.trained.weights_sha256
    assert result.trained.curve == undisturbed.trained.curve
    assert result.trained.heldout_curve == undisturbed.trained.heldout_curve
    assert result.after == undisturbed.after


def test_the_store_has_the_outcome_of_a_trial(store, job):
    run_trial(job, world=WORLD)
    finished = outcome(job.spec, job.base_sha256, EVALUATION, store)
    assert isinstance(finished, Finished)
    drops = metrics(finished, ("continuation",))
    before, after = finished.result.before, finished.result.after
    ratio = after.tasks["continuation"].value / before.tasks["continuation"].value
    assert drops["downstream_drop_pct"] == pytest.approx(100 * (1 - ratio))
    assert drops["delta_nll"] == after.nll - before.nll
    assert drops["delta_nll_selection"] != drops["delta_nll"]


def test_a_base_that_was_changed_on_disk_is_refused(tmp_path, store, job):
    base = job.spec.base.weights_sha256
    other = smoke_store(tmp_path)
    folder = other.path("bases", base)
    folder.mkdir(parents=True)
    content = bytearray((store.path("bases", base) / "model.safetensors").read_bytes())
    content[-5] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(DataError, match="it was changed"):
        run_trial(dataclasses.replace(job, storage=str(tmp_path)), world=WORLD)


def seeded(job, seed):
    return dataclasses.replace(job.spec, train=dataclasses.replace(job.spec.train, seed=seed))


def test_heldout_points_are_among_the_items(job):
    items = list(trial(dataclasses.replace(job, spec=seeded(job, 9)), world=WORLD))
    assert isinstance(items[0], HeldoutPoint)
    assert steps(items) == RECIPE.total_steps


def test_kd_is_the_same_training_with_the_base_as_teacher(job):
    spec = dataclasses.replace(
        job.spec, train=dataclasses.replace(job.spec.train, loss="kd"), teacher=job.spec.base
    )
    assert spec.trial_id != job.spec.trial_id
    kd = run_trial(dataclasses.replace(job, spec=spec), world=WORLD).trained
    teacher_free = run_trial(job, world=WORLD).trained
    assert kd.weights_sha256 != teacher_free.weights_sha256
    assert kd.kept == teacher_free.kept
    assert kd.cost.flops_paper > teacher_free.cost.flops_paper
    assert kd.cost.flops_exact > teacher_free.cost.flops_exact


def test_a_cached_teacher_is_written_once_and_read_by_others(store, job):
    """With the whole vocabulary in the excerpt nothing is lost but what 16 bits lose."""

    def train(excerpt="", loss="kd"):
        teacher = job.spec.base
        if excerpt:
            teacher = CachedTeacher(base=teacher, excerpt=excerpt)
        train = dataclasses.replace(job.spec.train, loss=loss)
        spec = dataclasses.replace(job.spec, train=train, teacher=teacher)
        return run_trial(dataclasses.replace(job, spec=spec), world=WORLD).trained

    def files():
        return set(store.path("teacher_answers").rglob("*.bin"))

    online, cached, teacher_free = train(), train("top-k-tail=2048"), train(loss="lm")
    assert cached.trial_id != online.trial_id
    losses = [trained.curve[-1].loss for trained in (cached, online, teacher_free)]
    assert abs(losses[0] - losses[1]) < abs(losses[0] - losses[2]) / 10
    assert cached.cost.teacher_s > 0
    assert cached.cost.flops_paper < online.cost.flops_paper
    before = files()
    train("top-k-tail=2048", loss="logits-only")
    assert files() == before


@pytest.mark.parametrize("excerpt", ["", "top-k-tail=64"], ids=["online", "cached"])
def test_padding_that_a_teacher_has_and_the_student_has_not_teaches_nothing(store, job, excerpt):
    """The base with more rows, which are likely and mean nothing, trains to the base's own bits."""
    own = load_weights(store.path("bases", job.base_sha256)).model
    wider = Student(build(dataclasses.replace(own.config, vocab_size=2112), seed=3))
    with torch.no_grad():
        for name, weight in wider.model.named_parameters():
            rows = own.get_parameter(name)
            weight[: len(rows)] = rows
        wider.model.embedding.weight[2048:] = 10 * own.embedding.weight[7]
    padded = store_base(wider, store)

    def train(sha256):
        teacher = ExternalBase(name="other", revision="main", weights_sha256=sha256)
        if excerpt:
            teacher = CachedTeacher(base=teacher, excerpt=excerpt)
        train = dataclasses.replace(job.spec.train, loss="kd")
        spec = dataclasses.replace(job.spec, train=train, teacher=teacher)
        return run_trial(dataclasses.replace(job, spec=spec), world=WORLD).trained

    by_own, by_padded = train(job.base_sha256), train(padded)
    assert by_own.trial_id != by_padded.trial_id
    assert by_own.weights_sha256 == by_padded.weights_sha256
    assert (by_own.cost.flops_exact < by_padded.cost.flops_exact) is not bool(excerpt)


def test_rungs_are_the_same_trial_which_later_ends_with_the_same_weights(store, job):
    """The store has each rung's loss; a rung that was passed already is not trained again."""
    undisturbed = run_trial(job, world=WORLD)
    shutil.rmtree(store.path("trials", job.spec.trial_id))
    steps_by_rung = []
    for tokens in (256, 512, 256):
        items = list(trial(dataclasses.replace(job, until=StopAt(tokens=tokens)), world=WORLD))
        steps_by_rung.append(steps(items))
        assert selection_nll(rung_path(job.spec, tokens, EVALUATION, store), store) > 0
    assert steps_by_rung == [2, 2, 0]
    stopped = outcome(job.spec, job.base_sha256, EVALUATION, store)
    assert isinstance(stopped, Unfinished)
    assert stopped.stopped
    assert stopped.curve[-1].tokens == 512
    result = run_trial(job, world=WORLD)
    assert result.trained.weights_sha256 == undisturbed.trained.weights_sha256
    assert result.trained.heldout_curve == undisturbed.trained.heldout_curve
    assert result.after == undisturbed.after


def test_a_rung_killed_before_it_was_measured_is_measured_without_training(store, job):
    spec = seeded(job, 11)
    path = store.path(*rung_path(spec, 256, EVALUATION, store))
    short = dataclasses.replace(job, spec=spec, until=StopAt(tokens=256))
    list(trial(short, world=WORLD))
    text = path.read_text()
    path.unlink()
    assert steps(trial(short, world=WORLD)) == 0
    assert path.read_text() == text


def test_a_rung_is_passed_over_where_the_trial_went_further_before(store, job):
    short = dataclasses.replace(job, spec=seeded(job, 12), until=StopAt(tokens=512))
    list(trial(short, world=WORLD))
    earlier = dataclasses.replace(short, until=StopAt(tokens=256))
    assert list(trial(earlier, world=WORLD)) == []
    assert selection_nll(rung_path(short.spec, 256, EVALUATION, store), store) is None
