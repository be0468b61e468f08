"""`raydistill add`: a student trained elsewhere, measured as the cells of a sweep are.

It becomes a cell of that sweep beside the one it is like, so that every table has its row; but no
candidate for the best, since its training data and length are unknown.
"""

import argparse
import re
import shutil
import time
import uuid
from dataclasses import replace
from pathlib import Path

from raydistill.core.errors import DataError, UsageError
from raydistill.core.paths import resolve_path
from raydistill.core.serialization import from_json
from raydistill.data.corpus.preparation import build_corpus
from raydistill.data.corpus.request import corpus_request
from raydistill.data.tokenizer import check_tokenizer, load_tokenizer
from raydistill.evaluation.scoring import scores_of
from raydistill.export.lineage import FILE, Lineage
from raydistill.export.source import find_cell
from raydistill.export.student_folder import read_student
from raydistill.models.decoder import Decoder
from raydistill.models.distributed import World
from raydistill.models.huggingface.chat_rendering import chat_renderer
from raydistill.models.huggingface.checkpoint import DEFAULT_REVISION
from raydistill.models.student import Student
from raydistill.models.weights import WEIGHTS, save_weights
from raydistill.planning.cell import ADDED, REFERENCE, Cell
from raydistill.planning.custom_model import as_read_by
from raydistill.planning.history.sweep_record import CellRequest, save_record
from raydistill.reports.console.console import open_console
from raydistill.reports.formats.terminal import print_pairs
from raydistill.reports.sources.from_store import from_store
from raydistill.reports.trials import find_trial, trial_section
from raydistill.specs.corpus import CorpusInfo
from raydistill.specs.evaluation import EvalSpec
from raydistill.specs.locations import NONE
from raydistill.specs.model import Model
from raydistill.specs.results import ELSEWHERE, Cost, MadeBy, Trained
from raydistill.specs.shape.families import check_measured
from raydistill.specs.trial import (
    FROM_BASE,
    OWN,
    TEACHER_FREE,
    DropPlan,
    ExternalBase,
    TrainSpec,
    TrialRequest,
    TrialSpec,
)
from raydistill.storage.manifest import sha256_of
from raydistill.storage.store import Store

_NO_COST = Cost(tokens=0, flops_paper=0, flops_exact=0, train_s=0.0, evaluate_s=0.0, peak_bytes=0)
_ELSEWHERE = MadeBy(device=ELSEWHERE, world_size=1, torch="unknown", host="unknown")


def add_student(store: Store, flags: argparse.Namespace) -> int:
    """Measure the student in a folder on the text and tasks of a cell; add it to the cell's sweep.

    Raises:
        UsageError: if there is no such trial, the name is not allowed, or the cell's scores are of
            masked tokens.
        DataError: if the folder holds no such student, or its tokenizer is another.
    """
    folder = resolve_path(flags.folder)
    name = flags.name or folder.absolute().name
    if not re.fullmatch(r"[\w.-]{1,64}", name):
        raise UsageError(f"--name {name!r}: up to 64 letters, digits, '.', '-' and '_'")
    sweep, like = find_cell(store, flags.like)
    model = read_student(folder, like.cell.scale.model.context)
    check_tokenizer(folder, model.config.vocab_size)
    text = _text(like, folder, model, store, any_tokenizer=flags.reference)
    evaluation = like.cell.scale.evaluation
    check_measured(model.config, evaluation, TEACHER_FREE)
    if flags.reference:
        evaluation = as_read_by(evaluation, folder)
    sha256 = _sha256_of(model, store)
    began_s = time.time()
    scores_of(
        sha256,
        lambda: model.to(World.here().device),
        store=store,
        folder=store.path("corpora", text.corpus_sha256),
        spec=evaluation,
    )
    spec = _spec(like.spec.train, text, name, sha256)
    trained = _trained(spec, sweep.name, *_shape(folder, model, like.base_sha256), began_s)
    store.save(trained, "trials", spec.trial_id, "trained.json")
    cell = (
        _reference(like, name, trained, evaluation) if flags.reference else _added(like, name, spec)
    )
    save_record(replace(sweep, cells=(cell,)), store)
    trials = find_trial(from_store(store, (sweep.name,)), spec.trial_id)
    print_pairs(trial_section(trials), open_console())
    return 0


def _text(
    like: CellRequest, folder: Path, model: Decoder, store: Store, *, any_tokenizer: bool
) -> CorpusInfo:
    """The corpus of a cell, or, with `any_tokenizer`, the same text in another one's tokens."""
    sha256, scale = like.spec.train.corpus_sha256, like.cell.scale
    corpus = store.path("corpora", sha256)
    if load_tokenizer(folder).to_str() != load_tokenizer(corpus).to_str():
        if not any_tokenizer:
            raise DataError(
                f"{folder} has another tokenizer than the sweep: its loss per token says nothing "
                "beside the others; --reference compares its tasks alone"
            )
        size = model.config.vocab_size
        request = replace(corpus_request(scale), tokenizer=folder.absolute(), vocab_size=size)
        corpus = build_corpus(request, store, chat_renderer)
    return from_json(CorpusInfo, (corpus / "corpus.json").read_text("utf-8"))


def _sha256_of(model: Decoder, store: Store) -> str:
    """Of the weights in the storage's own format; scores are stored under it."""
    draft = store.path("trials", f".{uuid.uuid4().hex}")  # which goes if this is killed
    draft.mkdir(parents=True)
    try:
        save_weights(draft, Student(model))
        return sha256_of(draft / WEIGHTS)
    finally:
        shutil.rmtree(draft)


def _shape(folder: Path, model: Decoder, base_sha256: str) -> tuple[Model, tuple[int, ...]]:
    """The base's shape and the layers that stay, if the folder tells; else those of the model."""
    own: Model = model.config
    layers = tuple(range(len(model.blocks)))
    try:
        lineage = from_json(Lineage, (folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # a folder of another tool, or of another version
        return own, layers
    is_apart = lineage.from_scratch or lineage.cut_from is not None
    from_base = lineage.base.weights_sha256 == base_sha256 and not is_apart
    if not from_base or len(lineage.kept) != len(layers):
        return own, layers
    return replace(own, num_layers=lineage.base.num_layers), lineage.kept


def _spec(train: TrainSpec, text: CorpusInfo, name: str, sha256: str) -> TrialSpec:
    """The student as a base that is neither cut nor trained."""
    return TrialSpec(
        base=ExternalBase(name=f"{ADDED}: {name}", revision="", weights_sha256=sha256),
        plan=DropPlan(),
        train=replace(
            train,
            corpus_sha256=text.corpus_sha256,
            tokenizer_sha256=text.tokenizer_sha256,
            recipe=replace(train.recipe, budget_tokens=0, warmup_tokens=0, warm_phase_tokens=0),
            loss=TEACHER_FREE,
            seed=1,
        ),
    )


def _trained(
    spec: TrialSpec, sweep: str, model: Model, kept: tuple[int, ...], began_s: float
) -> Trained:
    assert isinstance(spec.base, ExternalBase), spec
    ended_s = time.time()
    return Trained(
        trial_id=spec.trial_id,
        spec=spec,
        model=model,
        kept=kept,
        weights_sha256=spec.base.weights_sha256,
        trained_in=sweep,
        curve=(),
        heldout_curve=(),
        cost=replace(_NO_COST, evaluate_s=ended_s - began_s),
        made_by=_ELSEWHERE,
        started_s=began_s,
        ended_s=ended_s,
    )


def _added(like: CellRequest, name: str, spec: TrialSpec) -> CellRequest:
    """A cell of the same base, in which nothing is done."""
    cell = replace(like.cell, values={ADDED: name}, request=_nothing(like.cell.request))
    return CellRequest(cell=cell, spec=spec, base_sha256=like.base_sha256)


def _reference(like: CellRequest, name: str, trained: Trained, evaluation: EvalSpec) -> CellRequest:
    """A cell of a base of its own, to be compared with all others."""
    scale = replace(
        like.cell.scale,
        name=name,
        model=trained.model,
        ages=(DEFAULT_REVISION,),
        brought=name,
        evaluation=evaluation,
    )
    request = replace(_nothing(like.cell.request), age=DEFAULT_REVISION)
    cell = Cell(sweep=like.cell.sweep, scale=scale, values={REFERENCE: name}, request=request)
    return CellRequest(cell=cell, spec=trained.spec, base_sha256=trained.weights_sha256)


def _nothing(request: TrialRequest) -> TrialRequest:
    """The request that leaves a model as it is."""
    return replace(
        request,
        location=NONE,
        count=0,
        gap=0,
        budget=0,
        seed=1,
        loss=TEACHER_FREE,
        teacher=OWN,
        excerpt="",
        start=FROM_BASE,
        peak_lr="scale",
    )
