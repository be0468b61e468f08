"""The runs of a sweep over sizes and ages, from the cells and bases of its report."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace

from raydistill.core.units import format_age
from raydistill.reports.reduced_scale.findings import ReducedScaleFindings, findings_of
from raydistill.reports.reduced_scale.runs import CAUSAL, MASKED, Run, RunPoint, Shape, Text
from raydistill.reports.results.cells import (
    Measured,
    ReportBase,
    ReportCell,
    SweepReport,
    is_of_shapes,
)
from raydistill.reports.results.comparison import failure_reason
from raydistill.specs.corpus import bits_per_byte
from raydistill.specs.flops import parameters
from raydistill.specs.model import FactorisedConfig, ModelConfig
from raydistill.specs.pretraining_flops import non_embedding_parameters, pretraining_flops
from raydistill.specs.results import TrialFailure
from raydistill.specs.shape.settings import USUAL_SHARE


def reduced_scale_findings(report: SweepReport) -> ReducedScaleFindings:
    """What the sweep of a report finds; no run where it is not over sizes and ages alone."""
    if not is_of_shapes(report):
        return findings_of((), {})
    cells = {(cell.scale, cell.age): cell for cell in report.cells}
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
    texts = _texts([(ages[-1][0], cells[name, ages[-1][0].age]) for name, ages in by_scale.items()])
    return findings_of([_run(ages, texts[name]) for name, ages in by_scale.items()], failed)


def _texts(runs: Sequence[tuple[ReportBase, ReportCell]]) -> dict[str, Text]:
    """What each scale reads; by name, with digits of the corpus where several have that name."""
    corpora = {cell.text: _text(base, cell) for base, cell in runs}
    names = Counter(text.name for text in corpora.values())
    told_apart = {
        digits: text if names[text.name] == 1 else replace(text, name=f"{text.name} {digits}")
        for digits, text in corpora.items()
    }
    return {base.scale: told_apart[cell.text] for base, cell in runs}


def _text(base: ReportBase, cell: ReportCell) -> Text:
    """As its facts say; by the first digits of corpus and tokenizer where it has none."""
    facts = base.text
    if facts is None:
        return Text(name=cell.text)
    return Text(
        name=facts.name,
        words=facts.words,
        unigram_nats=facts.unigram_nats,
        bits_per_nat=bits_per_byte(1.0, facts),
    )


def _of_masked(text: Text, base: ReportBase) -> Text:
    """The text with the unigram line of a masked loss."""
    if base.masked_unigram_nats is None:
        return replace(text, line_of_all=text.unigram_nats is not None)
    return replace(text, unigram_nats=base.masked_unigram_nats)


def _model(cell: ReportCell | None) -> ModelConfig | None:
    """Of a cell that finished."""
    if cell is None or not isinstance(cell.outcome, Measured):
        return None
    return cell.outcome.result.trained.model


def _run(ages: Sequence[tuple[ReportBase, ModelConfig]], text: Text) -> Run:
    base, model = ages[-1]
    if base.mask_share:
        text = _of_masked(text, base)
    return Run(
        name=base.scale,
        shape=_shape(model),
        parameters=parameters(model),
        non_embedding=non_embedding_parameters(model),
        objective=_objective(base.mask_share),
        text=text,
        points=tuple(_points(ages)),
    )


def _objective(mask_share: float) -> str:
    """Losses of different shares of masked tokens do not compare."""
    if not mask_share:
        return CAUSAL
    return MASKED if mask_share == USUAL_SHARE else f"{MASKED} {mask_share:g}"


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


def _points(ages: Sequence[tuple[ReportBase, ModelConfig]]) -> Iterator[RunPoint]:
    for base, model in ages:
        yield RunPoint(
            name=f"{base.scale}@{format_age(base.age)}",
            tokens=base.age_tokens,
            nats=base.documents.nll,
            flops=asdict(pretraining_flops(model, base.age_tokens, base.mask_share)),
            tasks=base.documents.tasks,
            probes=base.documents.probes,
        )
