"""The corpus, bases and layer choices of a sweep, as far as earlier stages have made them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from raydistill.core.errors import DataError, UsageError
from raydistill.core.parts import MODEL_FAMILY
from raydistill.core.text.commands import parts_flag
from raydistill.core.text.redaction import printed_command
from raydistill.core.units import format_age
from raydistill.data.corpus.request import scales_by_text
from raydistill.data.known_corpora import UNTOKENISED, CorpusId, corpora_of
from raydistill.data.tokenizer import end_of_text, load_tokenizer, tokenizer_file
from raydistill.distillation.teacher_shape import check_targets
from raydistill.models.huggingface.checkpoint import ReadBase, read_checkpoint, stored_base_path
from raydistill.planning.cell import BaseKey, BaseRequest, Cell, bases_of, compares_teachers
from raydistill.pruning.layer_choice import (
    FailedChoice,
    LayerChoice,
    LayerRequest,
    layer_choice_path,
)
from raydistill.specs.locations import is_data_driven
from raydistill.specs.part_identity import SHIPPED
from raydistill.specs.scale import Scale, load_scale
from raydistill.specs.shape.families import check_measured, is_causal
from raydistill.specs.shape.settings import USUAL_SHARE, masked_objective
from raydistill.specs.trial import (
    Age,
    DropPlan,
    ExternalBase,
    NoTeacher,
    RandomBase,
    TrainSpec,
    TrialRequest,
    TrialSpec,
)
from raydistill.storage.bundled import ShippedBases, shipped_bases
from raydistill.storage.store import Store
from raydistill.storage.urls import storage_flag
from raydistill.training.jobs import PretrainJob

PRETRAIN_SEED = 0  # of a base's weights and data order; trials draw their data with other seeds


@dataclass(frozen=True, kw_only=True, slots=True)
class Artifacts:
    """The results of earlier stages; those that are missing are not made yet."""

    corpora: Mapping[str, CorpusId]  # by the name of a scale; mostly the same of all
    bases: Mapping[BaseKey, ExternalBase]
    layer_choices: Mapping[tuple[BaseKey, LayerRequest], LayerChoice]
    failed_choices: Mapping[tuple[BaseKey, LayerRequest], FailedChoice] = field(
        default_factory=dict  # of this run: the next one tries again
    )

    def corpus_of(self, scale: Scale) -> CorpusId:
        """The corpus that a model of a scale is trained and measured on."""
        return self.corpora.get(scale.name, UNTOKENISED)


def find_artifacts(scale: Scale, cells: Sequence[Cell], store: Store) -> Artifacts:
    """The corpora, bases and layer choices of a sweep that are in the package or the store.

    Raises:
        DataError: if a scale's shipped bases saw another corpus, its text is missing, or two of
            its ages are the same weights.
    """
    corpora = _corpora(scale, cells, store)
    bases: dict[BaseKey, ExternalBase] = {}
    for base_scale, ages in ages_by_scale(cells):
        corpus = corpora[base_scale.name]
        by_age = find_bases(base_scale, corpus, store, ages, shipped_bases(base_scale))
        bases |= {(base_scale.name, age): base for age, base in by_age.items()}
    choices: dict[tuple[BaseKey, LayerRequest], LayerChoice] = {}
    for key, request in layer_requests(cells):
        if base := bases.get(key):
            corpus_sha256 = corpora[key[0]].corpus_sha256
            store_key = layer_choice_path(base.weights_sha256, corpus_sha256, request)
            if choice := store.load(LayerChoice, *store_key):
                choices[key, request] = choice
    return Artifacts(corpora=corpora, bases=bases, layer_choices=choices)


def texts_read(scale: Scale, cells: Sequence[Cell]) -> list[list[Scale]]:
    """The scales of a sweep, for each text that cells read; its own first where it is one."""
    used = {cell.scale.name for cell in cells}
    by_text = scales_by_text([scale, *(cell.scale for cell in cells)])
    return [alike for alike in by_text if not used.isdisjoint(own.name for own in alike)]


def _corpora(scale: Scale, cells: Sequence[Cell], store: Store) -> dict[str, CorpusId]:
    """The corpora of a sweep by the name of a scale; teachers read what their students do."""
    corpora = corpora_of([scale, *(cell.scale for cell in cells)], store)
    for cell in cells:
        if not isinstance(teacher := cell.teacher, NoTeacher):
            corpora.setdefault(teacher.scale.name, corpora[cell.scale.name])
    return corpora


def layer_requests(cells: Sequence[Cell]) -> tuple[tuple[BaseKey, LayerRequest], ...]:
    """The layer choices that data-driven cells need, by base, each once, sorted.

    Raises:
        UsageError: if a base reads text with hidden tokens, which a score does not hide.
    """
    for cell in cells:
        if is_data_driven(cell.request.location) and not is_causal(cell.scale.model.family):
            raise UsageError(
                f"location {cell.request.location!r}: scores read text as it is, and models of "
                f"family {cell.scale.model.family} text with hidden tokens: name layers"
            )
    requests = {
        (cell.base.key, layer_request(cell.request))
        for cell in cells
        if is_data_driven(cell.request.location)
    }
    return tuple(sorted(requests))


def measured_bases(cells: Sequence[Cell]) -> tuple[BaseRequest, ...]:
    """The bases whose scores a sweep shows: those that cells start from.

    Where teachers are compared they too, as students' losses are told by theirs.
    """
    bases = {base.key: base for base in bases_of(cells)}
    for cell in cells:
        if teacher := compared_teacher(cell):
            bases.setdefault(teacher.key, teacher)
    return tuple(bases.values())


def compared_teacher(cell: Cell) -> BaseRequest | None:
    """The teacher of a cell whose sweep compares teachers, measured as the student is."""
    if not compares_teachers(cell.values) or isinstance(teacher := cell.teacher, NoTeacher):
        return None
    return BaseRequest(
        scale=replace(teacher.scale, evaluation=replace(cell.scale.evaluation, probes=())),
        age=teacher.age,
    )


def layer_request(request: TrialRequest) -> LayerRequest:
    """The layer choice that a data-driven location needs."""
    return LayerRequest(score=request.location, count=request.count, allow_ends=request.allow_ends)


def ages_by_scale(cells: Sequence[Cell]) -> list[tuple[Scale, tuple[Age, ...]]]:
    """The ages, by scale, of the bases that cells start from or are taught by."""
    bases = bases_of(cells, teachers=True)
    scales = {base.scale.name: base.scale for base in bases}
    return [
        (scale, tuple(base.age for base in bases if base.scale.name == name))
        for name, scale in scales.items()
    ]


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
    file = store.path("pretraining", pretraining(scale, corpus).trial_id, "ages.json")
    by_tokens: dict[str, str] = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    sha256s = {age: by_tokens.get(str(scale.age_tokens(age)), "") for age in ages}
    for bases in shipped:
        if bases.corpus_sha256 == corpus.corpus_sha256:
            sha256s = {age: sha256s[age] or bases.weights_sha256(age) for age in ages}
        elif not by_tokens:
            raise DataError(
                f"the bases that scale {scale.name!r} ships saw another corpus than "
                f"{scale.corpus!r}; train your own first: {base_command(scale, store)}"
            )
    return _external_bases(scale, {age: sha256 for age, sha256 in sha256s.items() if sha256})


def base_command(scale: Scale, store: Store | None = None) -> str:
    """The command that trains the bases of a scale, in that store or the usual one."""
    default, words = load_scale(scale.name), ["raydistill", "base", "--scale", scale.name]
    for name in ("corpus", "text_field", "text_form", "heldout", "words", "heldout_general"):
        if (text := getattr(scale, name)) != getattr(default, name):
            words += [f"--{name.replace('_', '-')}", text]
    words += storage_flag(store.root) if store else ()
    return printed_command([*words, *parts_flag()])


def _read_bases(scale: Scale, store: Store, ages: Sequence[Age]) -> dict[Age, ExternalBase]:
    """The revisions of a custom model whose weights are in the store.

    Raises:
        DataError: if one has another tokenizer than the first.
    """
    sha256s: dict[Age, str] = {}
    for age in ages:
        checkpoint = read_checkpoint(scale.brought, str(age), scale.model.context)
        if scale.tokenizer and not _reads_alike(checkpoint.folder, Path(scale.tokenizer)):
            raise DataError(
                f"revision {age} of {scale.brought} has another tokenizer than {scale.tokenizer}: "
                "no text is the same for both; sweep each age by itself"
            )
        base = store.load(ReadBase, *stored_base_path(checkpoint))
        if base is not None and store.has("bases", base.weights_sha256):
            sha256s[age] = base.weights_sha256
    return _external_bases(scale, sha256s)


def _reads_alike(folder: Path, tokenizer: Path) -> bool:
    """Whether a checkpoint's tokenizer, if it brings one, is `tokenizer`."""
    file = folder / "tokenizer.json"
    if not file.is_file() or file.samefile(tokenizer_file(tokenizer)):
        return True
    is_same_file = file.read_bytes() == tokenizer_file(tokenizer).read_bytes()
    is_same = is_same_file or load_tokenizer(file).to_str() == load_tokenizer(tokenizer).to_str()
    return is_same and end_of_text(file) == end_of_text(tokenizer)


def _external_bases(scale: Scale, sha256s: Mapping[Age, str]) -> dict[Age, ExternalBase]:
    for age, sha256 in sha256s.items():
        same = [format_age(other) for other in sha256s if sha256s[other] == sha256]
        if len(same) > 1:
            raise DataError(
                f"ages {' and '.join(same)} are the same weights ({sha256[:16]}…): as an axis they "
                f"would say that age does not matter; name one, such as --age {format_age(age)}"
            )
    family = scale.model.family if f"{MODEL_FAMILY.name} {scale.model.family}" in SHIPPED else ""
    return {
        age: ExternalBase(
            name=scale.name, revision=format_age(age), weights_sha256=sha256, family=family
        )
        for age, sha256 in sha256s.items()
    }


def pretraining(scale: Scale, corpus: CorpusId) -> TrialSpec:
    """The one run whose checkpoints are a scale's bases; `pretraining/<trial_id>/` holds it.

    Raises:
        UsageError: if the model sees what it would be taught, or measured by.
    """
    check_measured(scale.model, scale.evaluation, scale.objective)
    usual = masked_objective(USUAL_SHARE)
    check_targets(scale.objective, scale.model, usual, scale.evaluation)
    train = TrainSpec(
        recipe=scale.pretrain,
        loss=scale.objective,
        seed=PRETRAIN_SEED,
        corpus_sha256=corpus.corpus_sha256,
        tokenizer_sha256=corpus.tokenizer_sha256,
    )
    base = RandomBase(model=scale.model, seed=PRETRAIN_SEED)
    return TrialSpec(base=base, plan=DropPlan(), train=train)


def is_pretrained(job: PretrainJob, store: Store) -> bool:
    """Whether a pretraining came to its end, with a base of each of its ages."""
    folder = store.path("pretraining", job.spec.trial_id)
    if not (folder / "record.json").is_file():
        return False
    by_tokens: dict[str, str] = json.loads((folder / "ages.json").read_text("utf-8"))
    return by_tokens.keys() >= set(map(str, job.ages_tokens))
