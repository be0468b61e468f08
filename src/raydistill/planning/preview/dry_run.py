"""A plan as plain text, for `--dry-run`: every distinct trial, its layers and its cost."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from raydistill.core.text.lines import wrap
from raydistill.core.units import format_flops, format_seconds, format_tokens
from raydistill.evaluation.lm_harness.task_data import missing_task_data
from raydistill.planning.artifacts import ages_by_scale
from raydistill.planning.cell import (
    REFERENCE,
    bases_of,
    format_value,
)
from raydistill.planning.lr_probe import FACTORS, probe_cells, with_probes
from raydistill.planning.memory.kinds import kinds_of
from raydistill.planning.memory.limits import limit_of
from raydistill.planning.memory.table import memory_text
from raydistill.planning.plan import SweepPlan
from raydistill.planning.prepared import PreparedSweep
from raydistill.planning.preview.columns import cell_fields, changes_text, column_names
from raydistill.planning.preview.costs import (
    Rates,
    Work,
    answers_bytes,
    most_work,
    plan_work,
    rates_of,
)
from raydistill.planning.preview.devices import devices_text
from raydistill.planning.preview.estimate import (
    estimate_sentences,
    estimate_table,
    estimator_of,
)
from raydistill.planning.preview.forecast import forecast
from raydistill.planning.preview.lengths import lengths_text, probes_text
from raydistill.planning.preview.repeats import corpora_text, text_notes
from raydistill.planning.preview.sizes import (
    ages_text,
    blocks_texts,
    pretraining_table,
    sizes_text,
)
from raydistill.planning.preview.teachers import cached_sentence, teachers_text
from raydistill.planning.preview.trial_table import (
    UNKNOWN,
    Row,
    layer_map,
    shared_cells,
    trial_table,
)
from raydistill.planning.resolve import PlannedTrial
from raydistill.planning.search_settings import FUNNEL, TPE
from raydistill.specs.evaluation import EvalSpec
from raydistill.specs.locations import label
from raydistill.specs.recipe import decay_warning
from raydistill.specs.scale import Scale
from raydistill.specs.trial import FROM_BASE, RandomBase, Recipe, TrialRequest, TrialSpec

MOST_ROWS = 40  # of the trials that Optuna may choose from


def map_of(spec: TrialSpec, scale: Scale) -> str:
    """The boxes of a trial: of its base, or of the smaller model that begins from scratch."""
    own = spec.base.model if isinstance(spec.base, RandomBase) else scale.model
    return layer_map(own.num_layers, spec.plan.layers)


def describe(prepared: PreparedSweep, *, width: int = 100) -> str:
    """The whole plan in lines of at most `width` columns."""
    plan, with_all = prepared.plan, with_probes(prepared)
    trials, options = with_all.trials, plan.options
    bases, work = plan_work(with_all)
    most = most_work(plan, trials, work)
    cost = _cost(with_all, bases, most, work)
    limit = limit_of(options.assumed)
    memory = memory_text(kinds_of(with_all, limit), limit, cost.rates, width)
    names = column_names([cell_fields(trial.cells[0]) for trial in trials])
    rows = [
        _row(trial, trial_work, names, cost.time)
        for trial, trial_work in zip(trials, work, strict=True)
    ]
    shown = MOST_ROWS if options.search == TPE else len(rows)
    heads = (*names, "tokens", "FLOPs", "time", "id")
    sentences = (
        *shared_cells(trials),
        *_probes(plan),
        *cost.sentences,
        *memory.sentences,
        *cached_sentence(answers_bytes(with_all), options.cache_gb),
    )
    scales = {scale.name: scale for scale, _ in ages_by_scale(plan.cells)}
    price = options.price_per_hour
    by_shape = list(pretraining_table(bases, scales, cost.hours, price, width))
    of_bases = bool(by_shape) and all(w.is_base for w in work)
    lines = [
        *_headings(prepared, width, of_bases=of_bases),
        *(line for text in blocks_texts(trials) for line in _fact("blocks", text, width)),
        *(line for text in changes_text(plan.cells) for line in _fact("changes", text, width)),
        *(line for note in text_notes(prepared) for line in _fact("text", note, width)),
        *_decay(plan, width),
        "",
        *(() if of_bases else (*trial_table(heads, rows, width, shown), *_more(rows, shown), "")),
        *([*by_shape, ""] if by_shape else ()),
        *([*memory.table, ""] if memory.table else ()),
        _counts(trials, work),
        *cost.table,
        *(line for sentence in sentences for line in wrap(sentence, width, "  ")),
    ]
    return "\n".join(line.rstrip() for line in lines)


def _more(rows: Sequence[Row], shown: int) -> list[str]:
    more = len(rows) - shown
    return [f"… and {more} more trials to choose from"] if more > 0 else []


@dataclass(frozen=True, kw_only=True, slots=True)
class _Cost:
    """What is left to do of a plan, as text."""

    time: Callable[[Work], str]  # of one trial
    hours: Callable[[Work], Sequence[float]]  # of a device for a pretraining, from fast to slow
    sentences: tuple[str, ...]
    table: tuple[str, ...] = ()
    rates: Rates | None = None  # as measured


def _cost(
    with_all: PreparedSweep, bases: Sequence[Work], most: Sequence[Work], possible: Sequence[Work]
) -> _Cost:
    """As measured before, or on the devices that the plan takes to be there."""
    options = with_all.plan.options
    if options.assumed == "nothing":
        rates = rates_of(with_all.trials, with_all.store, probed=options.probe)
        return _Cost(
            time=lambda work: format_seconds(work.seconds(rates)),
            hours=lambda work: (work.device_s(rates) / 3600,),
            sentences=tuple(forecast(bases, most, rates, options.price_per_hour, possible)),
            rates=rates,
        )
    estimator = estimator_of(with_all, options.assumed)
    todo = [work for work in (*bases, *most) if not work.done]
    return _Cost(
        time=estimator.trial_text,
        hours=estimator.pretraining_hours,
        sentences=(
            *forecast(bases, most, possible=possible),
            *estimate_sentences(with_all, todo, options.assumed),
        ),
        table=("", *estimate_table(with_all, bases, most, estimator), ""),
    )


def _row(
    planned: PlannedTrial, work: Work, names: Sequence[str], time: Callable[[Work], str]
) -> Row:
    requests, values = [cell.request for cell in planned.cells], cell_fields(planned.cells[0])
    num_layers = planned.scale.model.num_layers
    locations = [
        str(
            cell.values.get("arm")
            or cell.values.get(REFERENCE)
            or label(r.location, num_layers, r.count, allow_ends=r.allow_ends)
        )
        for cell, r in zip(planned.cells, requests, strict=True)
    ]
    trial_id = planned.id_after
    if requests[0].peak_lr == "probe":
        trial_id = "after probing"
    if isinstance(planned.trial, TrialSpec):
        layers = map_of(planned.trial, planned.scale)
        if planned.has_final_id:
            trial_id = planned.trial.trial_id
    else:
        layers, trial_id = UNKNOWN * num_layers, "after scoring"
    return Row(
        layers=layers,
        location=", ".join(dict.fromkeys(locations)),
        values=(
            *(format_value(name, values.get(name, "")) for name in names),
            format_tokens(int(float(f"{work.tokens:.3g}"))),
            format_flops(work.flops_exact),
            "done" if work.done else time(work),
            trial_id,
        ),
    )


def _headings(prepared: PreparedSweep, width: int, *, of_bases: bool) -> Iterator[str]:
    plan = prepared.plan
    scale = plan.shown_scale
    bases = bases_of(plan.cells, teachers=True)
    # The longest healing stands for all: arms of a comparison have budgets of their own.
    request = max((cell.request for cell in plan.cells), key=_healing)
    recipe = scale.recipe(request)
    facts = {
        "scale": sizes_text(scale, [base.scale for base in bases])
        + f"; {corpora_text(plan)}"
        + (f"; by the recipe of {scale.like!r}, a test" if scale.like else "")
        + (f"; {plan.options.scale_from}" if plan.options.scale_from else ""),
        "clocks": _clocks(scale),
        "ages": ages_text(scale, bases, prepared.artifacts.bases),
        "teachers": teachers_text(plan.cells),
        "training": _pretraining(scale)
        if of_bases
        else f"warm-up {format_tokens(recipe.warmup_tokens)}, "
        f"warm phase {format_tokens(recipe.warm_phase_tokens)}, budget {_budget(request, recipe)}, "
        f"{recipe.total_steps} steps of {format_tokens(recipe.batch_tokens)} tokens, "
        f"peak rate {_peak(plan, recipe)}"
        + devices_text(cell.scale.devices_per_trial for cell in plan.cells),
        "tasks": _tasks(scale.evaluation),
        "measured": lengths_text(prepared),
        "probes": probes_text(prepared),
        "search": _search(plan),
        "storage": str(plan.options.storage),
    }
    yield from wrap(f"{plan.sweep.name}: {plan.sweep.question}", width)
    for name, fact in facts.items():
        yield from _fact(name, fact, width) if fact else ()


def _pretraining(scale: Scale) -> str:
    recipe = scale.pretrain
    return (
        f"of bases, by {scale.objective} and {recipe.optimizer}: {recipe.total_steps:,} steps of "
        f"{format_tokens(recipe.batch_tokens)} tokens, warm-up "
        f"{format_tokens(recipe.warmup_tokens)}, {recipe.schedule}, peak rate {recipe.peak_lr:g}"
    )


def _decay(plan: SweepPlan, width: int) -> list[str]:
    """A warning where weight decay takes much of the bases."""
    from_base = (cell for cell in plan.cells if cell.request.start == FROM_BASE)
    warning = decay_warning(cell.scale.recipe(cell.request) for cell in from_base)
    return _fact("decay", f"warning: {warning}", width) if warning else []


def _fact(name: str, fact: str, width: int) -> list[str]:
    return wrap(f"{name:9} {fact}", width, " " * min(10, width // 2))


def _peak(plan: SweepPlan, recipe: Recipe) -> str:
    rates = {cell.request.peak_lr for cell in plan.cells if cell.request.budget}
    return f"{recipe.peak_lr:g}" if len(rates) < 2 else "by trial"


def _budget(request: TrialRequest, recipe: Recipe) -> str:
    """As requested and as trained, in whole steps."""
    ends = format_tokens(request.budget), format_tokens(recipe.budget_tokens)
    return " → ".join(dict.fromkeys(ends))


def _clocks(scale: Scale) -> str:
    if scale.brought:
        is_one = len(scale.ages) == 1 and not scale.models
        one = "; one checkpoint, so age is no axis (--age REV,REV)" if is_one else ""
        return f"one token is one token{one}"
    return (
        f"1 token of pretraining stands for {scale.age_clock:,} of the paper's, "
        f"1 token of training for {scale.train_clock:,}"
    )


def _tasks(evaluation: EvalSpec) -> str:
    """The tasks, and those whose data is not local yet."""
    missing = missing_task_data(evaluation)
    away = f" (from the hub, not here yet: {', '.join(missing)})" if missing else ""
    few = f"; a first look: {evaluation.limit} items of each" if evaluation.limit else ""
    return (", ".join(evaluation.tasks) or "none") + away + few


def _healing(request: TrialRequest) -> tuple[bool, int]:
    return request.start == FROM_BASE, request.budget


def _search(plan: SweepPlan) -> str:
    search, trials = plan.options.search, plan.options.trials
    if search == FUNNEL:
        return f"{search}, {trials} layer sets of each model, age and count to the end"
    goal = f", lowest {', '.join(plan.options.objectives)}" if search == TPE else ""
    return f"{search}, {trials} of {len(plan.cells)} cells{goal}"


def _counts(trials: Sequence[PlannedTrial], work: Sequence[Work]) -> str:
    num_cells = sum(len(trial.cells) for trial in trials)
    done = sum(training.done for training in work)
    return f"Cells {num_cells} · distinct trials {len(trials)} · done {done}."


def _probes(plan: SweepPlan) -> Iterator[str]:
    probes = probe_cells(plan.cells) if plan.options.lr_probe else ()
    if probes:
        yield (
            f"Of these, the {len(probes)} with data seed {probes[0].request.seed} come first: "
            f"three peak rates for each of {len(probes) // len(FACTORS)} arms."
        )
