"""From what was asked to what is run, as far as it is known: corpus, bases, layer scores.

Each stage of a sweep makes one of them, so a plan can be resolved before the first stage (for
`--dry-run`), and completely after the last.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from raydistill.corpus import find_corpus
from raydistill.errors import DataError
from raydistill.locations import LOCATIONS, check_count, is_data_driven, lowest, pick
from raydistill.plan import plan_drops
from raydistill.scales import Scale, load_scale
from raydistill.shipped import ShippedBases, shipped_bases
from raydistill.spec import (
    Base,
    DropPlan,
    ExternalBase,
    PretrainedBase,
    RandomBase,
    TrainSpec,
    TrialRequest,
    TrialSpec,
)
from raydistill.store import Store
from raydistill.sweep import Cell, by_age
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

    corpus: CorpusId
    bases: Mapping[int, ExternalBase]  # by age in the paper's tokens
    layer_scores: Mapping[tuple[int, str], tuple[float, ...]]  # by age and score


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerScores:
    """A data-driven score of one base: a value for each layer, the lowest leaves first."""

    score: str
    values: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Unscored:
    """A trial whose layers are known after scoring."""

    base: Base
    request: TrialRequest


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedTrial:
    """One distinct trial, and all cells that mean it."""

    cells: tuple[Cell, ...]
    trial: TrialSpec | Unscored

    @property
    def has_final_id(self) -> bool:
        """Whether the trial's id is the one that the store will know it by."""
        return isinstance(self.trial, TrialSpec) and isinstance(self.trial.base, ExternalBase)


def look_up(scale: Scale, cells: Sequence[Cell], store: Store) -> Known:
    """What the package and the store know of a sweep's corpus, bases and layer scores.

    Raises:
        DataError: if the scale's shipped bases saw another corpus, or its text is missing.
    """
    corpus = corpus_id(scale, store)
    bases = find_bases(scale, corpus, store, tuple(by_age(cells)), shipped_bases(scale))
    scores: dict[tuple[int, str], tuple[float, ...]] = {}
    for age, score in {(cell.request.age, cell.request.location) for cell in cells}:
        if age in bases and is_data_driven(score):
            place = layer_scores_path(bases[age].weights_sha256, score, corpus.corpus_sha256)
            if kept := store.load(LayerScores, *place):
                scores[age, score] = kept.values
    return Known(corpus=corpus, bases=bases, layer_scores=scores)


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
    return {
        age: ExternalBase(name=scale.name, revision=format_tokens(age), weights_sha256=sha256)
        for age, sha256 in sha256s.items()
        if sha256
    }


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


def layer_scores_path(weights_sha256: str, score: str, corpus_sha256: str) -> tuple[str, ...]:
    """Where the store keeps a score of a base, read from this corpus's training windows."""
    return ("layer_scores", weights_sha256, f"{score}-{corpus_sha256[:16]}.json")


def distinct(cells: Sequence[Cell], scale: Scale, known: Known) -> tuple[PlannedTrial, ...]:
    """The trials behind the cells, each once, in the order of their first cell.

    Raises:
        UsageError: if a cell asks for what its model or its schedule cannot give.
    """
    trials: dict[str | Unscored, TrialSpec | Unscored] = {}
    sharing: dict[str | Unscored, list[Cell]] = {}
    for cell in cells:
        trial = resolve(cell.request, scale, known)
        key = trial.trial_id if isinstance(trial, TrialSpec) else trial
        trials.setdefault(key, trial)
        sharing.setdefault(key, []).append(cell)
    return tuple(
        PlannedTrial(cells=tuple(sharing[key]), trial=trial) for key, trial in trials.items()
    )


def resolve(request: TrialRequest, scale: Scale, known: Known) -> TrialSpec | Unscored:
    """The trial that a request means.

    Raises:
        UsageError: if the model or the schedule cannot give what is asked.
    """
    base = resolve_base(request.age, scale, known)
    scored = known.layer_scores.get((request.age, request.location))
    if is_data_driven(request.location) and scored is None:
        stand_in_plan(request, scale)  # refuses what cannot be
        return Unscored(base=base, request=request)
    train = TrainSpec(
        recipe=scale.recipe(request.budget),
        loss=request.loss,
        seed=request.seed,
        corpus_sha256=known.corpus.corpus_sha256,
        tokenizer_sha256=known.corpus.tokenizer_sha256,
    )
    layers = _layers(request, scale, scored or ())
    return TrialSpec(base=base, plan=_plan(request, scale, layers), train=train)


def stand_in_plan(request: TrialRequest, scale: Scale) -> DropPlan:
    """A plan that costs what the request will cost, whichever layers leave."""
    stand_in = request.location if not is_data_driven(request.location) else LOCATIONS[0]
    return _plan(request, scale, _layers(replace(request, location=stand_in), scale, ()))


def _layers(request: TrialRequest, scale: Scale, scores: Sequence[float]) -> tuple[int, ...]:
    num_layers, ends = scale.model.num_layers, request.allow_ends
    if scores:
        check_count(request.count, num_layers, location=request.location, allow_ends=ends)
        return lowest(scores, request.count, allow_ends=ends)
    return pick(request.location, num_layers, request.count, allow_ends=ends)


def resolve_base(age: int, scale: Scale, known: Known) -> Base:
    """The base of that age: its weights if they exist, else how they will be made."""
    age_tokens = scale.age_tokens(age)
    if age in known.bases:
        return known.bases[age]
    train = pretraining(scale, known.corpus).train
    return PretrainedBase(model=scale.model, train=train, age_tokens=age_tokens)


def _plan(request: TrialRequest, scale: Scale, layers: Sequence[int]) -> DropPlan:
    return plan_drops(
        layers,
        recipe=scale.recipe(request.budget),
        gap_tokens=scale.train_tokens(request.gap),
        order=request.order,
        min_steps_after=scale.min_steps_after_cut,
    )
