"""Scales: a model with its text and recipes, and what the paper's token counts mean for it.

A scale has two clocks: one for ages, which count pretraining, one for all else, which counts a
trial's own training. A clock is the paper's tokens for one token here (METHOD, section 4).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, cast

from raydistill.core.errors import UsageError, unknown
from raydistill.core.field_types import check_fields
from raydistill.core.parts import SCALE, load_part, own_folder, part_names
from raydistill.core.units import B, format_age, format_tokens
from raydistill.specs.corpus import PLAIN
from raydistill.specs.evaluation import EvalSpec
from raydistill.specs.flops import equal_flops_share, gap_cost_tokens
from raydistill.specs.model import Model
from raydistill.specs.recipe import Setting, check_setting, field_named
from raydistill.specs.shape.run_settings import is_of_run, with_run
from raydistill.specs.shape.settings import with_settings
from raydistill.specs.trial import (
    FROM_BASE,
    SCRATCH_WITH_AGE,
    TEACHER_FREE,
    Age,
    Recipe,
    TrialRequest,
)

PAPER_BUDGET = 20 * B  # tokens of every trial after the removal (section 3.2)
PAPER_TASKS = (  # the thirteen of Table 2, by lm-eval's names
    *("piqa", "hellaswag", "winogrande", "boolq", "openbookqa", "sciq", "arc_easy"),
    *("arc_challenge", "rte", "cb", "copa", "mrpc", "sst2"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """A model, its text, and the recipes of its bases and trials."""

    name: str
    model: Model
    count: int  # layers that leave by default: a third, as in the paper's ablations
    corpus: str
    ages: tuple[Age, ...]  # of one pretraining run, in the paper's tokens; or revisions
    age_clock: int  # the paper's tokens for one of pretraining
    train_clock: int  # the paper's tokens for one of a trial's training
    pretrain: Recipe
    heal: Recipe
    evaluation: EvalSpec
    budget: int = PAPER_BUDGET  # of every trial, in the paper's tokens
    ships_base: bool = False  # in `bases/<name>/`
    min_steps_after_cut: int = 100
    devices_per_trial: int = 1
    fewest_devices: int | Literal["all"] = "all"  # to continue on when nodes leave
    brought: str = ""  # folder or hub id of a custom model (`planning/custom_model.py`)
    like: str = ""  # of a custom model: the scale whose recipe and text it takes
    models: tuple[str, ...] = ()  # of a custom model: all of its sweep, as `--models` has them
    tokenizer: str = ""  # a tokenizer.json or its folder; empty: the corpus' own
    text_field: str = "text"  # the key or column of the text, in JSON lines and Parquet
    heldout: str = ""  # held-out text; empty: one document in 16 of the corpus
    words: str = ""  # a file of the only words that text may have; empty: any
    text_form: str = PLAIN  # of its rows: documents, or conversations (CHAT)
    heldout_general: str = ""  # a second held-out text, identified by `evaluation.general`
    cheap: bool = False  # may run before its duration is known
    objective: str = TEACHER_FREE  # the loss that its bases are pretrained by
    rate_power: float = 0.5  # of a width w in the name: peak rates times (own width / w)^power

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def device_counts(self) -> range:
        """The numbers of devices that one trial may train on; each divides the micro-batches."""
        most = self.devices_per_trial
        return range(most if self.fewest_devices == "all" else self.fewest_devices, most + 1)

    def trial(
        self,
        *,
        age: Age,
        location: str,
        count: int,
        gap: int = 0,
        loss: str = "",
        share: float = 1.0,
        start: str = FROM_BASE,
        **recipe: Setting,
    ) -> TrialRequest:
        """A trial in the paper's numbers; its layers leave in `models.student.Student.remove`.

        `loss` is by default that of the scale's bases. `share` is the part of the scale's budget
        that it trains on; 0: no training at all. Any field of the recipe may be given by its name,
        such as `lr` or `weight_decay`.

        Raises:
            UsageError: if a recipe has no such field, or a value is not of its type.
        """
        request = TrialRequest(
            age=age,
            location=location,
            count=count,
            gap=gap,
            loss=loss or self.objective,
            budget=round(share * self.budget),
            start=start,
        )
        return with_recipe(request, recipe) if recipe else request

    def age_tokens(self, age: Age) -> int:
        """The tokens that a base of this age has seen here; 0 of a revision, which is unknown.

        Raises:
            UsageError: if the pretraining run keeps no such age.
        """
        if age in self.ages:
            if isinstance(age, str):
                return 0
            return whole_steps(age, self.age_clock, self.pretrain.batch_tokens)
        ages = ", ".join(map(format_age, self.ages))
        longest = max((tokens for tokens in self.ages if isinstance(tokens, int)), default=0)
        is_beyond = isinstance(age, int) and age > longest > 0
        reason = f", and its run ends at {format_tokens(longest)}" if is_beyond else ""
        raise UsageError(f"no age {format_age(age)}: scale {self.name!r} has {ages}{reason}")

    def train_tokens(self, paper_tokens: int) -> int:
        """A gap or a budget of the paper in tokens here, in whole steps.

        Raises:
            UsageError: if something positive would come to no step at all.
        """
        return whole_steps(paper_tokens, self.train_clock, self.heal.batch_tokens)

    def gap_tokens(self, request: TrialRequest) -> int:
        """The gap of a trial in tokens here, in whole steps of its own batch.

        Raises:
            UsageError: if it would come to no step at all.
        """
        return whole_steps(request.gap, self.train_clock, self._batch_tokens(request))

    def recipe(self, request: TrialRequest) -> Recipe:
        """The recipe of a trial: the healing recipe, or from scratch that of a base.

        A learning rate that is still to be probed changes no cost, and stays the scale's.
        """
        recipe, settings = self._recipe(request), dict(request.settings)
        if not isinstance(request.peak_lr, str):
            settings["peak_lr"] = request.peak_lr
        return replace(recipe, **settings) if settings else recipe  # type: ignore[arg-type]

    def _batch_tokens(self, request: TrialRequest) -> int:
        tokens = dict(request.settings).get("batch_tokens", self.heal.batch_tokens)
        assert isinstance(tokens, int), tokens
        return tokens

    def _recipe(self, request: TrialRequest) -> Recipe:
        budget_tokens = whole_steps(request.budget, self.train_clock, self._batch_tokens(request))
        if request.starts_trained:
            heal = replace(self.heal, budget_tokens=budget_tokens)
            return heal if budget_tokens else replace(heal, warmup_tokens=0, warm_phase_tokens=0)
        if request.start == SCRATCH_WITH_AGE:
            if self.brought:
                raise UsageError(f"{SCRATCH_WITH_AGE}: nobody says what {self.brought} had seen")
            budget_tokens += self.age_tokens(request.age)
        # The base's warm-up fits the length of its run; a short run gets a tenth of its own.
        batch = self.pretrain.batch_tokens
        warmup = min(self.pretrain.warmup_tokens, budget_tokens // (10 * batch) * batch)
        return replace(self.pretrain, budget_tokens=budget_tokens, warmup_tokens=warmup)

    def kd_share(self, count: int) -> float:
        """The share of the budget at which KD from the own base costs as much as teacher-free."""
        return equal_flops_share(self.model, count, self.model)

    def gap_share(self, count: int, gap: int) -> float:
        """The share of the budget that costs, with a gap, as much as all of it without one.

        1 where nothing is trained.

        Raises:
            UsageError: if the gap costs more than the budget.
        """
        if not self.budget:
            return 1.0
        gap_tokens = gap_cost_tokens(self.model, count, self.train_tokens(gap))
        share = 1 - gap_tokens * self.train_clock / self.budget
        if share <= 0:
            raise UsageError(
                f"a gap of {format_tokens(gap)} costs more than the whole budget of "
                f"{format_tokens(self.budget)}: ask for a shorter one, or a larger budget"
            )
        return share


def with_budget(scale: Scale, budget: int) -> Scale:
    """The scale with another budget of every trial, in the paper's tokens."""
    return replace(scale, budget=budget)


def with_heal(scale: Scale, settings: Mapping[str, Setting]) -> Scale:
    """The scale with fields of its healing recipe set.

    Raises:
        UsageError: if a recipe has no such field, or a value is not of its type.
    """
    return replace(scale, heal=replace(scale.heal, **_fields(settings)))  # type: ignore[arg-type]


def with_recipe(request: TrialRequest, settings: Mapping[str, Setting]) -> TrialRequest:
    """The request with fields of its recipe set; those that it has itself stay.

    Raises:
        UsageError: if a recipe has no such field, or a value is not of its type.
    """
    fields = _fields(settings) | dict(request.settings)
    peak_lr = fields.pop("peak_lr", "scale")
    if request.peak_lr == "scale" and not isinstance(peak_lr, str):
        request = replace(request, peak_lr=peak_lr)
    return replace(request, settings=tuple(sorted(fields.items())))


def _fields(settings: Mapping[str, Setting]) -> dict[str, Setting]:
    return {field_named(name): check_setting(name, value) for name, value in settings.items()}


def with_text_of(scale: Scale, other: Scale) -> Scale:
    """`scale` with the text of `other`."""
    names = "corpus", "tokenizer", "text_field", "heldout", "words", "text_form"
    text = {name: getattr(other, name) for name in names}
    return replace(scale, **text) if any(getattr(scale, n) != text[n] for n in names) else scale


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
        here = f"of the paper's tokens are {paper_tokens / clock:.4g} here,"
        are = here if clock > 1 else "tokens are"
        raise UsageError(
            f"{format_tokens(paper_tokens)} {are} no whole step of {batch_tokens}: "
            f"ask for at least {format_tokens(clock * batch_tokens)}"
        )
    return tokens


def scale_names() -> tuple[str, ...]:
    """The names of all scales."""
    return tuple(sorted(name.replace("-", "_") for name in part_names(SCALE)))


def no_scale(name: str) -> str:
    """The message for a name that is no scale's."""
    hint = "" if own_folder() else "; one of your own needs --parts DIR"
    return f"{unknown('scale', name, scale_names())}{hint}"


def is_scale(name: str) -> bool:
    """Whether a name is a scale's; its settings, if it carries any, may still be refused."""
    return name.partition("+")[0].replace("-", "_") in scale_names()


def load_scale(name: str) -> Scale:
    """The scale of that name, which may carry settings: `laptop+width=48+layers=4`.

    A third of other `layers` leave by default; another `width` has other peak rates, of bases and
    trials, to two digits, and the same `embedding` and `feed_forward`; with `mask`, the share of
    masked tokens, the model sees its whole window and has no tasks, which ask what follows a text.
    `text` is the corpus that it reads, one of those that come with the package. `tokens` and `lr`
    say how long and at which peak rate its bases are pretrained (`shape/run_settings.py`). The
    name that it has is canonical: sorted, without the scale's own.

    Raises:
        UsageError: if there is no such scale or setting, or no such model.

    >>> load_scale("laptop+width=32+layers=12").name
    'laptop+width=32'
    """
    file, words = name.partition("+")[0].replace("-", "_"), name.split("+")[1:]
    if not is_scale(name):
        raise UsageError(no_scale(file))
    scale = cast(Scale, load_part(SCALE, file.replace("_", "-"), "scale"))
    if scale.name != file:
        raise UsageError(f"scale {name!r}: its file gives it the name {scale.name!r}")
    try:
        of_shape = tuple(word for word in words if not is_of_run(word))
        of_run = tuple(word for word in words if is_of_run(word))
        shaped = with_settings(scale, of_shape) if of_shape else scale
        return with_run(shaped, of_run) if of_run else shaped
    except UsageError as error:
        raise UsageError(f"scale {name!r}: {error}") from None
