"""A scale made of a checkpoint that somebody brings: `--model FOLDER_OR_ID`.

Its clocks stand still: one token is one token. Recipes for real models:

    heal    AdamW, warm-up, a constant rate, a decay over the last fifth; no warm phase. What has
            trained on 2B goes on to 4B from where the decay began (`training/resume.py`).
    paper   Lion, cosine to a tenth, a warm phase of a twentieth (section 4.2)
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from raydistill.core.errors import UsageError, unknown
from raydistill.core.paths import resolve_path
from raydistill.core.serialization import digest
from raydistill.core.units import B, format_tokens
from raydistill.models.huggingface.checkpoint import NEWEST, HubCheckpoint, read_checkpoint
from raydistill.specs.evaluation import EvalSpec
from raydistill.specs.scale import Scale
from raydistill.specs.trial import Recipe

RECIPES = ("heal", "paper")

TESTS = ("smoke", "smoke_small")
"""Scales that may train somebody's model, marked as a test: their recipe, text and clocks."""

OWN_TASKS = ("continuation", "last-word", "word-order")
"""Made of the held-out text, so they are always there; `--tasks paper13` asks the paper's."""

WINDOWS = 64
"""Windows in a step."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CustomModel:
    """What the command line says of a model."""

    name: str  # a folder, or an id of the hub
    revisions: tuple[str, ...]  # the ages; none: the checkpoint as it is
    seq_len: int = 0  # of training windows; 0: the model's own, at most 4,096
    recipe: str = "heal"
    budget: int = 2 * B


def scale_of(bring: CustomModel, scale: Scale | None) -> Scale:
    """The scale of a model; `scale` is one of `TESTS`, if any.

    Raises:
        UsageError: if the recipe is unknown, or the budget is too short to train on.
        DataError: if the checkpoint cannot be read.
    """
    folder, ages = resolve_path(bring.name), bring.revisions or (NEWEST,)
    if folder.is_dir():
        bring = replace(bring, name=str(folder.absolute()))
    first = read_checkpoint(bring.name, ages[0], _window(bring, scale))
    if scale is not None:
        return replace(_of(scale, first), ages=ages)
    if bring.recipe not in RECIPES:
        raise UsageError(unknown("recipe", bring.recipe, RECIPES))
    heal = _heal(first, bring.budget)
    if bring.recipe == "paper":
        heal = _paper(heal)
    real = Scale(
        name="",
        model=first.model,
        count=max(1, first.model.num_layers // 3),
        corpus="c4",
        ages=ages,
        age_clock=1,
        train_clock=1,
        pretrain=replace(heal, peak_lr=3e-4),
        heal=heal,
        evaluation=EvalSpec(tasks=OWN_TASKS, heldout_windows=256, curve_windows=64),
        budget=bring.budget,
    )
    return _of(real, first)


def _of(scale: Scale, first: HubCheckpoint) -> Scale:
    """The same, of that model."""
    return replace(
        scale,
        name=_slug(first),
        like=scale.name,
        model=first.model,
        count=max(1, first.model.num_layers // 3),
        brought=first.name,
        tokenizer=str(first.folder),
        ships_base=False,
    )


def _window(bring: CustomModel, scale: Scale | None) -> int:
    return bring.seq_len or (scale.model.context if scale is not None else 0)


def _slug(checkpoint: HubCheckpoint) -> str:
    """A name for folders: the model's own, and what tells it from others of that name."""
    own = re.sub(r"[^a-z0-9]+", "-", Path(checkpoint.name).name.lower()).strip("-")[:40]
    return f"{own or 'model'}-{digest([checkpoint.name, checkpoint.model.context])[:6]}"


def _heal(checkpoint: HubCheckpoint, budget: int) -> Recipe:
    batch = WINDOWS * checkpoint.model.context
    steps = budget // batch
    if not steps:
        raise UsageError(
            f"the budget of {format_tokens(budget)} tokens is under one batch of {batch}"
        )
    return Recipe(
        peak_lr=1e-4,
        budget_tokens=steps * batch,
        batch_tokens=batch,
        micro_batches=16,
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
    """Revisions as they were written, each once.

    Raises:
        UsageError: if one is not a name.
    """
    for age in ages:
        if not re.fullmatch(r"[\w.-]+(/[\w.-]+)*", age) or ".." in age:
            raise UsageError(f"--age {age!r} is no revision: letters, digits, '.', '-' and '_'")
    return tuple(dict.fromkeys(ages))
