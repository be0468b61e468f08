"""A model card, README.md with the hub's front matter, from a lineage."""

import math
import re
from collections.abc import Iterator
from pathlib import Path

from raydistill.core.units import format_bytes, format_flops, format_tokens
from raydistill.evaluation.bootstrap import Entry, Missing
from raydistill.evaluation.performance_drops import Drops
from raydistill.export.lineage import FILE, Healing, Lineage, Lost, Speeds, is_teacher_free
from raydistill.planning.preview.trial_table import layer_map
from raydistill.reports.formats.markdown import grid
from raydistill.reports.tables.grids import ABSENT, Section, with_interval
from raydistill.reports.tables.lengths import in_windows, truncated_text
from raydistill.specs.evaluation import PERPLEXITY, words_of
from raydistill.specs.results import Scores
from raydistill.specs.trial import CachedTeacher, ExternalBase

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}

_SMALL = (
    "**A test of the machinery.** This was trained at a small scale: do not choose layers for a "
    "large model from it."
)


def model_card(lineage: Lineage, name: str, *, own_family: bool) -> str:
    """The text of the card of a folder called `name`.

    Args:
        lineage: of the model.
        name: the folder's.
        own_family: whether `raydistill.hf` must be imported to load it.
    """
    parts = [
        _front_matter(lineage),
        f"# {name}",
        _summary(lineage),
        *([_SMALL] if lineage.small_scale else []),
        _loading(name, own_family),
        _table("Before and after", ("", "base", "this model"), _sizes(lineage)),
        *_measured(lineage),
        _table("Lineage", ("", ""), _lineage(lineage)),
        *_command(lineage),
        f"All of this for programs: [{FILE}]({FILE}).",
    ]
    return "\n\n".join(parts) + "\n"


def _table(title: str, headers: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    return grid(Section(title=title, headers=headers, rows=tuple(rows))).rstrip()


def _command(lineage: Lineage) -> Iterator[str]:
    if lineage.healing is not None:
        yield f"Trained again by:\n\n```sh\n{lineage.healing.command}\n```"


def base_name(lineage: Lineage) -> str:
    """A hub id or a scale as it is, a folder by its last part."""
    name = lineage.base.name
    return Path(name).name if Path(name).is_absolute() else name


def _front_matter(lineage: Lineage) -> str:
    """What the hub reads. The author fills in the licence."""
    name = base_name(lineage)
    on_hub = [f"base_model: {name}"] if re.fullmatch(r"[\w.-]+/[\w.-]+", name) else []
    tags = ["tags:", *(["- depth-pruning"] if lineage.removed else []), "- raydistill"]
    return "\n".join(["---", "library_name: transformers", *on_hub, *tags, "---"])


def _summary(lineage: Lineage) -> str:
    total, base = lineage.base.num_layers, f"`{base_name(lineage)}` ({lineage.base.revision})"
    if lineage.from_scratch:
        return f"{len(lineage.kept)} layers trained from fresh weights, beside {base} with {total}."
    if lineage.cut_from is not None:
        larger = f"`{lineage.cut_from.name}` ({lineage.cut_from.revision})"
        return f"{len(lineage.kept)} layers cut from {larger} to a smaller shape, beside {base}."
    if not lineage.removed:
        return f"{base} with all its {total} layers{', trained on' if lineage.healing else ''}."
    return (
        f"{base} without {len(lineage.removed)} of its {total} layers, "
        f"{' '.join(map(str, lineage.removed))}: `{layer_map(total, lineage.removed)}`"
    )


def _loading(name: str, own_family: bool) -> str:
    register = "import raydistill.hf  # registers the class: pip install raydistill\n\n"
    return f"""```python
{register if own_family else ""}from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("{name}")
tokenizer = AutoTokenizer.from_pretrained("{name}")
```"""


def _sizes(lineage: Lineage) -> Iterator[tuple[str, ...]]:
    base, size = lineage.base, BYTES.get(lineage.dtype, 4)
    yield "layers", str(base.num_layers), str(len(lineage.kept))
    yield "parameters", f"{base.num_params:,}", f"{lineage.num_params:,}"
    if 0 < base.active_params < base.num_params:
        yield "active parameters", f"{base.active_params:,}", f"{lineage.active_params:,}"
    yield (
        f"weights, {lineage.dtype}",
        format_bytes(base.num_params * size),
        format_bytes(lineage.num_params * size),
    )
    if lineage.speeds is not None:
        yield from _speeds(lineage.speeds)
    if lineage.after is not None:
        yield from _scores(lineage.before, lineage.after, in_windows(base.window_tokens))


def _speeds(speeds: Speeds) -> Iterator[tuple[str, ...]]:
    before, after = (
        [s.prefill_tokens_per_s, s.decode_tokens_per_s, s.kv_bytes_per_token]
        for s in (speeds.before, speeds.after)
    )
    names = ("prefill, tokens/s", "decode, tokens/s", "KV cache, bytes per token")
    for name, one, other in zip(names, before, after, strict=True):
        yield name, f"{one:,.0f}", f"{other:,.0f}"


def _scores(before: Scores | None, after: Scores, windows: str) -> Iterator[tuple[str, ...]]:
    """Held-out perplexity, and every task; without `before` the model is the base."""
    first = before or after
    perplexities = (f"{math.exp(min(scores.nll, 700)):.4g}" for scores in (first, after))
    yield f"held-out {words_of(PERPLEXITY, after.loss)}{windows}", *perplexities
    for task, score in after.tasks.items():
        base = first.tasks.get(task)
        name = task + truncated_text(score.truncation)
        yield name, f"{base.value:.4f}" if base else ABSENT, f"{score.value:.4f}"


def _measured(lineage: Lineage) -> Iterator[str]:
    if lineage.speeds is not None:
        yield _conditions(lineage.speeds)
    if lineage.lost is not None:
        loss = lineage.after.loss if lineage.after else PERPLEXITY
        yield _table(
            "Lost", ("", "against the base", "against the control"), _lost(lineage.lost, loss)
        )
        yield (
            "Positive is worse; \\[95 % interval] by the paired bootstrap over held-out documents; "
            "one data seed, training noise not included; means over "
            f"{', '.join(lineage.lost.tasks) or 'no task'}."
            f"{''.join(f' {limit}' for limit in lineage.lost.limits)}"
        )


def _conditions(speeds: Speeds) -> str:
    threads = f", {speeds.threads} thread(s)" if speeds.device == "cpu" else ""
    return (
        f"Speeds: medians, both models in turns in one run on {speeds.device}{threads}, one row, "
        f"{speeds.new_tokens} tokens after a prompt of {speeds.prompt_tokens}."
    )


def _lost(lost: Lost, loss: str) -> Iterator[tuple[str, ...]]:
    control = lost.against_control
    columns = [_entries(lost.against_base), _entries(control) if control else [ABSENT] * 4]
    second = words_of("perplexity, %", loss)
    names = ("nats per token", second, "mean task score, %", "above chance, kept")
    yield from zip(names, *columns, strict=True)


def _entries(drops: Drops) -> list[str]:
    return [
        _entry(drops.delta_nll, 4),
        _entry(drops.perplexity_drop_pct, 2),
        _entry(drops.downstream_drop_pct, 2),
        _entry(drops.retention, 3),
    ]


def _entry(entry: Entry, digits: int) -> str:
    if isinstance(entry, Missing):
        return f"{ABSENT} ({entry.reason})"
    return with_interval(entry, digits)


def _lineage(lineage: Lineage) -> Iterator[tuple[str, ...]]:
    base = lineage.base
    yield "base", f"{base_name(lineage)}, {base.revision}"
    yield "its weights, sha256", base.weights_sha256
    yield "these weights as trained, sha256", lineage.weights_sha256
    yield "layers that stay", " ".join(map(str, lineage.kept))
    if lineage.healing is not None:
        yield from _healing(lineage.healing)
    yield "written with", ", ".join(f"{name} {v}" for name, v in lineage.versions.items())


def _healing(healing: Healing) -> Iterator[tuple[str, ...]]:
    recipe, cost, corpus = healing.recipe, healing.cost, healing.corpus
    yield "trial", healing.trial_id
    if healing.drops:
        when = ", ".join(f"{layer} after {format_tokens(at)}" for at, layer in healing.drops)
        yield "layers left (tokens)", when
    yield (
        "schedule",
        f"{format_tokens(recipe.budget_tokens)} tokens after a warm phase of "
        f"{format_tokens(recipe.warm_phase_tokens)}; {recipe.optimizer}, {recipe.schedule}, peak "
        f"rate {recipe.peak_lr:g}, batch {format_tokens(recipe.batch_tokens)}, "
        f"{recipe.precision}, data seed {healing.seed}",
    )
    teacher = "teacher-free" if is_teacher_free(healing) else f"a teacher: {_teacher(healing)}"
    yield "loss", f"{healing.loss} ({teacher})"
    yield "corpus", f"{corpus.name}, sha256 {corpus.corpus_sha256}"
    yield "tokenizer, sha256", corpus.tokenizer_sha256
    yield (
        "training",
        f"{cost.tokens:,} tokens, {format_flops(cost.flops_paper)} FLOPs by 6·N·D, "
        f"{format_flops(cost.flops_exact)} by every product, {cost.train_s:.0f} s",
    )
    made_by = healing.made_by
    yield "trained on", f"{made_by.world_size} x {made_by.device}, torch {made_by.torch}"


def _teacher(healing: Healing) -> str:
    teacher, excerpt = healing.teacher, ""
    if isinstance(teacher, CachedTeacher):
        excerpt = f", {teacher.excerpt} of its answers"
        teacher = teacher.base
    name = f"{teacher.name} {teacher.revision}" if isinstance(teacher, ExternalBase) else "a base"
    if (beside := healing.taught_by) is not None and isinstance(teacher, ExternalBase):
        name = (
            f"{beside.model} ({beside.revision}), {beside.num_params:,} parameters, "
            f"{format_flops(beside.flops_per_token)} FLOPs a token, "
            f"weights sha256 {teacher.weights_sha256}"
        )
    return name + excerpt
