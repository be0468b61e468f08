"""The flags that name models of one's own: `--model`, or `--models` for a sweep over sizes."""

import argparse
from collections.abc import Mapping
from dataclasses import replace

from raydistill.cli.arguments.storage import SCALE_VARIABLE
from raydistill.cli.arguments.values import axis_values
from raydistill.core.errors import UsageError
from raydistill.core.paths import resolve_path
from raydistill.planning.axes.named_checkpoint import check_ids
from raydistill.planning.axes.several_models import ListedModel, models_named
from raydistill.planning.cell import SIZE
from raydistill.planning.custom_model import RECIPES, TESTS, CustomModel, revisions, scale_of
from raydistill.planning.sweep import Sweep
from raydistill.specs.scale import Scale, load_scale


def several_models(text: str) -> Mapping[str, ListedModel]:
    """The value of `--models`.

    Raises:
        UsageError: if it names none, or one is not as it must be.
    """
    return models_named(text.split(","))


def names_models(flags: argparse.Namespace) -> bool:
    """Whether the flags name models of one's own."""
    return flags.model is not None or bool(flags.models)


def check_model_flags(flags: argparse.Namespace, sweep: Sweep) -> None:
    """Refuse flags that go with a model of one's own, and several models that no axis names.

    Raises:
        UsageError: for any.
    """
    for flag in ("--recipe", "--seq-len", "--max-length"):
        if getattr(flags, flag[2:].replace("-", "_")) and not names_models(flags):
            raise UsageError(f"{flag} goes with --model; a scale has its own")
    if flags.models and flags.model is not None:
        raise UsageError("--model and --models: leave one of the two out")
    if flags.models and SIZE not in sweep.axes:
        raise UsageError(f"--models goes with a sweep over sizes; {sweep.name!r} takes one --model")


def scale_of_model(
    flags: argparse.Namespace, name: str, budget: int | None, size: str = ""
) -> Scale:
    """The scale of `--model`, or of one of `--models`.

    Args:
        flags: of the sweep.
        name: that of a scale for tests, if any.
        budget: in tokens; None: the usual one.
        size: which of `--models`; empty: the first.

    Raises:
        UsageError: if flags do not go together, or models have other tokenizers than the first.
        DataError: if a checkpoint cannot be read.
    """
    if name and name.replace("-", "_") not in TESTS:
        raise UsageError(
            f"--model has a scale of its own: leave --scale {name} out, or ${SCALE_VARIABLE} "
            f"(or, for a test, --scale {TESTS[0]})"
        )
    if name and flags.recipe:
        raise UsageError(f"--recipe goes with --model alone; --scale {name} has its own")
    ages = tuple(str(age) for age in axis_values("age", flags.age, revisions=True))
    custom = CustomModel(
        name=flags.model or "",
        revisions=revisions(ages),
        seq_len=flags.seq_len or 0,
        max_length=flags.max_length or 0,
        recipe=flags.recipe or RECIPES[0],
    )
    if budget is not None:
        custom = replace(custom, budget=budget)
    like = load_scale(name) if name else None
    return _one_of(flags.models, size, custom, like) if flags.models else scale_of(custom, like)


def _one_of(
    models: Mapping[str, ListedModel], size: str, custom: CustomModel, like: Scale | None
) -> Scale:
    """The scale of one of several models, all with the text and the windows of the first."""

    def named(model: ListedModel, seq_len: int) -> Scale:
        own = replace(custom, name=model.checkpoint, revisions=model.revisions, seq_len=seq_len)
        texts = tuple(other.text for other in models.values())
        return replace(scale_of(own, like), name=model.name, models=texts)

    if size and size not in models:
        raise UsageError(f"no model {size!r} among --models: {', '.join(models)}")
    first = named(next(iter(models.values())), custom.seq_len)
    if size in ("", first.name):
        return first
    scale = named(models[size], first.model.context)
    tokenizer = resolve_path(scale.tokenizer)
    check_ids(f"--models: {size}", tokenizer, scale.model.vocab_size, first)
    return replace(scale, tokenizer=first.tokenizer)
