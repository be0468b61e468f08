"""The cost of a plan: tokens, FLOPs and disk exactly; seconds and memory as measured before."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from raydistill.core.errors import UsageError
from raydistill.distillation.loss_name import share_read, temperature_of
from raydistill.distillation.teacher_placement import layout_of, parse_excerpt
from raydistill.planning.artifacts import Artifacts, ages_by_scale
from raydistill.planning.cell import BaseKey
from raydistill.planning.plan import SweepPlan
from raydistill.planning.prepared import PreparedSweep
from raydistill.planning.resolve import PlannedTrial, stand_in_plan
from raydistill.planning.search.halving import halving_schedule, rivals_of
from raydistill.planning.search_settings import FUNNEL, TPE
from raydistill.specs.corpus import CorpusInfo
from raydistill.specs.flops import (
    exact_flops,
    forward_flops_per_token,
    of_mean_blocks,
    paper_flops,
    parameters,
)
from raydistill.specs.results import CostEstimate
from raydistill.specs.scale import Scale
from raydistill.specs.trial import FROM_BASE, Age, DropPlan, NoTeacher, RandomBase, TrialSpec
from raydistill.storage.store import Store
from raydistill.training.throughput import ESTIMATE_FILE, Rate, Unmeasured, pace_name, rate_of

MOST_DEVICE_HOURS = 8.0  # that need no `--yes`

_FLOAT_BYTES = 4  # weights and momentum are float32 whatever the precision
_CHECKPOINTS = 3  # two are kept, while a third is written

Rates = Mapping[str, Rate | Unmeasured]  # by the name of a scale


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """The cost of one training run of a plan."""

    scale: str
    loss: str
    blocks: int  # of the student
    pass_flops: int  # of one token's forward pass through the student
    tokens: int
    flops_exact: int
    flops_paper: int
    devices: int
    done: bool
    kept_bytes: int  # on disk, for good
    working_bytes: int  # on disk, while it trains
    teacher_flops: int = 0  # of `flops_exact`, of a teacher that answers beside it
    teacher_bytes: int = 0  # of its weights
    precision: str = "float32"
    is_base: bool = False  # as it is, which is measured anyway

    def seconds(self, rates: Rates) -> float:
        """Expected wall-clock seconds; 0 if it is done, infinite if they are not known."""
        rate = rates[self.scale]
        if self.done:
            return 0.0
        if isinstance(rate, Unmeasured):
            return float("inf")
        pace = rate.pace(self.loss, self.blocks)
        return self.flops_exact / (pace.flops_per_s * self.devices) + pace.evaluate_s

    def peak_bytes(self, rate: Rate) -> int:
        """Memory of a device, at most: as measured, and a teacher that was not there then."""
        pace = rate.pace(self.loss, self.blocks)
        return pace.peak_bytes + (0 if pace.loss == self.loss else self.teacher_bytes)

    def device_s(self, rates: Rates) -> float:
        """Expected seconds times devices, all of which are held while one of them evaluates."""
        return self.seconds(rates) * self.devices


def rates_of(trials: Sequence[PlannedTrial], store: Store, *, probed: bool) -> Rates:
    """The measured speed of every scale of trials and their bases."""
    cells = [cell for planned in trials for cell in planned.cells]
    scales = {scale.name: scale for scale, _ in ages_by_scale(cells)}
    return {
        name: rate_of(scale.model, scale.heal, store, probed=probed)
        for name, scale in scales.items()
    }


def trial_work(planned: PlannedTrial, store: Store) -> Work:
    """The cost of one trial of a plan."""
    cell, trial, model = planned.cells[0], planned.trial, planned.scale.model
    recipe = planned.scale.recipe(cell.request)
    if isinstance(trial, TrialSpec):
        plan = trial.plan
        model = trial.base.model if isinstance(trial.base, RandomBase) else model
        trained = store.path("trials", trial.trial_id, "trained.json").is_file()
        done = planned.has_final_id and trained
    else:
        plan, done = stand_in_plan(cell.request, planned.scale), False
        model = of_mean_blocks(model)  # which of them leave is not known
    teacher = cell.teacher
    cached = bool(cell.request.excerpt)
    teachers = () if cached or isinstance(teacher, NoTeacher) else (teacher.scale.model,)
    beside = "" if isinstance(cell.teacher_beside, NoTeacher) else cell.teacher_beside.scale.name
    share = share_read(cell.request.loss)
    flops, own_flops = (exact_flops(model, plan, recipe, who, share) for who in (teachers, ()))
    before, after = parameters(model), parameters(model, removed=plan.layers)
    return Work(
        scale=planned.scale.name,
        loss=pace_name(cell.request.loss, cached, beside),
        blocks=model.num_layers - len(plan.drops),
        pass_flops=forward_flops_per_token(model, removed=plan.layers),
        tokens=recipe.total_tokens,
        flops_exact=flops,
        flops_paper=paper_flops(model, plan, recipe, teachers),
        devices=planned.scale.devices_per_trial,
        done=done,
        kept_bytes=_FLOAT_BYTES * after,
        working_bytes=_CHECKPOINTS * _FLOAT_BYTES * (before + after),
        teacher_flops=flops - own_flops,
        teacher_bytes=sum(_FLOAT_BYTES * parameters(who) for who in teachers),
        precision=recipe.precision,
        is_base=not recipe.total_tokens and not plan.drops and cell.request.start == FROM_BASE,
    )


def plan_work(prepared: PreparedSweep) -> tuple[list[Work], list[Work]]:
    """The costs of the pretrainings that trials need, one a scale, and of the trials, in order."""
    bases = [
        base_work(scale, prepared.artifacts, ages)
        for scale, ages in ages_by_scale(prepared.plan.cells)
        if not scale.brought
    ]
    return bases, [trial_work(trial, prepared.store) for trial in prepared.trials]


def most_work(plan: SweepPlan, trials: Sequence[PlannedTrial], work: Sequence[Work]) -> list[Work]:
    """The most that is left to do: all of a grid's trials, the costliest that a search may run.

    Args:
        plan: without its probes of learning rates.
        trials: of it, and its probes.
        work: the cost of each of `trials`.
    """
    options, count = plan.options, len(work)
    alone: list[Work] = []
    if options.search == TPE:
        seeds = plan.sweep.searching.new_seeds
        anew = 2 * seeds + 2 * (seeds > 0)  # the winner, the best preset and their controls
        count = max(0, options.trials - sum(w.done for w in work)) + anew
    if options.search == FUNNEL:
        count, rivals = _halved(plan, trials)
        alone = [w for t, w in zip(trials, work, strict=True) if id(t) not in rivals]
        work = [w for t, w in zip(trials, work, strict=True) if id(t) in rivals]
    costliest = sorted((w for w in work if not w.done), key=lambda w: -w.flops_exact)
    return [*(w for w in alone if not w.done), *costliest[:count]]


def _halved(plan: SweepPlan, trials: Sequence[PlannedTrial]) -> tuple[int, set[int]]:
    """How many budgets' worth of training the rivals of a funnel need at most, and who they are.

    Controls and probes of learning rates, whose seeds are no cell's, have no rivals.
    """
    seeds, finalists = {cell.request.seed for cell in plan.cells}, plan.options.trials
    groups, _ = rivals_of([t for t in trials if t.cells[0].request.seed in seeds])
    trainings = sum(
        halving_schedule(len(sets), finalists).trainings
        + (len(seeds) - 1) * min(finalists, len(sets))
        for sets in groups
    )
    return math.ceil(trainings), {id(t) for sets in groups for of_set in sets for t in of_set}


def base_work(scale: Scale, artifacts: Artifacts, ages: Sequence[Age]) -> Work:
    """The cost of a scale's pretraining, on one device; done if all these ages exist."""
    plan, recipe = DropPlan(), scale.pretrain
    size = _FLOAT_BYTES * parameters(scale.model)
    return Work(
        scale=scale.name,
        loss=scale.objective,
        blocks=scale.model.num_layers,
        pass_flops=forward_flops_per_token(scale.model),
        tokens=recipe.total_tokens,
        flops_exact=exact_flops(scale.model, plan, recipe, mask_share=share_read(scale.objective)),
        flops_paper=paper_flops(scale.model, plan, recipe),
        devices=1,
        done=all((scale.name, age) in artifacts.bases for age in ages),
        kept_bytes=size * len(scale.ages),
        working_bytes=2 * _CHECKPOINTS * size,
        precision=recipe.precision,
    )


def answers_bytes(prepared: PreparedSweep) -> int:
    """The bytes that cached teachers take in the storage once a plan is done, at most.

    As `_answers` counts windows.
    """
    total = 0
    for answers, windows in _answers(prepared):
        form, size = parse_excerpt(answers.excerpt)
        layout = layout_of(form)
        total += windows * layout.window_bytes(size, answers.vocab_size, answers.context)
    return total


def cached_teachers(prepared: PreparedSweep) -> Iterator[tuple[str, int]]:
    """The precision of each teacher whose answers are cached, and its FLOPs for them, at most."""
    for answers, windows in _answers(prepared):
        tokens = windows * answers.context
        yield answers.precision, tokens * forward_flops_per_token(answers.scale.model)


def _answers(prepared: PreparedSweep) -> Iterator[tuple["_Answers", int]]:
    """What is cached of each teacher, and how many windows of it, at most.

    A window is written once for all trials that share it. Which windows several data seeds share
    is not looked up, but together they have at most all windows of the corpus.
    """
    longest: dict[_Answers, dict[tuple[int, int], int]] = {}  # tokens, by data order
    for planned in prepared.trials:
        cell = planned.cells[0]
        recipe = planned.scale.recipe(cell.request)
        if cell.request.excerpt and not isinstance(cell.teacher, NoTeacher):
            student, teacher = planned.scale.model, cell.teacher.scale.model
            answers = _Answers(
                teacher=cell.teacher.key,
                corpus_sha256=prepared.artifacts.corpus_of(planned.scale).corpus_sha256,
                scale=cell.teacher.scale,
                excerpt=cell.request.excerpt,
                temperature=temperature_of(cell.request.loss),
                precision=recipe.precision,
                context=student.context,
                vocab_size=min(student.vocab_size, teacher.vocab_size),
            )
            order = cell.request.seed, recipe.warm_phase_tokens
            by_order = longest.setdefault(answers, {})
            by_order[order] = max(by_order.get(order, 0), recipe.budget_tokens)
    for answers, by_order in longest.items():
        windows = sum(tokens // answers.context for tokens in by_order.values())
        info = prepared.store.load(CorpusInfo, "corpora", answers.corpus_sha256, "corpus.json")
        if info is not None:
            windows = min(windows, (info.train_tokens - 1) // answers.context)
        yield answers, windows


@dataclass(frozen=True, kw_only=True, slots=True)
class _Answers:
    """The cached answers of one teacher, whatever the windows."""

    teacher: BaseKey
    corpus_sha256: str
    scale: Scale  # of the teacher
    excerpt: str
    temperature: float
    precision: str
    context: int
    vocab_size: int


def keep_estimates(trials: Sequence[PlannedTrial], store: Store, *, probed: bool) -> None:
    """Store the estimated cost of every trial that has none yet and is not done, where known."""
    rates = rates_of(trials, store, probed=probed)
    for planned in trials:
        work = trial_work(planned, store)
        rate = rates[work.scale]
        if work.done or isinstance(rate, Unmeasured) or not isinstance(planned.trial, TrialSpec):
            continue
        store_key = ("trials", planned.trial.trial_id, ESTIMATE_FILE)
        if store.load(CostEstimate, *store_key) is None:
            estimate = CostEstimate(
                device_s=work.device_s(rates),
                peak_bytes=work.peak_bytes(rate),
                source=rate.grounds,
            )
            store.save(estimate, *store_key)


class LongError(UsageError):
    """A plan takes long, or an unknown time: it needs `--yes`."""


def check_cost(work: Sequence[Work], rates: Rates, scale: Scale) -> None:
    """Refuse work that takes long, or whose duration is not known.

    Raises:
        LongError: if it needs `--yes`.
    """
    hours = sum(training.device_s(rates) for training in work) / 3600
    if hours == float("inf") and not scale.cheap:
        raise LongError(
            f"nobody knows yet what a trial of scale {scale.name!r} takes: "
            "look at it with --dry-run --probe, then add --yes"
        )
    if MOST_DEVICE_HOURS < hours < float("inf"):
        raise LongError(
            f"this would take {hours:.0f} device-hours, more than {MOST_DEVICE_HOURS:.0f}: "
            "look at it with --dry-run, then add --yes"
        )
