"""What the tests of training through a store share: a tiny model on the smoke corpus."""

import json

from raydistill.data.corpus.preparation import prepare_corpus
from raydistill.models.distributed import World
from raydistill.specs.evaluation import EvalSpec
from raydistill.specs.model import ModelConfig
from raydistill.specs.results import Progress
from raydistill.specs.trial import DropPlan, RandomBase, Recipe, TrainSpec, TrialSpec
from raydistill.storage.store import Store
from raydistill.training.jobs import PretrainJob
from raydistill.training.pretraining import AGES, pretrain

MODEL = ModelConfig(family="palm", num_layers=4, dim=16, num_heads=2, vocab_size=2048, context=32)
RECIPE = Recipe(
    peak_lr=1e-3, budget_tokens=1024, batch_tokens=128, micro_batches=1, warmup_tokens=128
)
EVALUATION = EvalSpec(tasks=("continuation",), heldout_windows=8, curve_windows=2)
WORLD = World.here()


def smoke_store(root):
    """A store with the smoke corpus."""
    store = Store(root)
    prepare_corpus("smoke", store=store)
    return store


def smoke_training(store):
    """Teacher-free training on the smoke corpus."""
    info = json.loads((prepare_corpus("smoke", store=store) / "corpus.json").read_text())
    return TrainSpec(
        recipe=RECIPE, loss="lm", seed=0, corpus_sha256=info["corpus_sha256"],
        tokenizer_sha256=info["tokenizer_sha256"],
    )  # fmt: skip


def pretraining(store, **changes):
    """The job of one run with the ages 256 and 1024 tokens."""
    base = RandomBase(model=MODEL, seed=0)
    spec = TrialSpec(base=base, plan=DropPlan(), train=smoke_training(store))
    return PretrainJob(
        spec=spec, ages_tokens=(256, 1024), evaluation=EVALUATION, storage=str(store.root),
        **changes,
    )  # fmt: skip


def bases_by_age(store):
    """The sha256 of the bases of 256 and 1024 tokens, of a run that has ended."""
    path = store.path("pretraining", pretraining(store).spec.trial_id, AGES)
    ages = json.loads(path.read_text())
    return ages["256"], ages["1024"]


def pretrained(store):
    """The same, trained first."""
    list(pretrain(pretraining(store), world=WORLD))
    return bases_by_age(store)


def steps(items):
    """How many steps of training there are among the items of a run."""
    return sum(isinstance(item, Progress) for item in items)


def close_after(items, tokens):
    """Take items until so many tokens are trained, then close the run."""
    while not (isinstance(item := next(items), Progress) and item.tokens == tokens):
        pass
    items.close()
