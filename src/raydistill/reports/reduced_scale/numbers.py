"""Every point of a sweep over shapes as plain numbers, for a spreadsheet."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from statistics import fmean

from raydistill.reports.reduced_scale.findings import ReducedScaleFindings
from raydistill.reports.reduced_scale.runs import AXES, CAUSAL, RULES, Run, RunPoint
from raydistill.reports.tables.grids import Section

NUMBERS = "reduced-scale.csv"  # the file of `numbers`
_COLUMNS = (
    *("run", "objective", "text", "words", *AXES, "parameters", "non_embedding_parameters"),
    *("tokens", *(f"flops_{rule}" for rule in RULES)),
    *("nll_nats", "nll_nats_low", "nll_nats_high", "unigram_nats", "off_plateau"),
    *("on_front_honey", "on_front_exact", "bits_per_byte", "downstream"),
)


def numbers(sweeps: Sequence[ReducedScaleFindings]) -> Section:
    """A line a point: a run at one age. What is not known is empty."""
    rows = tuple(
        tuple("" if value is None else str(value) for value in _line(run, point, findings))
        for findings in sweeps
        for run in findings.runs
        for point in run.points
    )
    return Section(title="reduced scale", headers=_COLUMNS, rows=rows)


def _line(run: Run, point: RunPoint, findings: ReducedScaleFindings) -> Iterator[object]:
    loss = findings.losses.get(point.name)
    yield from (run.name, run.objective, run.text.name, run.text.words or None)
    yield from asdict(run.shape).values()
    yield from (run.parameters, run.non_embedding, point.tokens)
    yield from (point.flops[rule] for rule in RULES)
    yield from (point.loss, loss and loss.low, loss and loss.high, run.text.unigram_nats)
    yield run.is_off_plateau(point)
    fronts = {front.rule: {one.name for one in front.points} for front in findings.fronts}
    yield from (point.name in names for names in fronts.values())
    yield _bits_per_byte(run, point)
    yield fmean(task.value for task in point.tasks.values()) if point.tasks else None


def _bits_per_byte(run: Run, point: RunPoint) -> float | None:
    """None of a masked LM, which does not predict every byte, and of a text of unknown bytes."""
    if run.objective != CAUSAL or not run.text.bits_per_nat:
        return None
    return point.loss * run.text.bits_per_nat
