"""The plan that a sweep's flags ask for.

Values of an axis replace the sweep's own; of any other field every cell gets the one value, and
several make it an axis.
"""

import argparse
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from raydistill.cli.arguments.chosen_values import (
    ChosenValues,
    check_ages,
    check_overruled,
    check_training_flags,
    chosen_values,
)
from raydistill.cli.arguments.model_flags import (
    check_model_flags,
    names_models,
    scale_of_model,
)
from raydistill.cli.arguments.storage import scale_named, storage_of, tracking_uri_of
from raydistill.cli.arguments.text_flags import check_text_flags, with_text
from raydistill.core.errors import UsageError
from raydistill.core.paths import resolve_path
from raydistill.distillation.teacher_placement import check_placement
from raydistill.evaluation.lm_harness.task_data import requested_evaluation
from raydistill.planning.axes.ranges import in_steps, levels_of
from raydistill.planning.axes.trial_function import no_cell
from raydistill.planning.cell import REFERENCE, SIZE, TEACHER, Cell, Value
from raydistill.planning.custom_model import RECIPES
from raydistill.planning.plan import Options, SweepPlan, probed_when_oldest
from raydistill.planning.preview.devices import (
    DEVICES,
    UTILISATION,
    Assumption,
    assumed_speed,
)
from raydistill.planning.reference_models import reference_cell
from raydistill.planning.search.halving import FINALISTS
from raydistill.planning.search_settings import (
    FUNNEL,
    GRID,
    RANDOM,
    TPE,
    SearchSettings,
    check_objectives,
    check_search,
    first_of_permutation,
)
from raydistill.planning.sweep import BUDGET, MOST_CELLS, Sweep
from raydistill.specs.recipe import check_recipe
from raydistill.specs.scale import Scale, load_scale, with_heal
from raydistill.specs.trial import NoTeacher
from raydistill.storage.store import Store
from raydistill.training.jobs import check_sharding


def plan_of(sweep: Sweep, flags: argparse.Namespace, command: str) -> SweepPlan:
    """A sweep's cells and options as the flags say.

    Raises:
        UsageError: if a flag's value is not allowed.
    """
    check_model_flags(flags, sweep)
    name, scale_from = scale_named(flags, sweep.scale)
    chosen = chosen_values(sweep, flags)
    budgets = [int(tokens) for tokens in chosen.values.get(BUDGET, ()) if BUDGET not in sweep.axes]
    budget = max(budgets, default=None)
    scale = _scale(flags, name, chosen.settings, budget)
    check_text_flags([name], flags)

    def scale_called(own: str, tokens: int | None) -> Scale:
        if names_models(flags):
            return _scale(flags, name, chosen.settings, tokens, own if flags.models else "")
        return _scale(flags, own, chosen.settings, tokens)

    scales = {
        "sized": lambda size: scale if size == scale.name else scale_called(size, budget),
        "budgeted": lambda own, other: scale_called(own.name, other),
    }
    searching, cells = _searched_cells(sweep, flags, chosen, scale, scales)
    sizes = map(str, chosen.values.get(SIZE, ()))
    check_text_flags([*sizes] or (cell.scale.name for cell in cells), flags)
    check_training_flags(flags, chosen.values.get(BUDGET, ()), cells)
    seed = cells[0].request.seed
    references = _references(sweep, flags, scale, searching)
    cells += references
    check_recipes(cells)
    check_overruled(chosen.settings, sweep, cells)
    losses = {cell.request.loss for cell in cells}
    check_placement(flags.teacher_placement, losses)
    recipes = [cell.scale.recipe(cell.request) for cell in cells]
    check_sharding(flags.sharding, losses, recipes, scale.device_counts)
    is_field = flags.teacher is not None and TEACHER not in sweep.axes
    if is_field and all(isinstance(cell.teacher, NoTeacher) for cell in cells):
        raise UsageError("--teacher goes with a loss that has one, such as --loss kd")
    storage = storage_of(flags)
    options = Options(
        storage=storage,
        tracking_uri=tracking_uri_of(flags, storage),
        search=searching.name,
        trials=searching.trials + len(references),
        objectives=searching.objectives,
        seed=seed,
        device_counts=scale.device_counts,
        concurrent=flags.concurrent or "auto",
        teacher_placement=flags.teacher_placement,
        sharding=flags.sharding,
        cache_gb=flags.cache_gb,
        checkpoint_every_s=flags.checkpoint_every,
        anew="all" in (getattr(flags, "arm", None) or ()),
        command=command,
        debug=flags.debug,
        probe=flags.probe,
        lr_probe=_wants_lr_probe(flags, scale, cells),
        price_per_hour="unknown" if flags.price_per_hour is None else flags.price_per_hour,
        assumed=_assumed(flags),
        scale_from=scale_from,
        task_data=_task_data(flags),
    )
    return SweepPlan(sweep=sweep, scale=scale, cells=probed_when_oldest(cells), options=options)


def _assumed(flags: argparse.Namespace) -> Assumption | Literal["nothing"]:
    """The devices that a plan is for, where these are not at hand."""
    if not (flags.device or flags.utilisation or flags.tokens_per_s):
        return "nothing"
    if not flags.dry_run:
        raise UsageError(
            "--device, --utilisation and --tokens-per-s plan for other devices: add --dry-run"
        )
    if flags.probe:
        raise UsageError("--probe measures the devices here: leave the flags for other devices out")
    if flags.tokens_per_s and flags.utilisation:
        raise UsageError("--tokens-per-s says all: leave --utilisation out")
    if flags.tokens_per_s:
        return assumed_speed("", *flags.tokens_per_s)
    if not flags.device:
        raise UsageError(f"--utilisation is of a --device: {', '.join(DEVICES)}")
    return assumed_speed(flags.device, *(flags.utilisation or (UTILISATION, UTILISATION)))


def _searched_cells(
    sweep: Sweep,
    flags: argparse.Namespace,
    chosen: ChosenValues,
    scale: Scale,
    scales: Mapping[str, Any],
) -> tuple[SearchSettings, tuple[Cell, ...]]:
    """How is searched, and the cells to search; `scales` are those of `Sweep.cells`."""
    search = flags.search or sweep.searching.name
    values = {
        **chosen.values,
        **(levels_of(in_steps(chosen.ranges, scale)) if search == TPE else {}),
    }
    if chosen.ranges and search == RANDOM:
        searching = _searching(sweep, flags, MOST_CELLS)
        cells = sweep.drawn_cells(scale, values, chosen.ranges, searching.trials, **scales)
    elif chosen.ranges and search != TPE:
        axis, of_axis = next(iter(chosen.ranges.items()))
        raise UsageError(
            f"{axis}={of_axis}: a range is drawn from by --search {RANDOM} or {TPE}; "
            f"--search {search} takes values, or a step behind the range, as in 1..8:1"
        )
    else:
        cells = sweep.cells(scale, values, allow_many=flags.yes, **scales)
    sizes = map(scales["sized"], map(str, values.get(SIZE, ())))
    check_ages(values.get("age", ()), [*sizes] or [scale], cells)
    if not cells:
        raise UsageError(no_cell(sweep.name, sweep.trial))
    if chosen.ranges and search == RANDOM:
        return replace(searching, trials=len(cells)), cells
    searching = _searching(sweep, flags, len(cells))
    if search == RANDOM:
        cells = tuple(first_of_permutation(cells, searching.trials, cells[0].request.seed))
    return searching, cells


def _wants_lr_probe(flags: argparse.Namespace, scale: Scale, cells: Sequence[Cell]) -> bool:
    """Whether each arm tries three peaks: as the flag says, else for the recipe of a `--model`."""
    cells_have_rates = any(cell.request.peak_lr != "scale" for cell in cells)
    if flags.lr_probe and cells_have_rates:
        names = [name for name in ("lr_factor", "lr", "peak_lr") if name in cells[0].values]
        axis = names[0] if names else "the sweep"
        instead = "add --lr_factor 1" if axis == "lr_factor" else "leave one of the two out"
        raise UsageError(f"--lr-probe chooses the rates that {axis} names: {instead}")
    if flags.lr_probe is not None:
        return bool(flags.lr_probe)
    assignments = itertools.chain(flags.set, *getattr(flags, "around", ()))
    flags_have_rate = any(field in ("lr", "peak_lr") for field, _ in assignments)
    heals = bool(scale.brought) and not scale.like and flags.recipe in (None, RECIPES[0])
    return heals and not flags_have_rate and not cells_have_rates


def check_recipes(cells: Sequence[Cell]) -> None:
    """Refuse a recipe that cannot be trained as written; a budget of 0 trains nothing.

    Raises:
        UsageError: naming the field, its value and what is allowed.
    """
    for cell in {(c.scale, c.scale.recipe(c.request)): c for c in cells}.values():
        recipe = cell.scale.recipe(cell.request)
        if recipe.total_tokens:
            devices = math.lcm(*cell.scale.device_counts)
            check_recipe(recipe, context=cell.scale.model.context, devices=devices)


def _scale(
    flags: argparse.Namespace,
    name: str,
    settings: Mapping[str, Value],
    budget: int | None,
    size: str = "",
) -> Scale:
    """The scale with a recipe, a budget, and the corpus and the devices that the flags name.

    `size` is one of `--models`; `name` is then that of a scale for tests, if any.
    """
    scale = scale_of_model(flags, name, budget, size) if names_models(flags) else load_scale(name)
    scale = with_heal(scale, settings)
    if budget is not None:
        if budget < 0:
            raise UsageError(
                f"the budget of {budget} tokens is under one batch of {scale.heal.batch_tokens}"
            )
        scale = replace(scale, budget=budget)
    scale = with_text(scale, flags)
    if flags.devices_per_trial is not None:
        counts: range = flags.devices_per_trial
        scale = replace(scale, devices_per_trial=counts[-1], fewest_devices=counts[0])
    evaluation = requested_evaluation(
        scale.evaluation,
        flags.tasks,
        _task_data(flags),
        flags.num_fewshot,
        Store(storage_of(flags)),
        flags.probes,
    )
    return replace(scale, evaluation=replace(evaluation, limit=flags.limit or 0))


def _task_data(flags: argparse.Namespace) -> Path | None:
    return None if flags.task_data is None else resolve_path(flags.task_data)


def _searching(sweep: Sweep, flags: argparse.Namespace, num_cells: int) -> SearchSettings:
    """The sweep's own search, as far as the flags do not name another."""
    own = sweep.searching
    name = flags.search or own.name
    check_search(name)
    if name == GRID and flags.trials is not None:
        raise UsageError("--trials goes with another --search; a grid takes every cell")
    default = {GRID: num_cells, FUNNEL: FINALISTS}.get(name, own.trials if name == own.name else 0)
    if not default and flags.trials is None:
        raise UsageError(f"--search {name} needs --trials, 1 to {num_cells}")
    objectives = own.objectives
    if flags.objective is not None:
        if name != TPE:
            raise UsageError(f"--objective goes with --search {TPE}, not with {name!r}")
        objectives = tuple(objective.strip() for objective in flags.objective.split(","))
    check_objectives(objectives)
    return replace(
        own, name=name, trials=min(flags.trials or default, num_cells), objectives=objectives
    )


def _references(
    sweep: Sweep, flags: argparse.Namespace, scale: Scale, searching: SearchSettings
) -> tuple[Cell, ...]:
    """The cells of `--reference`; nothing chooses among them."""
    names = [item.strip() for text in flags.reference or () for item in text.split(",")]
    if names and searching.name in (TPE, FUNNEL):
        raise UsageError(
            f"--reference goes with --search {GRID} or {RANDOM}: {searching.name!r} chooses "
            "what it trains, and a reference is not trained"
        )
    cells = [reference_cell(name, sweep.name, scale, flags.max_length or 0) for name in names]
    return tuple({str(cell.values[REFERENCE]): cell for cell in cells}.values())
