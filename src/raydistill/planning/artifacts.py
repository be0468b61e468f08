"""What earlier stages made of a sweep's corpus, bases and layer choices, as far as it is known."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raydistill.core.errors import DataError
from raydistill.core.units import format_age
from raydistill.data.corpus.preparation import find_corpus
from raydistill.data.corpus.request import corpus_request
from raydistill.models.huggingface.checkpoint import ReadBase, read_checkpoint, read_path
from raydistill.planning.cell import BaseKey, Cell, bases_of
from raydistill.pruning.layer_choice import LayerChoice, LayerRequest, layer_choice_path
from raydistill.specs.locations import is_data_driven
from raydistill.specs.scale import Scale, load_scale
from raydistill.specs.trial import (
    Age,
    DropPlan,
    ExternalBase,
    RandomBase,
    TrainSpec,
    TrialRequest,
    TrialSpec,
)
from raydistill.storage.bundled import ShippedBases, shipped_bases
from raydistill.storage.store import Store

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
class Artifacts:
    """What earlier stages made. What is missing is not known yet."""

    corpus: CorpusId  # one for all scales of a sweep
    bases: Mapping[BaseKey, ExternalBase]
    layer_choices: Mapping[tuple[BaseKey, LayerRequest], LayerChoice]


def find_artifacts(scale: Scale, cells: Sequence[Cell], store: Store) -> Artifacts:
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
    return Artifacts(corpus=corpus, bases=bases, layer_choices=choices)


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


def ages_by_scale(cells: Sequence[Cell]) -> list[tuple[Scale, tuple[Age, ...]]]:
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
        found = find_corpus(corpus_request(scale), store)
    except DataError:
        if not _own_text(scale):
            raise  # somebody named it
        found = None  # a scale's own text that is not here: a plan can be shown all the same
    if found is not None:
        return CorpusId(corpus_sha256=found.corpus_sha256, tokenizer_sha256=found.tokenizer_sha256)
    if _own_text(scale):
        for shipped in shipped_bases(scale):
            return CorpusId(
                corpus_sha256=shipped.corpus_sha256, tokenizer_sha256=shipped.tokenizer_sha256
            )
    return UNTOKENISED


def _own_text(scale: Scale) -> bool:
    """Whether nobody named another text, another tokenizer, or another text to measure on."""
    if scale.brought or scale.tokenizer or scale.heldout:
        return False
    return scale.corpus == load_scale(scale.name).corpus


def find_bases(
    scale: Scale,
    corpus: CorpusId,
    store: Store,
    ages: Sequence[Age],
    shipped: Sequence[ShippedBases],
) -> dict[Age, ExternalBase]:
    """The bases that exist, by age: read or pretrained in this store, else shipped for this corpus.

    Raises:
        DataError: if there are shipped ones, for another corpus, and the store has none.
    """
    if scale.brought:
        return _read_bases(scale, store, ages)
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
    return _named(scale, {age: sha256 for age, sha256 in sha256s.items() if sha256})


def _read_bases(scale: Scale, store: Store, ages: Sequence[Age]) -> dict[Age, ExternalBase]:
    """Those revisions of a brought model whose weights the store has read."""
    there: dict[Age, str] = {}
    for age in ages:
        checkpoint = read_checkpoint(scale.brought, str(age), scale.model.context)
        kept = store.load(ReadBase, *read_path(checkpoint))
        if kept is not None and store.has("bases", kept.weights_sha256):
            there[age] = kept.weights_sha256
    return _named(scale, there)


def _named(scale: Scale, sha256s: Mapping[Age, str]) -> dict[Age, ExternalBase]:
    """The bases by age.

    Raises:
        DataError: if two ages are the same weights.
    """
    for age, sha256 in sha256s.items():
        same = [format_age(each) for each, other in sha256s.items() if other == sha256]
        if len(same) > 1:
            raise DataError(
                f"ages {' and '.join(same)} are the same weights ({sha256[:16]}…): as an axis they "
                f"would say that age does not matter; name one, such as --age {format_age(age)}"
            )
    return {
        age: ExternalBase(name=scale.name, revision=format_age(age), weights_sha256=sha256)
        for age, sha256 in sha256s.items()
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
