"""The runs of a sweep over sizes and ages, from the cells and bases of its report."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from raydistill.core.units import format_age
from raydistill.planning.cell import compares_shapes
from raydistill.reports.reduced_scale.findings import ReducedScaleFindings, findings_of
from raydistill.reports.reduced_scale.runs import CAUSAL, MASKED, Run, RunPoint, Shape, Text
from raydistill.reports.results.cells import Measured, ReportBase, ReportCell, SweepReport
from raydistill.reports.results.comparison import failure_reason
from raydistill.specs.flops import parameters
from raydistill.specs.model import FactorisedConfig, HubConfig, ModelConfig
from raydistill.specs.pretraining_flops import non_embedding_parameters, pretraining_flops
from raydistill.specs.results import TrialFailure


def reduced_scale_findings(report: SweepReport) -> ReducedScaleFindings:
    """What the sweep of a report finds; no run where it is not over sizes and ages alone."""
    cells = {(c.scale, c.age): c for c in report.cells if compares_shapes(c.values)}
    if not cells or any(not compares_shapes(c.values) for c in report.cells):
        return findings_of((), {})
    failed = {
        f"{cell.scale}@{format_age(cell.age)}": failure_reason(cell.outcome)
        for cell in cells.values()
        if isinstance(cell.outcome, TrialFailure)
    }
    by_scale: dict[str, list[tuple[ReportBase, ModelConfig]]] = {}
    for base in sorted(report.bases, key=lambda base: base.age_tokens):
        model = _model(cells.get((base.scale, base.age)))
        if model is not None and base.age_tokens:
            by_scale.setdefault(base.scale, []).append((base, model))
    texts = {cell.scale: cell.text for cell in cells.values()}
    return findings_of([_run(ages, texts[name]) for name, ages in by_scale.items()], failed)


def _model(cell: ReportCell | None) -> ModelConfig | None:
    """Of a cell that finished; None of a checkpoint, whose pretraining is not ours."""
    if cell is None or not isinstance(cell.outcome, Measured):
        return None
    model = cell.outcome.result.trained.model
    return None if isinstance(model, HubConfig) else model


def _run(ages: Sequence[tuple[ReportBase, ModelConfig]], text: str) -> Run:
    base, model = ages[-1]
    return Run(
        name=base.scale,
        shape=_shape(model),
        parameters=parameters(model),
        non_embedding=non_embedding_parameters(model),
        objective=MASKED if base.mask_share else CAUSAL,
        text=_text(text),
        points=tuple(_points(ages)),
    )


def _shape(model: ModelConfig) -> Shape:
    """A PaLM block has its width as embedding, and twice that in its feed-forward half."""
    feed_forward, embedding = 2 * model.dim, model.dim
    if isinstance(model, FactorisedConfig):
        feed_forward, embedding = model.feed_forward, model.embedding
    return Shape(
        width=model.dim,
        layers=model.num_layers,
        heads=model.num_heads,
        feed_forward=feed_forward,
        embedding=embedding,
    )


def _text(text: str) -> Text:
    """By the first digits of corpus and tokenizer."""
    return Text(name=text)


def _points(ages: Sequence[tuple[ReportBase, ModelConfig]]) -> Iterator[RunPoint]:
    for base, model in ages:
        yield RunPoint(
            name=f"{base.scale}@{format_age(base.age)}",
            tokens=base.age_tokens,
            nats=base.documents.nll,
            flops=asdict(pretraining_flops(model, base.age_tokens, base.mask_share)),
            tasks=base.documents.tasks,
        )
