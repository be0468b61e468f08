"""What goes out of a storage: a trial's student, or a base."""

from dataclasses import dataclass
from pathlib import Path

from raydistill.core.errors import DataError, UsageError, unknown
from raydistill.core.units import format_age
from raydistill.data.tokenizer import shipped_tokenizer
from raydistill.evaluation.stored_scores import measured
from raydistill.export.lineage import Lineage, Origin, of_base, of_trial
from raydistill.models.huggingface.checkpoint import locate
from raydistill.planning.artifacts import corpus_id, find_bases
from raydistill.planning.cell import BaseRequest, base_named
from raydistill.planning.history.sweep_record import CellRequest, SweepRecord, all_records
from raydistill.reports.results.cells import Measured
from raydistill.reports.sources.from_store import from_store
from raydistill.reports.trials import find_trial
from raydistill.specs.corpus import CorpusInfo
from raydistill.specs.flops import parameters
from raydistill.specs.scale import Scale
from raydistill.storage.bundled import shipped_bases
from raydistill.storage.store import Store
from raydistill.training.bases import base_folder


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportSource:
    """What goes out: whose weights lie where, and the folder of its tokenizer."""

    lineage: Lineage
    weights: Path
    tokenizer: Path


def find_source(store: Store, name: str) -> ExportSource:
    """What a trial's id, or how it begins, or a base as `SCALE@AGE` means.

    Raises:
        UsageError: if there is no such trial or base.
        DataError: if its weights are gone, or the checkpoint that it came from.
    """
    return _base(store, name) if "@" in name else _trial(store, name)


def asked_like(store: Store, beginning: str) -> tuple[SweepRecord, CellRequest]:
    """The first cell of the storage whose trial begins so, and the sweep that asked for it.

    Raises:
        UsageError: if there is none, or several trials begin so.
    """
    asked = [(sweep, cell) for sweep in all_records(store) for cell in sweep.cells]
    ids = {cell.spec.trial_id for _, cell in asked}
    found = sorted(each for each in ids if each.startswith(beginning))
    if not found:
        raise UsageError(unknown("trial", beginning, sorted(ids)))
    if len(found) > 1:
        raise UsageError(f"{len(found)} trials begin with {beginning!r}: {', '.join(found)}")
    return next(each for each in asked if each[1].spec.trial_id == found[0])


def _trial(store: Store, beginning: str) -> ExportSource:
    reports = from_store(store, ())
    if not reports:
        raise UsageError(f"no sweep was run in {store.root}: there is no trial to export")
    found = find_trial(reports, beginning)[0]
    outcome = found.cell.outcome
    if not isinstance(outcome, Measured):
        raise UsageError(f"trial {found.trial_id} failed: there is no model to export")
    sweep, asked = asked_like(store, found.trial_id)
    trained = outcome.result.trained
    sha256 = trained.spec.train.corpus_sha256
    corpus = store.load(CorpusInfo, "corpora", sha256, "corpus.json")
    assert corpus is not None, "what was measured was measured on it"
    weights = store.path("trials", trained.trial_id, "weights")
    if not weights.is_dir():
        raise DataError(f"no weights of trial {trained.trial_id} in {weights}")
    return ExportSource(
        lineage=of_trial(found.report, found.cell, sweep, asked, corpus),
        weights=weights,
        tokenizer=_tokenizer(asked.cell.scale, format_age(asked.cell.request.age), sha256, store),
    )


def _base(store: Store, name: str) -> ExportSource:
    """The base that `SCALE@AGE` means: of a sweep of this storage, or one that the package has."""
    base, sha256, corpus_sha256 = _kept_base(store, name) or _known_base(store, name)
    scale, age = base.scale, format_age(base.age)
    found = measured(sha256, corpus_sha256, scale.evaluation, store)
    origin = Origin(
        name=scale.brought or scale.name,
        revision=age,
        weights_sha256=sha256,
        num_layers=scale.model.num_layers,
        num_params=parameters(scale.model),
    )
    return ExportSource(
        lineage=of_base(origin, found[0] if found else None, small_scale=scale.cheap),
        weights=base_folder(sha256, store),
        tokenizer=_tokenizer(scale, age, corpus_sha256, store),
    )


def _kept_base(store: Store, name: str) -> tuple[BaseRequest, str, str] | None:
    for cell in (cell for sweep in all_records(store) for cell in sweep.cells):
        if cell.cell.base.name == name:
            return cell.cell.base, cell.base_sha256, cell.spec.train.corpus_sha256
    return None


def _known_base(store: Store, name: str) -> tuple[BaseRequest, str, str]:
    base = base_named(name)
    corpus = corpus_id(base.scale, store)
    bases = find_bases(base.scale, corpus, store, [base.age], shipped_bases(base.scale))
    if base.age not in bases:
        raise DataError(f"no base {base.name} yet: raydistill base --scale {base.scale.name}")
    return base, bases[base.age].weights_sha256, corpus.corpus_sha256


def _tokenizer(scale: Scale, age: str, corpus_sha256: str, store: Store) -> Path:
    """The folder of what a model reads text with: its checkpoint's, its corpus' or the shipped."""
    if scale.brought:
        return locate(scale.brought, age)
    corpus = store.path("corpora", corpus_sha256)
    return corpus if corpus.is_dir() else shipped_tokenizer().parent
