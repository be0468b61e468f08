"""From what was asked to what is run, as far as it is known: corpus, bases, layers by score.

Each stage of a sweep makes one of them, so a plan can be resolved before the first stage (for
`--dry-run`), and completely after the last.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from raydistill.choices import LayerChoice, LayerRequest, layer_choice_path
from raydistill.corpus import find_corpus
from raydistill.errors import DataError
from raydistill.locations import LOCATIONS, Layers, is_data_driven, pick
from raydistill.plan import plan_drops
from raydistill.scales import Scale, load_scale
from raydistill.shipped import ShippedBases, shipped_bases
from raydistill.spec import (
    FROM_BASE,
    Base,
    CachedTeacher,
    DropPlan,
    ExternalBase,
    NoTeacher,
    PretrainedBase,
    RandomBase,
    Recipe,
    TrainSpec,
    TrialRequest,
    TrialSpec,
)
from raydistill.store import Store
from raydistill.sweep import BaseKey, BaseRequest, Cell, bases_of
from raydistill.units import format_tokens

PRETRAIN_SEED = 0
"""Of a base's weights and data order; trials draw their data from another one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CorpusId:
    """What identifies a tokenised corpus."""

    corpus_sha256: str
    tokenizer_sha256: str


UNTOKENISED = CorpusId(corpus_sha256="untokenised", tokenizer_sha256="untokenised")
"""Stands for a corpus that nobody has tokenised yet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """What earlier stages made. What is missing is not known yet."""

    corpus: CorpusId  # one for all scales of a sweep
    bases: Mapping[BaseKey, ExternalBase]
    layer_choices: Mapping[tuple[BaseKey, LayerRequest], LayerChoice]


@dataclass(frozen=True, kw_only=True, slots=True)
class Unscored:
    """A trial whose layers are known after scoring."""

    base: Base
    request: TrialRequest
    recipe: Recipe


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedTrial:
    """One distinct trial, and all cells that mean it."""

    cells: tuple[Cell, ...]
    trial: TrialSpec | Unscored

    @property
    def has_final_id(self) -> bool:
        """Whether the trial's id is the one that the store will know it by."""
        if not isinstance(self.trial, TrialSpec) or self.cells[0].request.peak_lr == "probe":
            return False
        teacher = self.trial.teacher
        needed = (self.trial.base, teacher.base if isinstance(teacher, CachedTeacher) else teacher)
        return not any(isinstance(base, PretrainedBase) for base in needed)

    @property
    def trial_id(self) -> str:
        """The id of a trial whose layers are known."""
        assert isinstance(self.trial, TrialSpec), "every layer score is known after the stages"
        return self.trial.trial_id

    @property
    def scale(self) -> Scale:
        """The scale of the model that is trained."""
        return self.cells[0].scale


def look_up(scale: Scale, cells: Sequence[Cell], store: Store) -> Known:
    """What the package and the store know of a sweep's corpus, bases and layers by score.

    Raises:
        DataError: if a scale's shipped bases saw another corpus, its text is missing, or two of
            its ages are the same weights.
    """
    corpus = corpus_id(scale, store)
    bases: dict[BaseKey, ExternalBase] = {}
    for of_scale, ages in ages_by_scale(cells):
        found = find_bases(of_scale, corpus, store, ages, shipped_bases(of_scale))
        bases |= {(of_scale.name, age): base for age, base in found.items()}
    choices: dict[tuple[BaseKey, LayerRequest], LayerChoice] = {}
    for key, request in layer_requests(cells):
        if base := bases.get(key):
            place = layer_choice_path(base.weights_sha256, corpus.corpus_sha256, request)
            if kept := store.load(LayerChoice, *place):
                choices[key, request] = kept
    return Known(corpus=corpus, bases=bases, layer_choices=choices)


def layer_requests(cells: Sequence[Cell]) -> tuple[tuple[BaseKey, LayerRequest], ...]:
    """The layers that data-driven cells ask of their bases, each once, in order."""
    asked = {
        (cell.base.key, layer_request(cell.request))
        for cell in cells
        if is_data_driven(cell.request.location)
    }
    return tuple(sorted(asked))


def layer_request(request: TrialRequest) -> LayerRequest:
    """What a data-driven location has to find out."""
    return LayerRequest(score=request.location, count=request.count, allow_ends=request.allow_ends)


def ages_by_scale(cells: Sequence[Cell]) -> list[tuple[Scale, tuple[int, ...]]]:
    """The bases that cells start from or are taught by: the ages of each scale."""
    bases = bases_of(cells, teachers=True)
    scales = {base.scale.name: base.scale for base in bases}
    return [
        (scale, tuple(base.age for base in bases if base.scale.name == name))
        for name, scale in scales.items()
    ]


def corpus_id(scale: Scale, store: Store) -> CorpusId:
    """The corpus a scale trains on, or `UNTOKENISED` until it has been made.

    Raises:
        DataError: if it is not the scale's own, and its text is missing.
    """
    try:
        found = find_corpus(scale.corpus, store=store, vocab_size=scale.model.vocab_size)
    except DataError:
        if scale.corpus != load_scale(scale.name).corpus:
            raise  # somebody named it
        found = None  # a scale's own text that is not here: a plan can be shown all the same
    if found is not None:
        return CorpusId(corpus_sha256=found.corpus_sha256, tokenizer_sha256=found.tokenizer_sha256)
    if scale.corpus == load_scale(scale.name).corpus:
        for shipped in shipped_bases(scale):
            return CorpusId(
                corpus_sha256=shipped.corpus_sha256, tokenizer_sha256=shipped.tokenizer_sha256
            )
    return UNTOKENISED


def find_bases(
    scale: Scale,
    corpus: CorpusId,
    store: Store,
    ages: Sequence[int],
    shipped: Sequence[ShippedBases],
) -> dict[int, ExternalBase]:
    """The bases that exist, by age: pretrained in this store, else shipped for this corpus.

    Raises:
        DataError: if there are shipped ones, for another corpus, and the store has none.
    """
    made = store.path("pretraining", pretraining(scale, corpus).trial_id, "ages.json")
    by_tokens: dict[str, str] = json.loads(made.read_text("utf-8")) if made.is_file() else {}
    sha256s = {age: by_tokens.get(str(scale.age_tokens(age)), "") for age in ages}
    for bases in shipped:
        if bases.corpus_sha256 == corpus.corpus_sha256:
            sha256s = {age: sha256s[age] or bases.weights_sha256(age) for age in ages}
        elif not by_tokens:
            raise DataError(
                f"the bases that scale {scale.name!r} ships saw another corpus than "
                f"{scale.corpus!r}; train your own first: "
                f"raydistill base --scale {scale.name} --corpus {scale.corpus}"
            )
    there = {age: sha256 for age, sha256 in sha256s.items() if sha256}
    _check_ages_differ(there)
    return {
        age: ExternalBase(name=scale.name, revision=format_tokens(age), weights_sha256=sha256)
        for age, sha256 in there.items()
    }


def _check_ages_differ(sha256s: Mapping[int, str]) -> None:
    for age, sha256 in sha256s.items():
        same = [format_tokens(each) for each, other in sha256s.items() if other == sha256]
        if len(same) > 1:
            raise DataError(
                f"ages {' and '.join(same)} are the same weights ({sha256[:16]}…): as an axis they "
                f"would say that age does not matter; name one, such as --age {format_tokens(age)}"
            )


def pretraining(scale: Scale, corpus: CorpusId) -> TrialSpec:
    """The one run whose checkpoints are a scale's bases; `pretraining/<trial_id>/` holds it."""
    train = TrainSpec(
        recipe=scale.pretrain,
        loss="lm",
        seed=PRETRAIN_SEED,
        corpus_sha256=corpus.corpus_sha256,
        tokenizer_sha256=corpus.tokenizer_sha256,
    )
    base = RandomBase(model=scale.model, seed=PRETRAIN_SEED)
    return TrialSpec(base=base, plan=DropPlan(), train=train)


def distinct(cells: Sequence[Cell], known: Known) -> tuple[PlannedTrial, ...]:
    """The trials behind the cells, each once, in the order of their first cell.

    Raises:
        UsageError: if a cell asks for what its model or its schedule cannot give.
    """
    trials: dict[str | Unscored, TrialSpec | Unscored] = {}
    sharing: dict[str | Unscored, list[Cell]] = {}
    for cell in cells:
        trial = resolve(cell, known)
        key = trial.trial_id if isinstance(trial, TrialSpec) else trial
        trials.setdefault(key, trial)
        sharing.setdefault(key, []).append(cell)
    return tuple(
        PlannedTrial(cells=tuple(sharing[key]), trial=trial) for key, trial in trials.items()
    )


def resolve(cell: Cell, known: Known) -> TrialSpec | Unscored:
    """The trial that a cell means.

    Raises:
        UsageError: if the model or the schedule cannot give what is asked.
    """
    request, scale = cell.request, cell.scale
    base, recipe = resolve_base(cell.base, known), scale.recipe(request)
    layers = _layers(cell, known)
    if layers is None:
        stand_in_plan(request, scale)  # refuses what cannot be
        return Unscored(base=base, request=request, recipe=recipe)
    train = TrainSpec(
        recipe=recipe,
        loss=request.loss,
        seed=request.seed,
        corpus_sha256=known.corpus.corpus_sha256,
        tokenizer_sha256=known.corpus.tokenizer_sha256,
    )
    asked = cell.teacher
    teacher = asked if isinstance(asked, NoTeacher) else resolve_teacher(asked, request, known)
    if request.start == FROM_BASE:
        plan = _plan(request, scale, layers)
        return TrialSpec(base=base, plan=plan, train=train, teacher=teacher)
    model = replace(scale.model, num_layers=scale.model.num_layers - len(layers))
    fresh = RandomBase(model=model, seed=request.seed)
    return TrialSpec(base=fresh, plan=DropPlan(), train=train, teacher=teacher)


def stand_in_plan(request: TrialRequest, scale: Scale) -> DropPlan:
    """A plan that costs what the request will cost, whichever layers leave."""
    if request.start != FROM_BASE:
        return DropPlan()
    stand_in = request.location if not is_data_driven(request.location) else LOCATIONS[0]
    return _plan(request, scale, _picked(replace(request, location=stand_in), scale))


def _layers(cell: Cell, known: Known) -> Layers | None:
    """The layers that leave; None until a data-driven location has been read from its base."""
    if not is_data_driven(cell.request.location):
        return _picked(cell.request, cell.scale)
    choice = known.layer_choices.get((cell.base.key, layer_request(cell.request)))
    return choice.layers if choice else None


def _picked(request: TrialRequest, scale: Scale) -> Layers:
    ends = request.allow_ends
    return pick(request.location, scale.model.num_layers, request.count, allow_ends=ends)


def resolve_base(asked: BaseRequest, known: Known) -> Base:
    """A base: its weights if they exist, else how they will be made."""
    scale, age_tokens = asked.scale, asked.scale.age_tokens(asked.age)
    if asked.key in known.bases:
        return known.bases[asked.key]
    train = pretraining(scale, known.corpus).train
    return PretrainedBase(model=scale.model, train=train, age_tokens=age_tokens)


def resolve_teacher(
    asked: BaseRequest, request: TrialRequest, known: Known
) -> Base | CachedTeacher:
    """A teacher: a base, or what the store keeps of its answers."""
    base = resolve_base(asked, known)
    return CachedTeacher(base=base, excerpt=request.excerpt) if request.excerpt else base


def _plan(request: TrialRequest, scale: Scale, layers: Sequence[int]) -> DropPlan:
    return plan_drops(
        layers,
        recipe=scale.recipe(request),
        gap_tokens=scale.train_tokens(request.gap),
        order=request.order,
        min_steps_after=scale.min_steps_after_cut if request.budget else 0,
    )
