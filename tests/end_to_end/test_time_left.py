"""The time left of real stages: from a tenth of their time on within a factor of two of the rest.

A second here is a billion FLOPs that torch counts, so what else the machine does changes nothing.
"""

from dataclasses import replace

import pytest
from torch.utils.flop_counter import FlopCounterMode

from raydistill.core.progress import Pace, listening
from raydistill.evaluation.scoring import scores_of
from raydistill.models.decoder import build
from raydistill.planning.custom_model import OWN_TASKS
from raydistill.specs.evaluation import EvalSpec
from raydistill.specs.model import ModelConfig
from raydistill.specs.results import Progress
from raydistill.specs.trial import RandomBase
from raydistill.training.pretraining import pretrain
from support.small_trials import WORLD, pretraining, smoke_store

MODEL = ModelConfig(family="palm", num_layers=8, dim=64, num_heads=2, vocab_size=2048, context=64)
SHARES = (0.1, 0.25, 0.5, 0.75)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return smoke_store(tmp_path_factory.mktemp("store"))


def seconds(clock):
    return clock.get_total_flops() / 1e9


def assert_within_a_factor_of_two(notes):
    """Of pairs of a time and of what was done by then, at the first note after each share."""
    (start_s, _), (end_s, total) = notes[0], notes[-1]
    pace, shares = Pace(), list(SHARES)
    for now_s, done in notes:
        pace.add(now_s, done)
        if shares and now_s - start_s >= shares[0] * (end_s - start_s):
            left_s, share = end_s - now_s, shares.pop(0)
            assert left_s / 2 <= pace.seconds_left(total) <= 2 * left_s, share
    assert not shares


def test_scoring(store):
    (folder,) = (f for f in store.path("corpora").iterdir() if (f / "corpus.json").is_file())
    spec, model = EvalSpec(tasks=OWN_TASKS, heldout_windows=512, curve_windows=8), build(MODEL, 0)
    notes = []
    with (
        FlopCounterMode(display=False) as clock,
        listening(lambda progress: notes.append((seconds(clock), progress.done))),
    ):
        scores_of("a" * 64, lambda: model, store=store, folder=folder, spec=spec)
    assert_within_a_factor_of_two(notes)


def test_pretraining(store):
    job = pretraining(store)
    recipe = replace(job.spec.train.recipe, budget_tokens=64 * 128)
    train = replace(job.spec.train, recipe=recipe)
    base = RandomBase(model=replace(MODEL, num_layers=2, context=32), seed=0)
    job = replace(
        job, spec=replace(job.spec, base=base, train=train), ages_tokens=(recipe.budget_tokens,)
    )
    with FlopCounterMode(display=False) as clock:
        items = pretrain(job, world=WORLD)
        notes = [(seconds(clock), item.tokens) for item in items if isinstance(item, Progress)]
    assert len(notes) > 40
    assert_within_a_factor_of_two(notes)
