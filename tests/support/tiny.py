"""What the tests of the loop share: a model small enough to check by hand, and its data."""

import hashlib
from dataclasses import replace

import torch

from raydistill.data.batches import Batch
from raydistill.distillation.teachers import OnlineTeacher
from raydistill.models.decoder import build
from raydistill.models.distributed import World
from raydistill.models.student import Student
from raydistill.specs.model import ModelConfig
from raydistill.specs.results import TrialResult
from raydistill.specs.trial import DropPlan, LayerDrop, Recipe, TrainSpec
from raydistill.training.trial import trial

CONFIG = ModelConfig(family="palm", num_layers=6, dim=16, num_heads=2, vocab_size=32, context=8)
RECIPE = Recipe(
    peak_lr=1e-3, budget_tokens=256, warm_phase_tokens=64, batch_tokens=32, micro_batches=2,
    warmup_tokens=96,
)  # fmt: skip
SPEC = TrainSpec(recipe=RECIPE, loss="lm", seed=0, corpus_sha256="", tokenizer_sha256="")


def plan(*layers, start=64, gap=0):
    return DropPlan(
        drops=tuple(LayerDrop(at_tokens=start + gap * i, layer=v) for i, v in enumerate(layers))
    )


def batch_of(step):
    """Four windows of eight tokens and a target, a function of the step alone."""
    ids = torch.randint(0, 32, (4, 9), generator=torch.Generator().manual_seed(step))
    return Batch(tuple(range(4 * step, 4 * step + 4)), ids, 0, (0, 0, 0, 0), 0)


def chat_batch_of(step):
    """The same windows, of which some tokens are learned: of each another number."""
    batch = batch_of(step)
    rng = torch.Generator().manual_seed(1000 + step)
    shares = torch.tensor([[0.9], [0.5], [0.2], [0.0]])
    return replace(batch, learned=torch.rand(4, 9, generator=rng) < shares)


def teacher(seed=5):
    """Another model of the same shape, as a teacher."""
    return OnlineTeacher(build(CONFIG, seed), RECIPE, World.here())


def student():
    return Student(build(CONFIG, 0))


def fingerprint(student, optimizer):
    """The sha256 of every weight and momentum, by name."""
    digest = hashlib.sha256()
    for name, p in sorted(student.named_parameters().items()):
        digest.update(name.encode() + p.detach().numpy().tobytes())
        if p.requires_grad:
            for _, kept in sorted(optimizer.state.get(p, {}).items()):
                digest.update(kept.numpy().tobytes())
    return digest.hexdigest()


def run_trial(job, *, world):
    """The result of a trial, trained if need be."""
    *_, result = trial(job, world=world)
    assert isinstance(result, TrialResult), result
    return result
