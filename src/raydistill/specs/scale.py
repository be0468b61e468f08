"""Scales: a file each, with what the paper's numbers mean at that size.

A scale has two clocks. Ages count pretraining, all else counts the trial's own training; each
is the number of the paper's tokens that one token here stands for (METHOD, section 4).
"""

from dataclasses import dataclass, replace
from typing import Literal, cast

from raydistill.core.errors import UsageError, unknown
from raydistill.core.parts import SCALE, load_part, part_names
from raydistill.core.units import B, format_age, format_tokens
from raydistill.specs.evaluation import EvalSpec
from raydistill.specs.flops import equal_flops_share, gap_cost_tokens
from raydistill.specs.model import Model
from raydistill.specs.trial import FROM_BASE, SCRATCH_WITH_AGE, Age, Recipe, TrialRequest

PAPER_BUDGET = 20 * B
"""Tokens that every trial of the paper trains after the removal (section 3.2)."""

PAPER_TASKS = (
    *("piqa", "hellaswag", "winogrande", "boolq", "openbookqa", "sciq", "arc_easy"),
    *("arc_challenge", "rte", "cb", "copa", "mrpc", "sst2"),
)
"""The thirteen of Table 2, by lm-eval's names."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """A model, its text, how its bases are pretrained and how its trials are trained."""

    name: str
    model: Model
    count: int  # layers that leave unless asked otherwise: a third, in the paper's ablations
    corpus: str
    ages: tuple[Age, ...]  # in the paper's tokens, checkpoints of one pretraining run; revisions
    age_clock: int  # the paper's tokens for one of pretraining
    train_clock: int  # the paper's tokens for one of a trial's training
    pretrain: Recipe
    heal: Recipe
    evaluation: EvalSpec
    budget: int = PAPER_BUDGET  # of every trial, in the paper's tokens
    ships_base: bool = False  # in `bases/<name>/`
    min_steps_after_cut: int = 100
    devices_per_trial: int = 1
    fewest_devices: int | Literal["all"] = "all"  # with which it goes on where nodes leave
    brought: str = (
        ""  # the folder or hub id of the model, if somebody brought it (`planning/custom_model.py`)
    )
    like: str = ""  # the scale whose recipe and text it takes then, if any
    tokenizer: str = ""  # a tokenizer.json or its folder; empty: the corpus' own
    text_field: str = "text"  # the key or column of the text, in JSON lines and Parquet
    heldout: str = ""  # text to measure on; empty: one document in 16 of the corpus
    heldout_general: str = ""  # a second text to measure on; `evaluation.general` is its identity
    cheap: bool = False  # may run although nobody knows yet how long it takes

    @property
    def device_counts(self) -> range:
        """How many devices one trial may train on; micro-batches go into each without a rest."""
        most = self.devices_per_trial
        return range(most if self.fewest_devices == "all" else self.fewest_devices, most + 1)

    def trial(
        self,
        *,
        age: Age,
        location: str,
        count: int,
        gap: int = 0,
        loss: str = "lm",
        share: float = 1.0,
        start: str = FROM_BASE,
    ) -> TrialRequest:
        """Ask for a trial in the paper's numbers; its layers leave in `surgery.Student.remove`.

        `share` is that of the scale's budget that it trains on; 0 is no training at all.
        """
        return TrialRequest(
            age=age,
            location=location,
            count=count,
            gap=gap,
            loss=loss,
            budget=round(share * self.budget),
            start=start,
        )

    def age_tokens(self, age: Age) -> int:
        """How many tokens a base of this age has seen here; 0 of a revision: nobody said.

        Raises:
            UsageError: if the pretraining run keeps no such age.
        """
        if age in self.ages:
            if isinstance(age, str):
                return 0
            return whole_steps(age, self.age_clock, self.pretrain.batch_tokens)
        there = ", ".join(map(format_age, self.ages))
        longest = max((known for known in self.ages if isinstance(known, int)), default=0)
        beyond = isinstance(age, int) and age > longest > 0
        reason = f", and its run ends at {format_tokens(longest)}" if beyond else ""
        raise UsageError(f"no age {format_age(age)}: scale {self.name!r} has {there}{reason}")

    def train_tokens(self, paper_tokens: int) -> int:
        """What a gap or a budget of the paper is here, in whole steps.

        Raises:
            UsageError: if something positive would come to no step at all.
        """
        return whole_steps(paper_tokens, self.train_clock, self.heal.batch_tokens)

    def recipe(self, request: TrialRequest) -> Recipe:
        """How a trial is trained: by the healing recipe, or from scratch as a base is."""
        recipe = self._recipe(request)
        if isinstance(request.peak_lr, str):
            return recipe  # a rate that is still to be probed changes no cost
        return replace(recipe, peak_lr=request.peak_lr)

    def _recipe(self, request: TrialRequest) -> Recipe:
        budget_tokens = self.train_tokens(request.budget)
        if request.start == FROM_BASE:
            if budget_tokens:
                return replace(self.heal, budget_tokens=budget_tokens)
            return replace(self.heal, budget_tokens=0, warmup_tokens=0, warm_phase_tokens=0)
        if request.start == SCRATCH_WITH_AGE:
            if self.brought:
                raise UsageError(f"{SCRATCH_WITH_AGE}: nobody says what {self.brought} had seen")
            budget_tokens += self.age_tokens(request.age)
        # The base's warm-up was meant for its own length; a short run gets a tenth of its own.
        batch = self.pretrain.batch_tokens
        warmup = min(self.pretrain.warmup_tokens, budget_tokens // (10 * batch) * batch)
        return replace(self.pretrain, budget_tokens=budget_tokens, warmup_tokens=warmup)

    def kd_share(self, count: int) -> float:
        """The share of the budget on which KD from the own base costs what teacher-free does."""
        return equal_flops_share(self.model, count, self.model)

    def gap_share(self, count: int, gap: int) -> float:
        """The share of the budget that costs, with a gap, what all of it costs without."""
        waiting = gap_cost_tokens(self.model, count, self.train_tokens(gap))
        return 1 - waiting * self.train_clock / self.budget


def with_text_of(scale: Scale, other: Scale) -> Scale:
    """A scale that reads the text of another one, as that does."""
    return replace(
        scale,
        corpus=other.corpus,
        tokenizer=other.tokenizer,
        text_field=other.text_field,
        heldout=other.heldout,
    )


def whole_steps(paper_tokens: int, clock: int, batch_tokens: int) -> int:
    """The paper's tokens on a scale's clock, to the nearest whole step.

    Raises:
        UsageError: if something positive would come to no step at all.

    >>> whole_steps(20 * B, 62_500, 2_048)
    319488
    """
    if batch_tokens < 1:
        raise UsageError(f"batch_tokens is {batch_tokens}: it must be at least 1")
    tokens = round(paper_tokens / (clock * batch_tokens)) * batch_tokens
    if paper_tokens > 0 and tokens == 0:
        raise UsageError(
            f"{format_tokens(paper_tokens)} of the paper's tokens are "
            f"{paper_tokens / clock:.4g} here, no whole step of {batch_tokens}: "
            f"ask for at least {format_tokens(clock * batch_tokens)}"
        )
    return tokens


def scale_names() -> tuple[str, ...]:
    """The scales there are."""
    return tuple(sorted(name.replace("-", "_") for name in part_names(SCALE)))


def load_scale(name: str) -> Scale:
    """The scale of that name.

    Raises:
        UsageError: if there is no such scale.
    """
    wanted = name.replace("-", "_")
    if wanted not in scale_names():
        raise UsageError(unknown("scale", name, scale_names()))
    return cast(Scale, load_part(SCALE, wanted.replace("_", "-"), "scale"))
