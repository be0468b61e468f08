"""What a plan will cost: tokens and FLOPs exactly, seconds from trials that were timed before."""

from collections.abc import Sequence
from dataclasses import dataclass

from raydistill.errors import UsageError
from raydistill.flops import exact_flops, paper_flops
from raydistill.outcomes import Trained
from raydistill.resolve import Known, PlannedTrial, ages_by_scale, stand_in_plan
from raydistill.scales import Scale
from raydistill.spec import DropPlan, ModelConfig, NoTeacher, RandomBase, TrialSpec
from raydistill.store import Store

MOST_DEVICE_HOURS = 8.0
_NEWEST = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Rate:
    """How fast one device of a kind trains one model, as measured."""

    device: str
    flops_per_s: float
    tokens_per_s: float
    evaluate_s: float  # per trial


@dataclass(frozen=True, kw_only=True, slots=True)
class Unmeasured:
    """No finished trial of this model tells how fast it trains."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """One training that a plan asks for."""

    tokens: int
    flops_exact: int
    flops_paper: int
    devices: int
    done: bool

    def seconds(self, rate: Rate | Unmeasured) -> float:
        """Expected wall-clock; 0 if it is done, infinite if nobody knows."""
        if self.done:
            return 0.0
        if isinstance(rate, Unmeasured):
            return float("inf")
        return self.flops_exact / (rate.flops_per_s * self.devices) + rate.evaluate_s


def measured_rate(model: ModelConfig, store: Store) -> Rate | Unmeasured:
    """From the newest finished trials of `model`, on the kind of device of the last one."""
    files = sorted(store.path("trials").glob("*/trained.json"), key=lambda f: f.stat().st_mtime)
    loaded = [store.load(Trained, *file.relative_to(store.root).parts) for file in files[-_NEWEST:]]
    trained = [t for t in loaded if t is not None and t.model == model and t.cost.train_s > 0]
    if not trained:
        return Unmeasured()
    device = trained[-1].made_by.device
    alike = [t for t in trained if t.made_by.device == device]
    device_s = sum(t.cost.train_s * t.made_by.world_size for t in alike)
    return Rate(
        device=device,
        flops_per_s=sum(t.cost.flops_exact for t in alike) / device_s,
        tokens_per_s=sum(t.cost.tokens for t in alike) / device_s,
        evaluate_s=sum(t.cost.evaluate_s for t in alike) / len(alike),
    )


def trial_work(planned: PlannedTrial, store: Store) -> Work:
    """One trial of a plan."""
    cell, trial, model = planned.cells[0], planned.trial, planned.scale.model
    recipe = planned.scale.recipe(cell.request)
    if isinstance(trial, TrialSpec):
        plan = trial.plan
        model = trial.base.model if isinstance(trial.base, RandomBase) else model
        done = store.path("trials", trial.trial_id, "trained.json").is_file()
    else:
        plan, done = stand_in_plan(cell.request, planned.scale), False
    teacher = cell.teacher
    cached = bool(cell.request.excerpt)
    teachers = () if cached or isinstance(teacher, NoTeacher) else (teacher.scale.model,)
    return Work(
        tokens=recipe.total_tokens,
        flops_exact=exact_flops(model, plan, recipe, teachers),
        flops_paper=paper_flops(model, plan, recipe, teachers),
        devices=planned.scale.devices_per_trial,
        done=done,
    )


def plan_work(
    planned: Sequence[PlannedTrial], known: Known, store: Store
) -> tuple[list[Work], list[Work]]:
    """The pretrainings that trials need first, one a scale, and the trials in their order."""
    cells = [cell for each in planned for cell in each.cells]
    bases = [base_work(scale, known, ages) for scale, ages in ages_by_scale(cells)]
    return bases, [trial_work(each, store) for each in planned]


def base_work(scale: Scale, known: Known, ages: Sequence[int]) -> Work:
    """The pretraining that a plan needs first, on one device; done if all its ages exist."""
    plan, recipe = DropPlan(), scale.pretrain
    return Work(
        tokens=recipe.total_tokens,
        flops_exact=exact_flops(scale.model, plan, recipe),
        flops_paper=paper_flops(scale.model, plan, recipe),
        devices=1,
        done=all((scale.name, age) in known.bases for age in ages),
    )


def check_cost(work: Sequence[Work], rate: Rate | Unmeasured, scale: Scale) -> None:
    """Refuse what would take long, or what nobody knows the length of.

    Raises:
        UsageError: if it needs a yes.
    """
    hours = sum(each.seconds(rate) * each.devices for each in work) / 3600
    if hours == float("inf") and not scale.cheap:
        raise UsageError(
            f"nobody knows yet what a trial of scale {scale.name!r} takes: "
            "look at it with --dry-run, then add --yes"
        )
    if MOST_DEVICE_HOURS < hours < float("inf"):
        raise UsageError(
            f"this would take {hours:.0f} device-hours, more than {MOST_DEVICE_HOURS:.0f}: "
            "look at it with --dry-run, then add --yes"
        )
