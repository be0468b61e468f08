"""The scale of a user's own checkpoint: `--model FOLDER_OR_ID`.

Its clocks are 1: one token stands for one token. Recipes for real models:

    heal    AdamW, warm-up, a constant rate, a decay over the last fifth; no warm phase. A run of
            2B tokens is extended to 4B from where the decay began (`training/resume.py`).
    paper   Lion, cosine to a tenth, a warm phase of a twentieth (section 4.2)
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from raydistill.core.errors import UsageError, unknown
from raydistill.core.paths import resolve_path
from raydistill.core.serialization import digest
from raydistill.core.text.redaction import without_tokens
from raydistill.core.units import B, format_tokens
from raydistill.models.huggingface.checkpoint import (
    DEFAULT_REVISION,
    HubCheckpoint,
    read_checkpoint,
)
from raydistill.models.huggingface.request_tokenizer import reading_of
from raydistill.specs.evaluation import EvalSpec
from raydistill.specs.model import ModelConfig
from raydistill.specs.scale import Scale
from raydistill.specs.trial import Recipe

RECIPES = ("heal", "paper")
TESTS = ("smoke", "smoke_small")  # scales whose recipe and text test a user's model
OWN_TASKS = ("continuation", "last-word", "word-order")  # made of the held-out text: always there
WINDOWS_PER_STEP = 64  # fewer where a short budget would not give `MIN_STEPS`
MIN_STEPS = 100  # that must follow the last cut, as `Scale` has it
LONGEST_REQUEST = 16_384  # tokens of a task's request that are read, unless the user says how many


@dataclass(frozen=True, kw_only=True, slots=True)
class CustomModel:
    """A user's model as the command line describes it."""

    name: str  # a folder, or an id of the hub
    revisions: tuple[str, ...]  # the ages; none: the checkpoint as it is
    seq_len: int = 0  # of training windows; 0: the model's own, at most 4,096
    max_length: int = 0  # of tasks' requests; 0: the model's own, at most `LONGEST_REQUEST`
    recipe: str = "heal"
    budget: int = 2 * B


def scale_of(custom: CustomModel, scale: Scale | None) -> Scale:
    """The scale of a model; by the recipe of `scale`, one of `TESTS`, if that is given.

    Raises:
        UsageError: if the recipe is unknown, the budget is too short to train on, or the model
            does not read `max_length` tokens.
        DataError: if the checkpoint cannot be read.
    """
    folder, ages = resolve_path(custom.name), custom.revisions or (DEFAULT_REVISION,)
    name = str(folder.absolute()) if folder.is_dir() else custom.name
    seq_len = custom.seq_len or (scale.model.context if scale is not None else 0)
    checkpoint = read_checkpoint(name, ages[0], seq_len)
    count = max(1, checkpoint.model.num_layers // 3)
    if scale is None:
        if custom.recipe not in RECIPES:
            raise UsageError(unknown("recipe", custom.recipe, RECIPES))
        heal = _heal(checkpoint, custom.budget)
        if custom.recipe == "paper":
            heal = _paper(heal)
        scale = Scale(
            name="",
            model=checkpoint.model,
            count=count,
            corpus="c4",
            ages=ages,
            age_clock=1,
            train_clock=1,
            pretrain=replace(heal, peak_lr=3e-4),
            heal=heal,
            evaluation=EvalSpec(tasks=OWN_TASKS, heldout_windows=256, curve_windows=64),
            budget=custom.budget,
        )
    return replace(
        scale,
        name=_slug(checkpoint),
        like=scale.name,
        age_clock=1,
        train_clock=1,
        budget=round(scale.budget / scale.train_clock),
        model=checkpoint.model,
        count=count,
        ages=ages,
        brought=checkpoint.name,
        tokenizer=str(checkpoint.folder),
        ships_base=False,
        evaluation=as_read_by(
            up_to(scale.evaluation, custom.max_length, checkpoint.model), checkpoint.folder
        ),
    )


def as_read_by(evaluation: EvalSpec, folder: Path) -> EvalSpec:
    """An evaluation whose requests are made as lm-eval's `HFLM` makes them of a checkpoint.

    Raises:
        DataError: if the settings of its tokenizer are unreadable.
    """
    return replace(evaluation, reading=reading_of(folder))


def up_to(evaluation: EvalSpec, max_length: int, model: ModelConfig) -> EvalSpec:
    """An evaluation of which tasks are read up to `max_length` tokens; 0: as many as usual.

    Raises:
        UsageError: if the model does not read so many.
    """
    if max_length > model.max_length:
        raise UsageError(f"--max-length {max_length}: the model reads up to {model.max_length}")
    tokens = max_length or min(model.max_length, LONGEST_REQUEST)
    return replace(evaluation, max_length=0 if tokens == model.context else tokens)


def _slug(checkpoint: HubCheckpoint) -> str:
    """A name for folders: the model's own, and a digest that tells apart models of one name."""
    name = without_tokens(Path(checkpoint.name).name).lower()
    own = re.sub(r"[^a-z0-9]+", "-", name).strip("-")[:40]
    return f"{own or 'model'}-{digest([checkpoint.name, checkpoint.model.context])[:6]}"


def _heal(checkpoint: HubCheckpoint, budget: int) -> Recipe:
    windows = WINDOWS_PER_STEP
    while windows > 1 and budget and budget // (windows * checkpoint.model.context) < MIN_STEPS:
        windows //= 2
    batch = windows * checkpoint.model.context
    steps = budget // batch
    if budget and not steps:
        raise UsageError(
            f"the budget of {format_tokens(budget)} tokens is under one batch of {batch}"
        )
    return Recipe(
        peak_lr=1e-4,
        budget_tokens=steps * batch,
        batch_tokens=batch,
        micro_batches=min(16, windows),
        warmup_tokens=min(20, steps // 10) * batch,
        optimizer="adamw",
        schedule="wsd",
        final_lr_ratio=0.0,
        weight_decay=0.01,
        precision=checkpoint.precision,
    )


def _paper(heal: Recipe) -> Recipe:
    batch, steps = heal.batch_tokens, heal.total_steps
    return replace(
        heal,
        peak_lr=3e-5,
        optimizer="lion",
        schedule="cosine",
        final_lr_ratio=0.1,
        weight_decay=1e-4,
        warmup_tokens=min(2000, steps // 10) * batch,
        warm_phase_tokens=max(1, steps // 20) * batch,
    )


def revisions(ages: Sequence[str]) -> tuple[str, ...]:
    """The revisions that `--age` names, each once.

    Raises:
        UsageError: if one is not a name.
    """
    for age in ages:
        if not re.fullmatch(r"[\w.-]+(/[\w.-]+)*", age) or ".." in age:
            raise UsageError(f"--age {age!r} is no revision: letters, digits, '.', '-' and '_'")
    return tuple(dict.fromkeys(ages))
