"""A report's cells from a sweep's state."""

from collections.abc import Iterator
from dataclasses import replace

from raydistill.evaluation.bootstrap import DocumentScores
from raydistill.evaluation.document_split import half
from raydistill.evaluation.scoring import GENERAL, PERPLEXITY
from raydistill.planning.cell import ADDED
from raydistill.planning.history.state import (
    CellState,
    SweepState,
    has_begun,
    has_ended,
    layer_map_of,
    layers_of,
)
from raydistill.planning.history.sweep_record import SweepRecord, was_added
from raydistill.reports.results import cells as report
from raydistill.reports.results.records import BaseRecord, CellRecord, ReportRecords, SweepHeader
from raydistill.reports.results.spending import bill
from raydistill.reports.tables.score_predictions import stability
from raydistill.specs.flops import parameters
from raydistill.specs.locations import label
from raydistill.specs.results import Documents, Outcome, TrialFailure, Unfinished
from raydistill.specs.trial import SCRATCH_WITH_AGE


def for_report(state: SweepState) -> report.SweepReport:
    """What the tables and figures are made from: finished and failed cells."""
    asked = state.asked
    waiting = [cell for cell in state.cells if isinstance(cell.outcome, Unfinished)]
    return report.SweepReport(
        sweep=asked.name,
        question=asked.question,
        scale=asked.scale,
        small_scale=asked.small_scale,
        searched=asked.searched,
        bases=tuple(
            report.ReportBase(
                scale=base.asked.scale.name,
                age=base.asked.age,
                age_tokens=base.asked.scale.age_tokens(base.asked.age),
                num_params=parameters(base.asked.scale.model),
                scores=base.scores,
                documents=_by_document(base.documents, asked),
            )
            for base in state.bases
        ),
        cells=tuple(_report_cell(cell, asked) for cell in state.cells if has_ended(cell)),
        unfinished=sum(not asked.searched or has_begun(cell) for cell in waiting),
        spending=bill(
            (
                (each.cell, each.outcome, each.figures)
                for each in state.cells
                if not was_added(each.spec)
            ),
            probing_s=asked.probing_s,
            price_per_hour=asked.price_per_hour,
        ),
        remarks=tuple(dict.fromkeys(cell.remark for cell in state.cells if cell.remark)),
    )


def records_for_report(state: SweepState) -> ReportRecords:
    """The same one by one, each with all that a table needs, as MLflow keeps it."""
    asked, whole = state.asked, for_report(state)
    about = SweepHeader(
        sweep=asked.name,
        question=asked.question,
        scale=asked.scale,
        small_scale=asked.small_scale,
        searched=asked.searched,
    )
    ended = [cell for cell in state.cells if has_ended(cell)]
    spent = {each.trial_id: each for each in whole.spending.trials}
    return ReportRecords(
        bases=tuple(BaseRecord(about=about, base=base) for base in whole.bases),
        cells=tuple(
            CellRecord(
                about=about,
                base_sha256=each.base_sha256,
                cell=cell,
                spent=spent.get(each.spec.trial_id),
                remark=each.remark,
            )
            for each, cell in zip(ended, whole.cells, strict=True)
        ),
        unfinished={(asked.name, asked.scale): whole.unfinished},
        spending={(asked.name, asked.scale): replace(whole.spending, trials=())},
    )


def _report_cell(state: CellState, asked: SweepRecord) -> report.ReportCell:
    request, scale = state.cell.request, state.cell.scale
    num_layers = scale.model.num_layers
    named = label(request.location, num_layers, request.count, allow_ends=request.allow_ends)
    return report.ReportCell(
        scale=scale.name,
        num_params=parameters(scale.model),
        location=request.location,
        age=request.age,
        values=state.cell.values,
        layers=layers_of(state),
        num_layers=num_layers,
        layer_map=layer_map_of(state),
        gap_tokens=scale.train_tokens(request.gap),
        train=state.spec.train,
        start=request.start,
        probed=bool(state.remark),
        outcome=_reported(state.outcome, asked),
        for_every_seed=request.budget == 0 or request.start == SCRATCH_WITH_AGE,
        note="; ".join(_notes(state, named)),
        choice=state.choice,
    )


def _notes(state: CellState, named: str) -> Iterator[str]:
    if ADDED in state.cell.values:
        yield "trained elsewhere and evaluated here: on what, and for how long, is not checked"
        return
    if named != state.cell.request.location:
        yield named
    elif state.choice:
        yield stability(state.choice)
    if state.edge:
        yield state.edge


def _reported(result: Outcome, asked: SweepRecord) -> report.Measured | TrialFailure:
    assert not isinstance(result, Unfinished), result
    if isinstance(result, TrialFailure):
        return result
    return report.Measured(result=result.result, documents=_by_document(result.after, asked))


def _by_document(documents: Documents, asked: SweepRecord) -> DocumentScores:
    """Every score by document; after a search, on the documents that it did not select on.

    What a second text says is a number of its own, in `Scores`.
    """
    documents = {name: scores for name, scores in documents.items() if name != GENERAL}
    if asked.searched:
        units = documents[PERPLEXITY].units
        documents = {name: half(scores, "report", units) for name, scores in documents.items()}
    tasks = {name: scores for name, scores in documents.items() if name != PERPLEXITY}
    return DocumentScores(nll=documents[PERPLEXITY], tasks=tasks)
