"""A recipe: its fields and their allowed values, its learning rate, what its decay does."""

import dataclasses
import math
from collections.abc import Iterable, Mapping

from raydistill.core.errors import UsageError, unknown
from raydistill.core.units import parse_tokens
from raydistill.specs.trial import Recipe

Setting = str | int | float

SHORT_NAMES = {"lr": "peak_lr"}
WSD_DECAY_SHARE = 0.2  # of the steps, at the end of the schedule "wsd"
# Weight decay is told of beyond these: it takes a hundredth of the weights at a step, or leaves of
# a base's weights less than one part in e by itself, so that its time is shorter than the training.
MOST_DECAY, LEAST_KEPT = 0.01, 1 / math.e
FIELDS = tuple(f.name for f in dataclasses.fields(Recipe) if f.name != "budget_tokens")  # settable

_CHOICES = {
    "optimizer": ("lion", "adamw"),
    "schedule": ("cosine", "inverse-sqrt", "wsd"),
    "precision": ("float32", "bfloat16"),
    "param_dtype": ("float32", "bfloat16"),
    "activation_checkpointing": ("none", "blocks"),
    "optimizer_offload": ("none", "cpu"),
}
_RANGES = {  # from, below
    "peak_lr": (math.nextafter(0, 1), math.inf),
    "final_lr_ratio": (0.0, math.nextafter(1, 2)),
    "beta1": (0.0, 1.0),
    "beta2": (0.0, 1.0),
    "weight_decay": (0.0, 1.0),
    "grad_clip": (math.nextafter(0, 1), math.inf),
}


def settable() -> tuple[str, ...]:
    """The names that `--set` takes; the budget has its own flag."""
    return (*SHORT_NAMES, *FIELDS)


def is_setting(name: str) -> bool:
    """Whether a field of a recipe is called so."""
    return name in FIELDS or name in SHORT_NAMES


def field_named(name: str) -> str:
    """The field of a recipe that a name means: `peak_lr` for `lr`.

    Raises:
        UsageError: if it is none, or the budget, which has its own flag.
    """
    if name == "budget_tokens":
        raise UsageError("the budget is set by --budget, in the paper's tokens")
    if not is_setting(name):
        raise UsageError(unknown("recipe field", name, settable()))
    return SHORT_NAMES.get(name, name)


def axis_name(field: str) -> str:
    """The name of a field where it is an axis: `lr` for `peak_lr`."""
    return next((short for short, long in SHORT_NAMES.items() if long == field), field)


def read_setting(name: str, text: str) -> Setting:
    """The value of a recipe's field, as `--set` gives it.

    Raises:
        UsageError: if there is no such field, or it can never have that value.

    >>> read_setting("lr", "3e-4"), read_setting("warmup_tokens", "2K")
    (0.0003, 2000)
    """
    field = field_named(name)
    if field in _CHOICES:
        if text not in _CHOICES[field]:
            raise UsageError(f"{name}={text}: {unknown(field, text, _CHOICES[field])}")
        return text
    if field not in _RANGES:
        try:
            return parse_tokens(text)
        except UsageError as error:
            raise UsageError(f"{name}={text}: {error}") from None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not _fits(field, value):
        raise UsageError(f"{name}={text}: it must be {_range(field)}")
    return value


def check_setting(name: str, value: Setting) -> Setting:
    """The value of a recipe's field as a recipe holds it, if it is of the field's type.

    Raises:
        UsageError: if there is no such field, or the value is of another type.

    >>> check_setting("weight_decay", 0)
    0.0
    """
    field = field_named(name)
    kinds = str if field in _CHOICES else (int, float) if field in _RANGES else int
    if not isinstance(value, kinds) or isinstance(value, bool):
        allowed = " or ".join(_CHOICES.get(field, ())) or (
            _range(field) if field in _RANGES else "a whole number"
        )
        raise UsageError(f"{name} is {value!r}: it must be {allowed}")
    return float(value) if field in _RANGES else value


def with_settings(recipe: Recipe, settings: Mapping[str, str]) -> Recipe:
    """The recipe with fields set to values as `--set` gives them.

    Raises:
        UsageError: if a name is unknown or a value is not of its field's type.

    >>> recipe = Recipe(peak_lr=1.0, budget_tokens=1, batch_tokens=1, micro_batches=1,
    ...                 warmup_tokens=0)
    >>> with_settings(recipe, {"lr": "1e-5"}).peak_lr
    1e-05
    """
    fields = {field_named(name): read_setting(name, text) for name, text in settings.items()}
    return dataclasses.replace(recipe, **fields)  # type: ignore[arg-type]


def decay_start(recipe: Recipe) -> int:
    """The tokens, whole steps, at which the rate begins to fall under "wsd".

    Until then a run and a longer one of the same recipe are the same.
    """
    return int((1 - WSD_DECAY_SHARE) * recipe.total_steps) * recipe.batch_tokens


def lr_at(recipe: Recipe, tokens: int) -> float:
    """The learning rate of the step that ends at `tokens`: linear warm-up, then the schedule.

    To `final_lr_ratio` of the peak, "cosine" falls from the warm-up on, and "wsd"
    (warm-up–stable–decay) linearly over the last fifth of the steps; "inverse-sqrt" has no end.

    >>> recipe = Recipe(peak_lr=1.0, budget_tokens=100, batch_tokens=10, micro_batches=1,
    ...                 warmup_tokens=20)
    >>> [round(lr_at(recipe, t), 3) for t in (10, 20, 60, 100)]
    [0.5, 1.0, 0.55, 0.1]
    """
    if tokens < recipe.warmup_tokens:
        return recipe.peak_lr * tokens / recipe.warmup_tokens
    if recipe.schedule == "inverse-sqrt":
        first = max(recipe.warmup_tokens, recipe.batch_tokens)
        return recipe.peak_lr * math.sqrt(first / max(first, tokens))
    wsd, floor = recipe.schedule == "wsd", recipe.final_lr_ratio
    start = max(decay_start(recipe), recipe.warmup_tokens) if wsd else recipe.warmup_tokens
    progress = min(max(tokens - start, 0) / max(recipe.total_tokens - start, 1), 1.0)
    if wsd:
        return recipe.peak_lr * (1 - (1 - floor) * progress)
    return recipe.peak_lr * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress)))


def decay_at_peak(recipe: Recipe) -> float:
    """The share of every weight matrix that weight decay takes at a step at the peak rate.

    Lion decays as Composer's does, p·(1 − lr/peak · decay), AdamW p·(1 − lr · decay).

    >>> recipe = Recipe(peak_lr=0.001, budget_tokens=1, batch_tokens=1, micro_batches=1,
    ...                 warmup_tokens=0, weight_decay=0.1)
    >>> decay_at_peak(recipe), decay_at_peak(dataclasses.replace(recipe, optimizer="adamw"))
    (0.1, 0.0001)
    """
    scale = recipe.peak_lr if recipe.optimizer == "adamw" else 1.0
    return scale * recipe.weight_decay


def kept_by_decay(recipe: Recipe) -> float:
    """The share of a weight matrix that weight decay alone leaves after a training, about.

    The product over all steps, from the rate at 64 of them.
    """
    taken, samples = decay_at_peak(recipe), 64
    if taken >= 1:
        return 0.0
    tokens = (recipe.total_tokens * (2 * i + 1) // (2 * samples) for i in range(samples))
    logs = (math.log1p(-taken * lr_at(recipe, t) / recipe.peak_lr) for t in tokens)
    return math.exp(recipe.total_steps * sum(logs) / samples)


def decay_warning(recipes: Iterable[Recipe]) -> str:
    """What the strongest weight decay of trainings that start from a base does; empty if little.

    Beyond a hundredth a step one of another optimizer may be meant.
    """
    strong = [r for r in dict.fromkeys(recipes) if r.total_tokens and _is_strong(r)]
    if not strong:
        return ""
    worst = min(strong, key=kept_by_decay)
    steps = f"{worst.total_steps:,} steps"
    steps += f" (and {len(strong) - 1} more)" if len(strong) > 1 else ""
    kept_pct = 100 * kept_by_decay(worst)
    kept = f"{kept_pct:.2g} %" if kept_pct >= 0.1 else "under 0.1 %"
    meant = "; lion decays by weight_decay a step at the peak, adamw by lr · weight_decay"
    return (
        f"weight_decay {worst.weight_decay:g} of {worst.optimizer} takes "
        f"{100 * decay_at_peak(worst):.2g} % of every weight matrix a step, and by itself leaves "
        f"{kept} of the base after {steps}" + (meant if decay_at_peak(worst) > MOST_DECAY else "")
    )


def _is_strong(recipe: Recipe) -> bool:
    taken = decay_at_peak(recipe)
    if taken > MOST_DECAY:
        return True
    at_most = -recipe.total_steps * math.log1p(-taken)  # if it were at the peak throughout
    return at_most > 1 and kept_by_decay(recipe) < LEAST_KEPT


def check_recipe(recipe: Recipe, *, context: int, devices: int = 1) -> None:
    """Refuse a recipe that cannot be trained as written.

    Raises:
        UsageError: naming the field, its value and what is allowed.
    """
    for field, choices in _CHOICES.items():
        if (choice := getattr(recipe, field)) not in choices:
            raise UsageError(unknown(field, choice, choices))
    for field in _RANGES:
        check_range(field, getattr(recipe, field))
    if recipe.param_dtype != "float32" and recipe.precision != recipe.param_dtype:
        raise UsageError("param_dtype bfloat16 computes in bfloat16: add --set precision=bfloat16")
    _check_batch(recipe, context, devices)
    _check_lengths(recipe)


def check_range(name: str, value: float) -> None:
    """Refuse a number that a field of a recipe can never have.

    Raises:
        UsageError: naming the field, its value and what is allowed.
    """
    field = field_named(name)
    if field in _RANGES and not _fits(field, value):
        raise UsageError(f"{field} is {value}: it must be {_range(field)}")


def _check_batch(recipe: Recipe, context: int, devices: int) -> None:
    micro, batch = recipe.micro_batches, recipe.batch_tokens
    if micro < 1 or micro % devices:
        raise UsageError(
            f"micro_batches is {micro}, which {devices} devices cannot share evenly: "
            + _shared_batch(micro, batch, context, devices)
        )
    if batch < 1 or batch % (context * micro):
        raise UsageError(
            f"batch_tokens is {batch}, not a multiple of {micro} micro-batches of windows of "
            f"{context} tokens: the nearest is {_nearest_multiple(batch, context * micro)}"
        )


def _shared_batch(micro: int, batch: int, context: int, devices: int) -> str:
    """What to write so that devices share a batch evenly, in whole windows."""
    nearest = _nearest_multiple(batch, context * devices)
    windows, rest = divmod(batch, context)
    if windows < 1 or rest or windows % devices:
        instead = f"take other devices, or another batch_tokens; the nearest is {nearest}"
        return f"no micro_batches can with batch_tokens {batch}: {instead}"
    whole = windows // devices
    start = max(1, min(round(micro / devices), whole))
    shares = (share for apart in range(start) for share in (start + apart, start - apart))
    share = next(share for share in shares if whole % share == 0)  # 1 at last
    return f"write --set micro_batches={share * devices}"


def _check_lengths(recipe: Recipe) -> None:
    batch, budget = recipe.batch_tokens, recipe.budget_tokens
    if budget < batch:
        raise UsageError(f"the budget of {budget} tokens is under one batch of {batch}")
    for field in ("budget_tokens", "warmup_tokens", "warm_phase_tokens"):
        tokens = getattr(recipe, field)
        if tokens < 0 or tokens % batch:
            nearest = max(batch if tokens else 0, _nearest_multiple(tokens, batch))
            raise UsageError(
                f"{field} is {tokens}, not whole steps of {batch} tokens: the nearest is {nearest}"
            )
    if (warmup := recipe.warmup_tokens) > budget:
        raise UsageError(f"the warm-up of {warmup} tokens is longer than the budget of {budget}")


def _fits(field: str, value: float) -> bool:
    low, high = _RANGES[field]
    return math.isfinite(value) and low <= value < high


def _range(field: str) -> str:
    low, high = _RANGES[field]
    least = "at least 0" if low == 0 else "above 0"
    most = {math.inf: "finite", 1.0: "below 1"}.get(high, "at most 1")
    return f"a number, {least} and {most}"


def _nearest_multiple(value: int, of: int) -> int:
    return max(1, round(value / of)) * of
