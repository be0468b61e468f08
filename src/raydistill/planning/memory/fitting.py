"""Whether trainings fit on a device, the nearest settings that do, and the refusal of what cannot.

A refusal is sure: weights, gradients, optimizer and teacher alone exceed what the device has at
the very most. What is doubtful, because activations, logits and temporaries decide, is told.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from raydistill.core.errors import UsageError
from raydistill.core.units import format_bytes
from raydistill.distillation.teacher_placement import CACHED, OWN_DEVICES
from raydistill.planning.memory.kinds import Kind, memory_of
from raydistill.planning.memory.limits import Limit, named
from raydistill.planning.preview.devices import DEVICES
from raydistill.specs.memory.setup import Setup
from raydistill.training.jobs import FULLY

SLACK = 0.05  # of a peak, which an allocator loses between its blocks
MOST_PROPOSED = 3


class FitError(UsageError):
    """A training of a plan cannot fit on its devices."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """Settings that make a training smaller: what to write, and what they make of it."""

    words: str
    setup: Setup


def fits(setup: Setup, limit: Limit) -> bool:
    """Whether the peak of a training fits, with some slack."""
    return (1 + SLACK) * memory_of(setup).resident <= limit.bytes_each(setup.devices)


def check_fits(kinds: Sequence[Kind], limit: Limit | Literal["unknown"]) -> None:
    """Refuse trainings that cannot fit on a device, where its memory is known.

    Raises:
        FitError: with the arithmetic, and the nearest settings that fit.
    """
    if limit == "unknown":
        return
    if refusal := refusal_of(kinds, limit):
        raise FitError(refusal)


def refusal_of(kinds: Sequence[Kind], limit: Limit) -> str:
    """Why the largest kind that cannot fit cannot, and what would; empty if all may."""
    for kind in sorted(kinds, key=lambda kind: -kind.memory.floor):
        if kind.memory.floor > limit.most_bytes_each(kind.setup.devices):
            return f"{kind.name}: {_arithmetic(kind, limit)}; {nearest(kind.setup, limit)}"
    return ""


def _arithmetic(kind: Kind, limit: Limit) -> str:
    memory, devices = kind.memory, kind.setup.devices
    parts = {
        "weights": memory.weights,
        "gradients": memory.gradients,
        "optimizer": memory.optimizer,
        "teacher": memory.teacher,
    }
    terms = [f"{name} {format_bytes(size)}" for name, size in parts.items() if size]
    total = f" = {format_bytes(memory.floor)}" if len(terms) > 1 else ""
    where = "each device" if devices > 1 else "a device"
    shared = f" for {devices} processes" if limit.on_cpu and devices > 1 else ""
    return (
        f"{' + '.join(terms)}{total} on {where} before activations and logits, and {limit}{shared}"
    )


def nearest(setup: Setup, limit: Limit) -> str:
    """In words, the fewest changes that make a training fit, or the device on which it does."""
    proposals = proposals_of(setup, limit)
    if proposals:
        return "it fits with " + ", or with ".join(proposals)
    larger = sorted(
        (device.memory_gb, name) for name, device in DEVICES.items() if fits(setup, named(name))
    )
    if larger:
        return f"none of its settings make it fit here; it fits on {named(larger[0][1])}"
    return "none of its settings make it fit, nor does any device of --device"


def proposals_of(setup: Setup, limit: Limit) -> list[str]:
    """The flags of the smallest sets of changes that fit, a few of them."""
    if not setup.recipe.total_tokens:
        return []  # of settings of a training none changes how it is scored
    options = [option for option in _OPTIONS if any(True for _ in option(setup))]
    for count in range(1, len(options) + 1):
        proposals = [
            words
            for chosen in itertools.combinations(options, count)
            if (words := _first_that_fits(setup, chosen, limit))
        ]
        if proposals:
            return proposals[:MOST_PROPOSED]
    return []


Option = Callable[[Setup], Iterable[Change]]


def _first_that_fits(setup: Setup, options: Sequence[Option], limit: Limit) -> str:
    """The words of the first values of options that fit together; empty if none do."""
    if not options:
        return ""
    for change in options[0](setup):
        if len(options) == 1:
            if fits(change.setup, limit):
                return change.words
        elif words := _first_that_fits(change.setup, options[1:], limit):
            return f"{change.words} {words}"
    return ""


def _teacher_elsewhere(setup: Setup) -> Iterator[Change]:
    if setup.teacher == "none" or setup.keeps_features:
        return
    if setup.teacher.place in ("beside", "sharded"):
        apart = replace(setup.teacher, place="apart")
        yield Change(
            words=f"--teacher-placement {OWN_DEVICES}", setup=replace(setup, teacher=apart)
        )
    if setup.teacher.place != "cached" and setup.answer == "known":
        cached = replace(setup.teacher, place="cached")
        yield Change(words=f"--teacher-placement {CACHED}", setup=replace(setup, teacher=cached))


def _more_micro_batches(setup: Setup) -> Iterator[Change]:
    windows = setup.recipe.batch_tokens // setup.model.context
    for micro in range(setup.recipe.micro_batches + 1, windows + 1):
        if windows % micro == 0 and micro % setup.devices == 0:
            recipe = replace(setup.recipe, micro_batches=micro)
            yield Change(words=f"--set micro_batches={micro}", setup=replace(setup, recipe=recipe))


def _settings(setting: str, needs: Callable[[Setup], bool], **fields: str) -> Option:
    """The option to set fields of a recipe, of those that do not have them and may."""

    def changes(setup: Setup) -> Iterator[Change]:
        recipe = replace(setup.recipe, **fields)  # type: ignore[arg-type]
        if recipe != setup.recipe and needs(setup):
            yield Change(words=setting, setup=replace(setup, recipe=recipe))

    return changes


def _sharded(setup: Setup) -> Iterator[Change]:
    # Of losses that look inside some do not go with it, and for the others `auto` sees to it.
    if setup.devices > 1 and setup.sharding == "none" and not setup.keeps_features:
        yield Change(words=f"--sharding {FULLY}", setup=replace(setup, sharding="fully"))


def _is_on_gpu(setup: Setup) -> bool:
    return not setup.on_cpu


_OPTIONS: tuple[Option, ...] = (  # those that leave every bit as it is come first
    _settings(
        "--set activation_checkpointing=blocks",
        lambda _: True,
        activation_checkpointing="blocks",
    ),
    _settings("--set optimizer_offload=cpu", _is_on_gpu, optimizer_offload="cpu"),
    _sharded,
    _teacher_elsewhere,
    _more_micro_batches,
    _settings("--set precision=bfloat16", _is_on_gpu, precision="bfloat16"),
    _settings(
        "--set precision=bfloat16 --set param_dtype=bfloat16",
        _is_on_gpu,
        precision="bfloat16",
        param_dtype="bfloat16",
    ),
)
