"""A store whose trials are trained by a formula: what tests of searches and funnels share."""

import dataclasses
import random
import runpy
from pathlib import Path

from raydistill.cli.arguments.sweep_flags import plan_of
from raydistill.cli.arguments.sweep_parser import sweep_parser
from raydistill.driver.session import Session
from raydistill.evaluation.scoring import PERPLEXITY, score_key
from raydistill.evaluation.stored_scores import cut_path, rung_path
from raydistill.planning.plan import SweepPlan
from raydistill.planning.prepared import PreparedSweep
from raydistill.planning.prepared import prepare as prepare_sweep
from raydistill.planning.search.rank_stability import SHARES
from raydistill.specs.corpus import CorpusInfo
from raydistill.specs.results import HeldoutPoint, TrialFailure, UnitScores
from raydistill.specs.scale import load_scale
from raydistill.storage.manifest import write_manifest
from raydistill.training.jobs import StopAt
from support import planned

SMOKE = load_scale("smoke")
EVALUATION = SMOKE.evaluation
UNITS = tuple(f"chapter {n}" for n in range(16))
INFO = CorpusInfo(
    name="some", corpus_sha256=planned.CORPUS.corpus_sha256,
    tokenizer_sha256=planned.CORPUS.tokenizer_sha256, vocab_size=2048, token_bytes=2,
    train_tokens=1, heldout_tokens=1, train_documents=1, heldout_documents=len(UNITS),
)  # fmt: skip


def scores(nll):
    """About `nll` nats per token, some more or less in each document, as it happens."""
    luck = random.Random(f"{nll:.6f}")
    return UnitScores(
        units=UNITS,
        sums=tuple(100 * (nll + luck.gauss(0, 0.002)) for _ in UNITS),
        counts=(100,) * len(UNITS),
    )


def prepare(store):
    """The corpus, and bases of 3 nats per token."""
    store.save(INFO, "corpora", INFO.corpus_sha256, "corpus.json")
    write_manifest(store.path("corpora", INFO.corpus_sha256))
    for age in SMOKE.ages:
        keep_scores(store, planned.base(SMOKE, age).weights_sha256, 3.0)


def keep_scores(store, sha256, nll):
    for name in (PERPLEXITY, *EVALUATION.tasks):
        kept = scores(nll) if name == PERPLEXITY else dataclasses.replace(
            scores(nll), sums=(50.0,) * len(UNITS)
        )  # fmt: skip
        key = score_key(name, INFO, EVALUATION.heldout_windows)
        store.save(kept, "scores", sha256, f"{key}.json")


def plan(script, store, *flags):
    """What the sweep of that name would do, at scale smoke where no flag names another."""
    sweep = runpy.run_path(str(Path(__file__).parents[2] / "sweeps" / f"{script}.py"))["sweep"]
    scale = [] if "--scale" in flags else ["--scale", "smoke"]
    words = [*scale, "--storage", str(store.root), *flags]
    return plan_of(sweep, sweep_parser(sweep).read(words), "python x.py")


def prepared(plan, store) -> PreparedSweep:
    """A plan whose corpus and bases are made."""
    return prepare_sweep(plan, store, planned.all_known(SMOKE))


class Trainer:
    """Trains nothing: writes down what `nll(request, share)` says, and counts the tokens.

    `share` is 0 right after the cut and 1 at the end.
    """

    def __init__(self, store, plan: SweepPlan, nll, fails=()):
        self.store, self.nll, self.fails = store, nll, fails
        self.spent = []  # (trial_id, from tokens, to tokens)
        sweep = prepared(plan, store)
        self.requests = {trial.trial_id: trial.cells[0].request for trial in sweep.trials}
        session = Session(sweep, None, None)
        self.candidates = {c.key: c for c in session.candidates(sweep.trials)}

    def cut_all(self):
        """Score every layer set without training."""
        for key, request in self.requests.items():
            spec = self.candidates[key].job.spec
            place = cut_path(
                spec.base.weights_sha256, spec.plan.layers, INFO.corpus_sha256, EVALUATION,
                self.store,
            )  # fmt: skip
            self.store.save(scores(self.nll(request, 0.0)), *place)

    def run(self, candidates):
        return {
            candidate.key: self._failure(candidate.key)
            for candidate in candidates
            if not self._train(candidate)
        }

    def _failure(self, key):
        return TrialFailure(trial_id=key, where="", message="no", traceback="", attempts=3)

    def _train(self, candidate):
        job, key, store = candidate.job, candidate.key, self.store
        request, total = self.requests[key], job.spec.train.recipe.total_tokens
        tokens = job.until.tokens if isinstance(job.until, StopAt) else total
        folder = store.path("trials", key, "checkpoints")
        batch = job.spec.train.recipe.batch_tokens
        begun = max((int(p.name[5:]) * batch for p in folder.glob("step-*")), default=0)
        if request.location in self.fails:
            return False
        self.spent.append((key, begun, max(begun, tokens)))
        (folder / f"step-{tokens // batch}").mkdir(parents=True, exist_ok=True)
        if isinstance(job.until, StopAt):
            kept = scores(self.nll(request, tokens / total))
            store.save(kept, *rung_path(job.spec, tokens, EVALUATION, store))
        else:
            self.finish(job.spec, request)
        return True

    def finish(self, spec, request):
        """Put a trial into the store that is trained to the end."""
        recipe, sha256 = spec.train.recipe, spec.trial_id * 4
        warm, steps = recipe.warm_phase_tokens, recipe.budget_tokens // recipe.batch_tokens
        curve = tuple(
            HeldoutPoint(
                tokens=warm + round(share * steps) * recipe.batch_tokens,
                nll=self.nll(request, share),
            )
            for share in (0.0, *SHARES, 1.0)
        )
        trained = dataclasses.replace(
            planned.finished(spec, SMOKE, train_s=1.0), weights_sha256=sha256, heldout_curve=curve
        )
        keep_scores(self.store, sha256, self.nll(request, 1.0))
        self.store.save(trained, "trials", spec.trial_id, "trained.json")


def finish_all(plan, store, nll):
    """Train every trial of a plan to the end."""
    trainer = Trainer(store, plan, nll)
    for key, request in trainer.requests.items():
        trainer.finish(trainer.candidates[key].job.spec, request)
