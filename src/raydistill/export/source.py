"""Finds what to export from a storage: a trial's student, or a base."""

from dataclasses import dataclass
from pathlib import Path

from raydistill.core.errors import DataError, UsageError
from raydistill.core.units import format_age
from raydistill.data.known_corpora import corpus_id
from raydistill.data.tokenizer import shipped_tokenizer
from raydistill.evaluation.stored_scores import measured
from raydistill.export.lineage import Lineage, of_base, of_trial, origin_of
from raydistill.models.huggingface.checkpoint import locate
from raydistill.planning.artifacts import base_command, find_bases
from raydistill.planning.cell import BaseRequest, base_named, name_beside
from raydistill.planning.history.sweep_record import CellRequest, SweepRecord, all_records
from raydistill.reports.results.cells import Measured
from raydistill.reports.sources.from_store import from_store
from raydistill.reports.trials import find_trial, trial_named
from raydistill.specs.corpus import CorpusInfo
from raydistill.storage.bundled import shipped_bases
from raydistill.storage.store import Store
from raydistill.training.bases import base_folder


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportSource:
    """What to export: a model, the folder of its weights and that of its tokenizer."""

    lineage: Lineage
    weights: Path
    tokenizer: Path


def find_source(store: Store, name: str) -> ExportSource:
    """The model that `name` means: a trial's id or its beginning, or a base as `SCALE@AGE`.

    Raises:
        UsageError: if there is no such trial or base.
        DataError: if its weights are missing, or the checkpoint that it came from.
    """
    return _base(store, name) if "@" in name else _trial(store, name)


def find_cell(store: Store, beginning: str) -> tuple[SweepRecord, CellRequest]:
    """The first cell of the storage whose trial is called so, or whose id begins so; its sweep.

    Raises:
        UsageError: if there is none, or there are several such trials.
    """
    cells = [(sweep, cell) for sweep in all_records(store) for cell in sweep.cells]
    trial_id = trial_named(
        beginning, [(cell.spec.trial_id, name_beside(cell.cell.values)) for _, cell in cells]
    )
    return next((sweep, cell) for sweep, cell in cells if cell.spec.trial_id == trial_id)


def _trial(store: Store, beginning: str) -> ExportSource:
    reports = from_store(store, ())
    if not reports:
        raise UsageError(f"no sweep was run in {store.root}: there is no trial to export")
    trial = find_trial(reports, beginning)[0]
    outcome = trial.cell.outcome
    if not isinstance(outcome, Measured):
        raise UsageError(f"trial {trial.trial_id} failed: there is no model to export")
    sweep, request = find_cell(store, trial.trial_id)
    trained = outcome.result.trained
    sha256 = trained.spec.train.corpus_sha256
    corpus = store.load(CorpusInfo, "corpora", sha256, "corpus.json")
    assert corpus is not None, "what was measured was measured on it"
    weights = store.path("trials", trained.trial_id, "weights")
    if not trained.made_by.is_known:
        raise DataError(
            f"{trial.cell.beside or trained.trial_id} was trained elsewhere: this storage has its "
            "scores, not its weights; they are in the folder that was added"
        )
    if not weights.is_dir():
        raise DataError(f"no weights of trial {trained.trial_id} in {weights}")
    return ExportSource(
        lineage=of_trial(trial.report, trial.cell, sweep, request, corpus, store),
        weights=weights,
        tokenizer=_tokenizer(request.cell.base, sha256, store),
    )


def _base(store: Store, name: str) -> ExportSource:
    """The base that `SCALE@AGE` means: of a sweep of this storage, or one that the package has."""
    base, sha256, corpus_sha256 = _swept_base(store, name) or _scale_base(store, name)
    result = measured(sha256, corpus_sha256, base.scale.evaluation, store)
    scores = result[0] if result else None
    return ExportSource(
        lineage=of_base(origin_of(base, sha256), scores, small_scale=base.scale.cheap),
        weights=base_folder(sha256, store),
        tokenizer=_tokenizer(base, corpus_sha256, store),
    )


def _swept_base(store: Store, name: str) -> tuple[BaseRequest, str, str] | None:
    for cell in (cell for sweep in all_records(store) for cell in sweep.cells):
        if cell.cell.base.name == name:
            return cell.cell.base, cell.base_sha256, cell.spec.train.corpus_sha256
    return None


def _scale_base(store: Store, name: str) -> tuple[BaseRequest, str, str]:
    base = base_named(name)
    corpus = corpus_id(base.scale, store)
    bases = find_bases(base.scale, corpus, store, [base.age], shipped_bases(base.scale))
    if base.age not in bases:
        raise DataError(f"no base {base.name} yet: {base_command(base.scale, store)}")
    return base, bases[base.age].weights_sha256, corpus.corpus_sha256


def _tokenizer(base: BaseRequest, corpus_sha256: str, store: Store) -> Path:
    """The folder of a model's tokenizer: of its checkpoint, its corpus or the package."""
    if base.scale.brought:
        return locate(base.scale.brought, format_age(base.age))
    corpus = store.path("corpora", corpus_sha256)
    return corpus if corpus.is_dir() else shipped_tokenizer().parent
