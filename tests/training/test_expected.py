"""What a trial is expected to take, by what its job says."""

from dataclasses import replace

import pytest

from raydistill.specs.evaluation import EvalSpec
from raydistill.specs.flops import parameters
from raydistill.specs.memory.trial_memory import trial_memory
from raydistill.specs.model import ModelConfig
from raydistill.specs.trial import (
    CachedTeacher,
    DropPlan,
    NoTeacher,
    RandomBase,
    Recipe,
    TrainSpec,
    TrialSpec,
)  # fmt: skip
from raydistill.training.jobs import TrialJob
from raydistill.training.memory.expected import expected_bytes, setup_of

MODEL = ModelConfig(
    family="palm", num_layers=12, dim=64, num_heads=4, vocab_size=512, context=128
)  # fmt: skip
RECIPE = Recipe(peak_lr=1.0, budget_tokens=2560, batch_tokens=256, micro_batches=2, warmup_tokens=0)
BASE = RandomBase(model=MODEL, seed=0)


def job(loss="kd", teacher=BASE, **more):
    train = TrainSpec(recipe=RECIPE, loss=loss, seed=0, corpus_sha256="", tokenizer_sha256="")
    spec = TrialSpec(base=BASE, plan=DropPlan(), train=train, teacher=teacher)
    evaluation = EvalSpec(heldout_windows=8, curve_windows=2, tasks=())
    return TrialJob(spec=spec, base_sha256="", evaluation=evaluation, storage="", sweep="", **more)


def expected(of, devices=2):
    return expected_bytes(of, MODEL, MODEL, devices=devices, on_cpu=False)


def test_where_the_teacher_is():
    beside, apart = expected(job()), expected(job(teacher_actor="a"))
    cached = expected(job(teacher=CachedTeacher(base=BASE, excerpt="top-k=8")))
    alone = expected(job("lm", NoTeacher()))
    assert beside - apart == 4 * parameters(MODEL)
    assert apart < expected(job(teacher_sharded=True)) < beside
    assert cached < beside
    assert alone < beside


def test_it_is_the_peak_of_the_arithmetic():
    setup = setup_of(MODEL, DropPlan(), RECIPE, "lm", on_cpu=False)
    peak = trial_memory(replace(setup, devices=2, evaluation_windows=2)).peak
    assert expected(job("lm", NoTeacher())) == peak


@pytest.mark.parametrize(
    ("loss", "answer", "share"),
    [("kd", "none", 0.0), ("lm", "none", 0.0), ("masked-lm+share=0.3", "none", 0.3)],
)
def test_what_a_loss_reads(loss, answer, share):
    setup = setup_of(MODEL, DropPlan(), RECIPE, loss, on_cpu=True)
    assert (setup.answer, setup.mask_share, setup.keeps_features) == (answer, share, False)
