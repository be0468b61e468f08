"""Settings of a scale's name that say how its bases are pretrained, not what they are.

tokens=8M        until this age, in the paper's tokens; bases are kept at the scale's own ages below
                 it, at doublings of the last one, and at the end
lr=0.002         the peak rate
schedule=cosine  how the rate falls; a younger age is then not as good as a run that ends there
"""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from raydistill.core.errors import UsageError
from raydistill.core.units import exact_tokens, parse_tokens
from raydistill.specs.recipe import read_setting

if TYPE_CHECKING:
    from raydistill.specs.scale import Scale

OF_RUN = RATE, SCHEDULE, TOKENS = "lr", "schedule", "tokens"


def is_of_run(word: str) -> bool:
    """Whether a word of a scale's name is one of these settings."""
    return word.partition("=")[0] in OF_RUN


@functools.lru_cache(256)  # planning asks thousands of times
def with_run(scale: "Scale", words: Sequence[str]) -> "Scale":
    """A scale whose bases are pretrained as these words of its name say.

    Another length has another warm-up, of the same share. What the scale has anyway is not part of
    the name that it gets.

    Raises:
        UsageError: if a setting comes twice, or has a value that no recipe may have.
    """
    settings = dict(word.split("=", 1) for word in words if "=" in word)
    if len(settings) < len(words):
        raise UsageError(f"{', '.join(words)}: each setting once, with a value")
    own, *others = scale.name.split("+")
    if RATE in settings:
        rate = float(f"{read_setting(RATE, settings[RATE]):g}")  # as its name has it
        if rate != scale.pretrain.peak_lr:
            scale = replace(scale, pretrain=replace(scale.pretrain, peak_lr=rate))
            others.append(f"{RATE}={rate:g}")
    if SCHEDULE in settings:
        schedule = str(read_setting(SCHEDULE, settings[SCHEDULE]))
        if schedule != scale.pretrain.schedule:
            scale = replace(scale, pretrain=replace(scale.pretrain, schedule=schedule))
            others.append(f"{SCHEDULE}={schedule}")
    if TOKENS in settings:
        tokens = parse_tokens(settings[TOKENS])
        if tokens != scale.ages[-1]:
            scale = _until(tokens, scale)
            others.append(f"{TOKENS}={exact_tokens(tokens)}")
    return replace(scale, name="+".join([own, *sorted(others)]))


def _until(tokens: int, scale: "Scale") -> "Scale":
    if tokens < 1:
        raise UsageError(f"{TOKENS} is {tokens}, it must be at least 1")
    scale = replace(scale, ages=(*_ages_below(tokens, scale), tokens))
    recipe, budget_tokens = scale.pretrain, scale.age_tokens(tokens)
    share = recipe.warmup_tokens / recipe.budget_tokens
    warmup_tokens = round(share * budget_tokens / recipe.batch_tokens) * recipe.batch_tokens
    recipe = replace(recipe, budget_tokens=budget_tokens, warmup_tokens=warmup_tokens)
    return replace(scale, pretrain=recipe)


def _ages_below(tokens: int, scale: "Scale") -> Iterator[int]:
    age = 0
    for own in scale.ages:
        assert isinstance(own, int), own  # a revision is of a checkpoint, which has no settings
        age = own
        if age < tokens:
            yield age
    while (age := 2 * age) < tokens:
        yield age
