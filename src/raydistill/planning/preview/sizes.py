"""The sizes of a plan's models, and what pretraining each takes."""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from typing import Literal

from raydistill.core.text.lines import wrap
from raydistill.core.units import format_age, format_flops, format_tokens
from raydistill.planning.cell import BaseKey, BaseRequest
from raydistill.planning.preview.costs import Work
from raydistill.planning.preview.estimate import aligned, format_range
from raydistill.planning.resolve import PlannedTrial
from raydistill.specs.flops import active_parameters, block_sizes, parameters
from raydistill.specs.model import FactorisedConfig, ModelConfig
from raydistill.specs.pretraining_flops import non_embedding_parameters, pretraining_flops
from raydistill.specs.scale import Scale
from raydistill.specs.trial import TrialSpec

MOST_NAMED = 6  # shapes; more are told once


def size_text(model: ModelConfig) -> str:
    """Blocks, width and parameters; those that a token uses, where they are fewer."""
    active, whole = active_parameters(model), parameters(model)
    few = f", {active / 1e6:.4g}M active" if active < whole else ""
    blocks = "1 block" if model.num_layers == 1 else f"{model.num_layers} blocks"
    widths = f"width {model.dim}"
    if isinstance(model, FactorisedConfig):
        widths += f" (embedding {model.embedding}, feed-forward {model.feed_forward})"
    return f"{blocks}, {widths}, {whole / 1e6:.4g}M parameters{few}"


def sizes_text(own: Scale, others: Iterable[Scale]) -> str:
    """The sizes of a plan's scales, its own last; of many with a table of theirs its own alone."""
    sizes = {scale.name: scale.model for scale in others} | {own.name: own.model}
    if len(sizes) > MOST_NAMED and isinstance(own.model, FactorisedConfig):
        return f"{own.name}: {size_text(own.model)}; {len(sizes)} shapes, see below"
    return "; ".join(f"{name}: {size_text(size)}" for name, size in sizes.items())


def ages_text(own: Scale, bases: Iterable[BaseRequest], existing: Container[BaseKey]) -> str:
    """The ages of a plan's bases, here too, and which are to be made; alike ones of many once."""
    by_scale: dict[str, list[str]] = {}
    for base in bases:
        by_scale.setdefault(base.scale.name, []).append(_age(base, exists=base.key in existing))
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, ages in by_scale.items():
        groups.setdefault(tuple(ages), []).append(name)
    texts = []
    for alike, names in groups.items():
        if len(names) > MOST_NAMED:
            texts.append(f"of {len(names)} shapes {', '.join(alike)}")
            continue
        for name in names:
            texts += [age if name == own.name else f"{name} {age}" for age in alike]
    return ", ".join(texts)


def _age(base: BaseRequest, *, exists: bool) -> str:
    age = base.age
    if not isinstance(age, str):
        age = f"{format_age(age)} → {format_tokens(base.scale.age_tokens(age))}"
    if exists:
        return age
    return f"{age} (to be read)" if base.scale.brought else f"{age} (to be pretrained)"


def blocks_texts(trials: Iterable[PlannedTrial]) -> list[str]:
    """Of every model of trials whose blocks differ: from which size to which."""
    models = {planned.scale.name: planned.scale.model for planned in trials}
    unknown = {planned.scale.name for planned in trials if not isinstance(planned.trial, TrialSpec)}
    texts = []
    for name, model in models.items():
        sizes = sorted(block.parameters + block.tables for block in block_sizes(model))
        if sizes[0] == sizes[-1]:
            continue
        mean = "; where it is not known yet which leave, of mean ones" if name in unknown else ""
        texts.append(
            f"{name}: of {format_tokens(sizes[0])} to {format_tokens(sizes[-1])} parameters; "
            f"parameters, FLOPs and disk are sums over those that stay{mean}"
        )
    return texts


def pretraining_table(
    bases: Sequence[Work],
    scales: Mapping[str, Scale],
    hours: Callable[[Work], Sequence[float]],
    price: float | Literal["unknown"],
    width: int,
) -> Iterator[str]:
    """What pretraining takes by shape, where a plan's models have widths of their own.

    Args:
        bases: the pretrainings of the plan, done or not.
        scales: by name.
        hours: of one device for a pretraining, from the fast end to the slow; infinite: unknown.
        price: of an hour of one device.
        width: columns that a line may have, but for a name.
    """
    if not any(isinstance(scales[work.scale].model, FactorisedConfig) for work in bases):
        return
    heads = "parameters", "non-emb.", "tokens", "paper's rule", "Honey's", "exact", "device-hours"
    rows = [("pretraining", *heads, *([] if price == "unknown" else ["money"]))]
    for work in bases:
        model, share = scales[work.scale].model, scales[work.scale].evaluation.mask_share
        flops = pretraining_flops(model, work.tokens, share)
        time = () if work.done else hours(work)
        counts = parameters(model), non_embedding_parameters(model)
        row = (
            work.scale,
            *(f"{count:,}" for count in counts),
            format_tokens(work.tokens),
            *(format_flops(n, 3) for n in (flops.paper, flops.honey, flops.exact)),
            format_range(time) or "done",
        )
        rows.append(
            (*row, *([] if price == "unknown" else [format_range([h * price for h in time])]))
        )
    lines = list(aligned(rows))
    if max(map(len, lines)) <= width:
        yield from lines
        return
    names = [row[0] for row in rows]
    for name, line in zip(names, aligned([("  ", *row[1:]) for row in rows]), strict=True):
        yield from (name, *wrap(line, width, "  ")) if len(line) > width else (name, line)
