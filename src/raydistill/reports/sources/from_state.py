"""A report's cells from a sweep's state."""

from collections.abc import Iterator
from dataclasses import replace

from raydistill.evaluation.bootstrap import DocumentScores
from raydistill.evaluation.document_split import half
from raydistill.evaluation.scoring import GENERAL
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
from raydistill.reports.results.cells import Measured, ReportBase, ReportCell, SweepReport
from raydistill.reports.results.records import BaseRecord, CellRecord, ReportRecords, SweepHeader
from raydistill.reports.results.spending import spending_of
from raydistill.reports.tables.score_predictions import stability
from raydistill.specs.evaluation import held_out_loss
from raydistill.specs.flops import parameters
from raydistill.specs.locations import label
from raydistill.specs.results import (
    Documents,
    Outcome,
    TrialFailure,
    Unfinished,
    loss_by_document,
)
from raydistill.specs.trial import SCRATCH_WITH_AGE


def report_of(state: SweepState) -> SweepReport:
    """The report that tables and figures are made from: finished and failed cells."""
    record = state.asked
    waiting = [cell for cell in state.cells if isinstance(cell.outcome, Unfinished)]
    return SweepReport(
        sweep=record.name,
        question=record.question,
        scale=record.scale,
        small_scale=record.small_scale,
        searched=record.searched,
        bases=tuple(
            ReportBase(
                scale=base.asked.scale.name,
                age=base.asked.age,
                age_tokens=base.asked.scale.age_tokens(base.asked.age),
                num_params=parameters(base.asked.scale.model),
                scores=base.scores,
                documents=replace(_by_document(base.documents, record), probes=base.probes),
                window_tokens=base.asked.scale.model.context,
                mask_share=base.asked.scale.evaluation.mask_share,
                text=base.text,
                masked_unigram_nats=base.masked_unigram_nats,
            )
            for base in state.bases
        ),
        cells=tuple(_report_cell(cell, record) for cell in state.cells if has_ended(cell)),
        unfinished=sum(not record.searched or has_begun(cell) for cell in waiting),
        spending=spending_of(
            (
                (cell.cell, cell.outcome, cell.figures)
                for cell in state.cells
                if not was_added(cell.spec)
            ),
            probing_s=record.probing_s,
            price_per_hour=record.price_per_hour,
        ),
        remarks=tuple(dict.fromkeys(cell.remark for cell in state.cells if cell.remark)),
    )


def records_of(state: SweepState) -> ReportRecords:
    """The report as single records, each with all that a table needs, as MLflow holds them."""
    report, sweep = report_of(state), (state.asked.name, state.asked.scale)
    about = SweepHeader(
        sweep=report.sweep,
        question=report.question,
        scale=report.scale,
        small_scale=report.small_scale,
        searched=report.searched,
    )
    ended = [cell for cell in state.cells if has_ended(cell)]
    spent = {trial.trial_id: trial for trial in report.spending.trials}
    return ReportRecords(
        bases=tuple(BaseRecord(about=about, base=base) for base in report.bases),
        cells=tuple(
            CellRecord(
                about=about,
                base_sha256=cell.base_sha256,
                cell=report_cell,
                spent=spent.get(cell.spec.trial_id),
                remark=cell.remark,
            )
            for cell, report_cell in zip(ended, report.cells, strict=True)
        ),
        unfinished={sweep: report.unfinished},
        spending={sweep: replace(report.spending, trials=())},
    )


def _report_cell(state: CellState, record: SweepRecord) -> ReportCell:
    request, scale = state.cell.request, state.cell.scale
    return ReportCell(
        scale=scale.name,
        num_params=parameters(scale.model),
        location=request.location,
        age=request.age,
        values=state.cell.values,
        layers=layers_of(state),
        unchosen=request.count if state.spec.unchosen else 0,
        num_layers=scale.model.num_layers,
        layer_map=layer_map_of(state),
        gap_tokens=scale.gap_tokens(request),
        train=state.spec.train,
        start=request.start,
        probed=bool(state.remark),
        outcome=_measured(state.outcome, record),
        for_every_seed=request.budget == 0 or request.start == SCRATCH_WITH_AGE,
        note="; ".join(_notes(state)),
        choice=state.choice,
        heldout_windows=scale.evaluation.heldout_windows,
        curve_windows=scale.evaluation.curve_windows,
        budget_paper_tokens=request.budget,
        gap_paper_tokens=request.gap,
        taught_by=state.taught_by,
    )


def _notes(state: CellState) -> Iterator[str]:
    request, num_layers = state.cell.request, state.cell.scale.model.num_layers
    location = label(request.location, num_layers, request.count, allow_ends=request.allow_ends)
    if ADDED in state.cell.values:
        yield "trained elsewhere and evaluated here: on what, and for how long, is not checked"
        return
    if location != request.location:
        yield location
    elif state.choice:
        yield stability(state.choice)
    if state.edge:
        yield state.edge


def _measured(outcome: Outcome, record: SweepRecord) -> Measured | TrialFailure:
    assert not isinstance(outcome, Unfinished), outcome
    if isinstance(outcome, TrialFailure):
        return outcome
    return Measured(result=outcome.result, documents=_by_document(outcome.after, record))


def _by_document(documents: Documents, record: SweepRecord) -> DocumentScores:
    """Every score by document; after a search, on the documents that it did not select on.

    The general text is left out: its loss is a single number, in `Scores`.
    """
    documents = {name: scores for name, scores in documents.items() if name != GENERAL}
    if record.searched:
        units = loss_by_document(documents).units
        documents = {name: half(scores, "report", units) for name, scores in documents.items()}
    loss = held_out_loss(documents)
    tasks = {name: scores for name, scores in documents.items() if name != loss}
    return DocumentScores(nll=documents[loss], tasks=tasks)
