"""A base is measured whole and without some layers, and its layers are chosen."""

import pytest

from raydistill.core.parts import SCORE, part_names
from raydistill.core.progress import listening
from raydistill.evaluation.stored_scores import cut_path, measured, selection_nll
from raydistill.pruning.calibration import SAMPLES
from raydistill.pruning.layer_choice import LayerChoice, LayerRequest, layer_choice_path
from raydistill.specs.results import UnitScores
from raydistill.training.bases import measure, measure_cuts
from raydistill.training.jobs import BaseJob, CutJob
from support.small_trials import EVALUATION, MODEL, WORLD, pretrained, smoke_store, smoke_training


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return smoke_store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def base(store):
    """The sha256 of the base of 1024 tokens."""
    return pretrained(store)[1]


def measure_base(base, store, *requests):
    """Measure the base and choose the layers; the sha256 of its corpus."""
    corpus, failed = measured_base(base, store, *requests)
    assert failed == ()
    return corpus


def measured_base(base, store, *requests):
    """The sha256 of its corpus, and what scores did not choose."""
    corpus = smoke_training(store).corpus_sha256
    job = BaseJob(
        weights_sha256=base, corpus_sha256=corpus, evaluation=EVALUATION, layers=requests,
        storage=str(store.root),
    )  # fmt: skip
    return corpus, measure(job, world=WORLD)


@pytest.mark.parametrize("score", part_names(SCORE))
def test_layers_are_chosen_by_training_windows_and_stored(store, base, score):
    request = LayerRequest(score=score, count=2)
    corpus = measure_base(base, store, request)
    choice = store.load(LayerChoice, *layer_choice_path(base, corpus, request))
    assert set(choice.layers) == {1, 2}
    assert len(choice.samples) == SAMPLES
    assert {len(values) for values in choice.values} <= {MODEL.num_layers}


BROKEN = {
    "scores/crashing.py": "def score(model, batches_BT):\n    return 1 / 0",
    "scores/absent.py": "import nothing_so_called",
    "scores/one_number.py": "def score(model, batches_BT): return 3",
    "scores/unbounded.py": """
        def passes(num_layers, count): return count / 0
        def score(model, batches_BT): ...
    """,
    "scores/no_layers.py": "def choose(model, batches_BT, count, candidates): ...",
    "scores/listed.py": "def score(model, batches_BT): return [3, 2, 1, 0]",
}


def test_the_error_of_a_score_is_told_and_the_others_choose_layers(store, base, own_parts):
    own_parts(BROKEN)
    names = ["crashing", "absent", "one-number", "unbounded", "no-layers", "listed"]
    requests = [LayerRequest(score=name, count=count) for name in names for count in (1, 2)]
    corpus, failed = measured_base(base, store, *requests)
    messages = {choice.request: choice.message for choice in failed}
    kept = set(requests) - messages.keys()
    assert kept == {LayerRequest(score="listed", count=count) for count in (1, 2)}
    for request in kept:
        choice = store.load(LayerChoice, *layer_choice_path(base, corpus, request))
        assert set(choice.layers) == {1, 2} if request.count == 2 else {2}
    ends = [
        "scores/crashing.py:2: ZeroDivisionError: division by zero",
        "scores/absent.py:1: ModuleNotFoundError: No module named 'nothing_so_called'",
        "score 'one-number' (scores/one_number.py) gave int: it must be one finite "
        "value for each of the 4 layers",
        "scores/unbounded.py:2: ZeroDivisionError: division by zero",
        "score 'no-layers' (scores/no_layers.py) picked the layers NoneType: it must be 1 "
        "different ones of 1 to 2",
    ]
    told = [messages[LayerRequest(score=name, count=1)] for name in names[:-1]]
    assert told == ends
    assert all("Traceback" in choice.traceback for choice in failed)


def test_a_base_says_how_far_its_measuring_is(store, base):
    requests = [LayerRequest(score=score, count=1) for score in part_names(SCORE)]
    reports = []
    with listening(reports.append):
        measure_base(base, store, *requests)
    measuring = [progress for progress in reports if progress.stage == "measuring"]
    shares = [progress.done / progress.total for progress in measuring]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert len(set(shares)) > 50  # every batch of every score moves it on
    assert {progress.part for progress in measuring} >= {"layer scores"}


def test_layer_sets_are_measured_without_training(store, base):
    """Each is taken out of the whole base: the empty set has the base's own loss."""
    corpus = measure_base(base, store)
    sets = ((1,), (2,), (1, 2), ())
    job = CutJob(
        weights_sha256=base, corpus_sha256=corpus, evaluation=EVALUATION, layer_sets=sets,
        storage=str(store.root),
    )  # fmt: skip
    measure_cuts(job, world=WORLD)
    keys = [cut_path(base, layers, corpus, EVALUATION, store) for layers in sets]
    losses = [selection_nll(key, store) for key in keys]
    assert len(set(losses)) == 4
    _, documents = measured(base, corpus, EVALUATION, store)
    assert store.load(UnitScores, *keys[-1]) == documents["perplexity"]
