"""What the flags of a sweep mean: text becomes a plan.

A value of an axis stands in place of the sweep's own values; of any other field it is the one
value that every cell gets.
"""

import argparse
import math
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from raydistill.brought import RECIPES, TESTS, Bring, revisions, scale_of
from raydistill.errors import SetupError, UsageError
from raydistill.evaluate.asked import asked_evaluation
from raydistill.funnel import FINALISTS
from raydistill.locations import every_location, is_list
from raydistill.placement import check_placement, excerpt_of
from raydistill.places import place
from raydistill.recipe import check_recipe, with_settings
from raydistill.references import reference_cell
from raydistill.remote import copy_of, is_url
from raydistill.scales import Scale, load_scale
from raydistill.search import (
    FUNNEL,
    GRID,
    RANDOM,
    TPE,
    Searching,
    check_objectives,
    check_search,
    first_of_permutation,
)
from raydistill.spec import NoTeacher
from raydistill.store import Store
from raydistill.sweep import (
    FIELDS,
    REFERENCE,
    Cell,
    Options,
    Sweep,
    SweepPlan,
    Value,
)
from raydistill.text_flags import with_text
from raydistill.units import parse_tokens

SCALE_VARIABLE, STORAGE_VARIABLE = "RAYDISTILL_SCALE", "RAYDISTILL_STORAGE"


def plan_of(sweep: Sweep, flags: argparse.Namespace, command: str) -> SweepPlan:
    """The plan that the flags ask for.

    Raises:
        UsageError: if a flag's value is not allowed.
    """
    asked = flags.scale or os.environ.get(SCALE_VARIABLE) or ""
    scale = _scale(flags, asked or ("" if flags.model else "laptop"))
    cells = sweep.cells(
        scale,
        _chosen(sweep, flags),
        sized=lambda size: scale if size == scale.name else _scale(flags, size),
        allow_many=flags.yes,
    )
    searching = _searching(sweep, flags, len(cells))
    seed = cells[0].request.seed if cells else 1
    if searching.name == RANDOM:
        cells = tuple(first_of_permutation(cells, searching.trials, seed))
    references = _references(sweep, flags, scale, searching)
    cells += references
    check_recipes(cells)
    check_placement(flags.teacher_placement, {cell.request.loss for cell in cells})
    if flags.teacher is not None and all(isinstance(c.teacher, NoTeacher) for c in cells):
        raise UsageError("--teacher goes with a loss that has one, such as --loss kd")
    storage = storage_of(flags)
    options = Options(
        storage=storage,
        tracking_uri=flags.tracking_uri
        or os.environ.get("MLFLOW_TRACKING_URI")
        or f"sqlite:///{storage}/mlflow.db",
        search=searching.name,
        trials=searching.trials + len(references),
        objectives=searching.objectives,
        seed=seed,
        device_counts=scale.device_counts,
        concurrent=whole_if_any("--concurrent", flags.concurrent) or "auto",
        teacher_placement=flags.teacher_placement,
        cache_gb=_gigabytes(flags.cache_gb),
        checkpoint_every_s=_seconds(flags.checkpoint_every),
        anew="all" in (getattr(flags, "arm", None) or ()),
        command=command,
        debug=flags.debug,
        probe=flags.probe,
        lr_probe=_probes_rates(flags, scale, cells),
        price_per_hour=_price(flags.price_per_hour),
        task_data=task_data_of(flags),
    )
    return SweepPlan(sweep=sweep, scale=scale, cells=cells, options=options)


def _probes_rates(flags: argparse.Namespace, scale: Scale, cells: Sequence[Cell]) -> bool:
    """Whether each arm tries three peaks: as asked, or by the recipe `heal` of a brought model.

    Raises:
        UsageError: if that was asked for, and the cells name rates too.
    """
    by_cells = any(cell.request.peak_lr != "scale" for cell in cells)
    if flags.lr_probe and by_cells:
        raise UsageError("--lr-probe chooses the rates that lr_factor names: add --lr_factor 1")
    if flags.lr_probe is not None:
        return bool(flags.lr_probe)
    by_flag = any(setting.split("=")[0].strip() in ("lr", "peak_lr") for setting in flags.set)
    heals = bool(scale.brought) and not scale.like and flags.recipe in (None, RECIPES[0])
    return heals and not by_flag and not by_cells


def _chosen(sweep: Sweep, flags: argparse.Namespace) -> dict[str, tuple[Value, ...]]:
    """The values that the flags name, by field or axis."""
    chosen: dict[str, tuple[Value, ...]] = {"order": (flags.order,)}
    for name in dict.fromkeys((*FIELDS, *sweep.axes)):
        values = _values(name, getattr(flags, name), brought=flags.model is not None)
        if values == ("all",):
            values = sweep.every_value(name)
        if values:
            chosen[name] = values
    if flags.teacher is not None:
        chosen["teacher"] = (flags.teacher,)
    if excerpt := excerpt_of(flags.teacher_placement):
        chosen["excerpt"] = (excerpt,)
    return chosen | ({"allow_ends": (True,)} if flags.allow_ends else {})


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


def _scale(flags: argparse.Namespace, name: str) -> Scale:
    """The scale, with the recipe's fields, the corpus and the devices that the flags name."""
    for flag, given in (("--recipe", flags.recipe), ("--seq-len", flags.seq_len)):
        if given and flags.model is None:
            raise UsageError(f"{flag} goes with --model; a scale has its own")
    scale = load_scale(name) if flags.model is None else _brought(flags, name)
    settings = {}
    for setting in flags.set:
        name, equals, value = setting.partition("=")
        if not equals:
            raise UsageError(f"--set {setting!r}: write field=value, such as lr=1e-5")
        settings[name.strip()] = value.strip()
    scale = replace(scale, heal=with_settings(scale.heal, settings))
    if flags.budget is not None:
        budget = parse_tokens(flags.budget)
        if budget <= 0:
            raise UsageError(
                f"the budget of {budget} tokens is under one batch of {scale.heal.batch_tokens}"
            )
        scale = replace(scale, budget=budget)
    scale = with_text(scale, flags)
    if flags.devices_per_trial is not None:
        scale = _with_devices(scale, flags.devices_per_trial)
    evaluation = asked_evaluation(
        scale.evaluation,
        flags.tasks,
        task_data_of(flags),
        flags.num_fewshot,
        Store(storage_of(flags)),
    )
    return replace(scale, evaluation=evaluation)


def task_data_of(flags: argparse.Namespace) -> Path | None:
    """The folder that `--task-data` names."""
    return None if flags.task_data is None else place(flags.task_data)


def _brought(flags: argparse.Namespace, name: str) -> Scale:
    """The scale of `--model`.

    Raises:
        UsageError: if another scale than one for tests was asked for too.
        DataError: if the checkpoint cannot be read.
    """
    if name and name.replace("-", "_") not in TESTS:
        raise UsageError(
            f"--model has a scale of its own: leave --scale {name} out, or ${SCALE_VARIABLE} "
            f"(or, for a test, --scale {TESTS[0]})"
        )
    if name and flags.recipe:
        raise UsageError(f"--recipe goes with --model alone; --scale {name} has its own")
    ages = tuple(str(age) for age in _values("age", flags.age, brought=True))
    bring = Bring(
        name=flags.model,
        revisions=revisions(ages),
        seq_len=whole_if_any("--seq-len", flags.seq_len) or 0,
        recipe=flags.recipe or RECIPES[0],
    )
    if flags.budget is not None:
        bring = replace(bring, budget=parse_tokens(flags.budget))
    return scale_of(bring, load_scale(name) if name else None)


def _values(name: str, given: Sequence[str] | None, *, brought: bool = False) -> tuple[Value, ...]:
    """What was written for one of `FIELDS`; empty where nothing was."""
    values: list[Value] = []
    for text in given or ():
        items = _locations(text) if name == "location" else [i.strip() for i in text.split(",")]
        if not all(items):
            raise UsageError(f"--{name} {text!r} has an empty value: write values with commas")
        values += items if name == "age" and brought else [_value(name, item) for item in items]
    return tuple(values)


def _value(name: str, item: str) -> Value:
    if name in ("age", "gap"):
        return parse_tokens(item)
    if name == "seed":
        return whole("--seed", item)
    if name == "lr_factor":
        return _factor(item)
    if name != "count":
        return item
    if not re.fullmatch(r"[-+]?\d+", item):
        raise UsageError(f"--count {item!r} is not a whole number of layers")
    return int(item)


def _factor(text: str) -> float:
    try:
        factor = float(text)
    except ValueError:
        factor = math.nan
    if not 0 < factor < math.inf:
        raise UsageError(f"--lr_factor {text!r}: times the recipe's peak rate, a number above 0")
    return factor


def _locations(text: str) -> list[str]:
    """Names, and lists of layers: `input,1,2,5-8` is `input` and `1,2,5-8`.

    `random-0-63` stands for 64 random sets.
    """
    found: list[str] = []
    for item in (item.strip() for item in text.split(",")):
        if item == "all":
            found += every_location()
        elif match := re.fullmatch(r"random-(\d{1,5})-(\d{1,5})", item):
            if int(match[1]) > int(match[2]):
                raise UsageError(f"--location {item}: write the lower number first")
            found += [f"random-{i}" for i in range(int(match[1]), int(match[2]) + 1)]
        elif found and is_list(item) and is_list(found[-1]):
            found[-1] += f",{item}"
        else:
            found.append(item)
    return found


def _searching(sweep: Sweep, flags: argparse.Namespace, num_cells: int) -> Searching:
    """The sweep's own search, as far as the flags do not name another."""
    own = sweep.searching
    name = flags.search or own.name
    check_search(name)
    if name == GRID and flags.trials is not None:
        raise UsageError("--trials goes with another --search; a grid takes every cell")
    usual = {GRID: num_cells, FUNNEL: FINALISTS}.get(name, own.trials if name == own.name else 0)
    if not usual and flags.trials is None:
        raise UsageError(f"--search {name} needs --trials, 1 to {num_cells}")
    trials = whole("--trials", flags.trials) if flags.trials is not None else usual
    objectives = own.objectives
    if flags.objective is not None:
        if name != TPE:
            raise UsageError(f"--objective goes with --search {TPE}, not with {name!r}")
        objectives = tuple(each.strip() for each in flags.objective.split(","))
    check_objectives(objectives)
    return replace(own, name=name, trials=min(trials, num_cells), objectives=objectives)


def _references(
    sweep: Sweep, flags: argparse.Namespace, scale: Scale, searching: Searching
) -> tuple[Cell, ...]:
    """The cells of `--reference`; nothing chooses among them."""
    names = [item.strip() for text in flags.reference or () for item in text.split(",")]
    if names and searching.name in (TPE, FUNNEL):
        raise UsageError(
            f"--reference goes with --search {GRID} or {RANDOM}: {searching.name!r} chooses "
            "what it trains, and a reference is not trained"
        )
    cells = [reference_cell(name, sweep.name, scale) for name in names]
    return tuple({str(cell.values[REFERENCE]): cell for cell in cells}.values())


def _price(text: str | None) -> float | Literal["unknown"]:
    if text is None:
        return "unknown"
    if not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text):
        raise UsageError(f"--price-per-hour {text!r}: what one device costs, a number such as 2.50")
    return float(text)


def whole(flag: str, text: str) -> int:
    """The whole number from 1 on that was written for a flag.

    Raises:
        UsageError: if it is none.
    """
    if not re.fullmatch(r"\d{1,9}", text) or int(text) < 1:
        raise UsageError(f"{flag} {text!r}: a whole number from 1 on")
    return int(text)


def whole_if_any(flag: str, text: str | None) -> int | None:
    """The same, or None where nothing was written."""
    return whole(flag, text) if text else None


def _with_devices(scale: Scale, text: str) -> Scale:
    """The scale with what was written for `--devices-per-trial`: `2`, or `1-2` if elastic.

    Raises:
        UsageError: if it is no whole number, or a range from more to fewer.
    """
    flag = "--devices-per-trial"
    fewest, dash, most = text.partition("-")
    if not dash:
        return replace(scale, devices_per_trial=whole(flag, text))
    if whole(flag, fewest) > whole(flag, most):
        raise UsageError(f"{flag} {text}: write the fewer first")
    return replace(scale, devices_per_trial=int(most), fewest_devices=int(fewest))


def _gigabytes(text: str) -> float:
    """What was written for `--cache-gb`.

    Raises:
        UsageError: if it is no number above 0.
    """
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise UsageError(f"--cache-gb {text!r}: a number above 0, of gigabytes in the storage")
    return value


def _seconds(text: str) -> float:
    """What was written for `--checkpoint-every`.

    Raises:
        UsageError: if it is no number from 0 on.
    """
    if not re.fullmatch(r"\d{1,6}(\.\d+)?", text):
        raise UsageError(f"--checkpoint-every {text!r}: seconds, from 0 (after every step) on")
    return float(text)


def storage_of(flags: argparse.Namespace) -> Path:
    """The storage that the flags or the environment name; of one in an object store, the copy.

    Raises:
        UsageError: if it is a URL of another kind.
        SetupError: if no folder can be there.
    """
    given = flags.storage or os.environ.get(STORAGE_VARIABLE) or "~/.raydistill"
    if is_url(given):
        return copy_of(given)
    folder = place(given)
    try:
        is_folder = stat.S_ISDIR(folder.stat().st_mode)
    except FileNotFoundError:
        return folder
    except OSError as error:
        raise SetupError(f"the storage {folder} cannot be used: {error.strerror}") from error
    if not is_folder:
        raise SetupError(f"the storage {folder} is a file: name a folder")
    return folder
