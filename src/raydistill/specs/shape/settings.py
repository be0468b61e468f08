"""The settings of a scale's name, and the model that they make of the scale's."""

import functools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from raydistill.core.errors import UsageError, unknown
from raydistill.specs.corpus import EMBEDDED_TEXTS
from raydistill.specs.model import FactorisedConfig, HubConfig, ModelConfig
from raydistill.specs.shape.families import is_causal
from raydistill.specs.shape.run_settings import OF_RUN
from raydistill.specs.trial import Recipe

if TYPE_CHECKING:
    from raydistill.specs.scale import Scale

ScaleSetting = int | float

MASK = "mask"  # the share of a window's tokens that a masked model is asked for
TEXT = "text"  # one of those that come with the package
USUAL_SHARE = 0.15  # of `masked-lm`, which its name leaves out

_FIELDS = {  # by setting: the field of a model
    "embedding": "embedding",
    "feed_forward": "feed_forward",
    "heads": "num_heads",
    "layers": "num_layers",
    "width": "dim",
}
_OF_ITS_OWN = ("embedding", "feed_forward")  # which a `FactorisedConfig` alone has
_MASKED_TWINS = {"post-norm": "encoder"}  # by causal family


@functools.lru_cache(256)  # planning asks thousands of times
def with_settings(scale: "Scale", words: Sequence[str]) -> "Scale":
    """The scale with the settings that words after its name give (`specs/scale.py: load_scale`).

    Raises:
        UsageError: if there is no such setting, or no such model.
    """
    settings = scale_settings(word for word in words if not _is_text(word))
    model, others = reshaped(scale.model, settings)
    factor = (scale.model.dim / model.dim) ** scale.rate_power

    def at_width(recipe: Recipe) -> Recipe:
        peak_lr = float(f"{recipe.peak_lr * factor:.2g}")
        return recipe if factor == 1 else replace(recipe, peak_lr=peak_lr)

    if (share := settings.get(MASK)) and share != scale.evaluation.mask_share:
        model, others[MASK] = masked(model, share), share
        evaluation = replace(scale.evaluation, tasks=(), sources=(), mask_share=share)
        scale = replace(scale, objective=masked_objective(share), evaluation=evaluation)
    names = [f"{key}={value:g}" for key, value in others.items()]
    if (text := _text(words)) and scale != (on_it := _on_text(scale, text)):
        scale, names = on_it, [*names, f"{TEXT}={text}"]
    return replace(
        scale,
        name="+".join([scale.name, *sorted(names)]),
        model=model,
        count=max(1, model.num_layers // 3) if "layers" in others else scale.count,
        pretrain=at_width(scale.pretrain),
        heal=at_width(scale.heal),
    )


def names_text(name: str) -> bool:
    """Whether a scale's name says which text its models read."""
    return any(map(_is_text, name.split("+")))


def _is_text(word: str) -> bool:
    return word.partition("=")[0] == TEXT


def _text(words: Sequence[str]) -> str:
    """The text that one of the words names; empty if none does."""
    texts = [word.partition("=")[2] for word in words if _is_text(word)]
    if len(texts) > 1:
        raise UsageError(f"it gives {TEXT} twice")
    for text in texts:
        if text not in EMBEDDED_TEXTS:
            raise UsageError(unknown(TEXT, text, EMBEDDED_TEXTS))
    return "".join(texts)


def _on_text(scale: "Scale", text: str) -> "Scale":
    """The scale with that text, of all words, and its own held-out part and tokenizer.

    Probes are of the scale's own text: what another one lacks would stand beside it as if equal.
    """
    evaluation = scale.evaluation
    if text != scale.corpus:
        evaluation = replace(evaluation, probes=(), probe_sources=())
    return replace(scale, corpus=text, words="", heldout="", tokenizer="", evaluation=evaluation)


def scale_settings(words: Iterable[str]) -> dict[str, ScaleSetting]:
    """Settings that are numbers, as a scale's name carries them: `width=48`, `mask=0.15`.

    Raises:
        UsageError: if there is no such setting, it comes twice, or has a value that it cannot.
    """
    settings: dict[str, ScaleSetting] = {}
    for word in words:
        key, _, text = word.partition("=")
        if key not in (*_FIELDS, MASK):
            raise UsageError(unknown("setting", key, sorted((*_FIELDS, MASK, TEXT, *OF_RUN))))
        if key in settings:
            raise UsageError(f"it gives {key} twice")
        settings[key] = _share(text) if key == MASK else _count(key, text)
    return settings


def _count(key: str, text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,5}", text):
        raise UsageError(f"{key} is {text!r}, it must be a whole number from 1 on")
    return int(text)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0 < share < 1:
        raise UsageError(f"{MASK} is {text!r}, it must be a share above 0 and below 1")
    return float(f"{share:g}")  # as a name has it


def reshaped(
    model: ModelConfig, settings: Mapping[str, ScaleSetting]
) -> tuple[ModelConfig, dict[str, ScaleSetting]]:
    """A model of another shape, and those of the settings that it would not have without them.

    Heads that a setting does not give are as many as before, or the nearest number that divides
    the width, into even ones where positions are rotary: the smaller of two as near.

    Raises:
        UsageError: if the model is a checkpoint or has no such setting, or heads do not divide
            the width.
    """
    if isinstance(model, HubConfig):
        raise UsageError("its model is a checkpoint, which has the one shape")
    own_widths = isinstance(model, FactorisedConfig)
    for key in _OF_ITS_OWN:
        if key in settings and not own_widths:
            raise UsageError(f"a model of family {model.family} has no {key} of its own")
    own = {key: getattr(model, field) for key, field in _FIELDS.items() if hasattr(model, field)}
    width = settings.get("width", model.dim)
    heads = [n for n in range(1, int(width) + 1) if width % (n if own_widths else 2 * n) == 0]
    if not heads:
        raise UsageError(f"width is {width}, it must be even: heads have an even width")
    if width != model.dim:
        own["heads"] = min(heads, key=lambda n: (abs(n - model.num_heads), n))
    shape = {**own, **{key: settings[key] for key in own if key in settings}}
    if shape["heads"] not in heads:
        raise UsageError(
            f"heads is {shape['heads']}: a width of {width} takes {', '.join(map(str, heads))}"
        )
    others = {key: value for key, value in shape.items() if key in settings and value != own[key]}
    return replace(model, **{_FIELDS[key]: value for key, value in shape.items()}), others


def masked(model: ModelConfig, share: float) -> ModelConfig:
    """The model that sees a whole window, for a share of its tokens masked.

    Raises:
        UsageError: if its family has no such twin, or the share is no token of a window.
    """
    if not 1 <= round(share * model.context) < model.context:
        raise UsageError(f"{MASK} is {share:g}: of a window of {model.context} tokens it is none")
    if not is_causal(model.family):
        return model
    if model.family not in _MASKED_TWINS:
        raise UsageError(
            f"{MASK} needs a model with a twin that sees a whole window: those of family "
            f"{', '.join(_MASKED_TWINS)} have one, those of {model.family} none"
        )
    return replace(model, family=_MASKED_TWINS[model.family])


def masked_objective(share: float) -> str:
    """The loss of a masked model, with its share where it is not the usual one.

    >>> masked_objective(0.15), masked_objective(0.3)
    ('masked-lm', 'masked-lm+share=0.3')
    """
    return "masked-lm" if share == USUAL_SHARE else f"masked-lm+share={share:g}"
