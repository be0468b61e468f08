"""One trial in full, two trials side by side, and the best rows of a table."""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from raydistill.core.errors import UsageError, unknown
from raydistill.core.units import format_tokens
from raydistill.evaluation.bootstrap import DocumentScores, Missing, PairedBootstrap
from raydistill.evaluation.performance_drops import drops
from raydistill.reports.results.blocks import age_text
from raydistill.reports.results.cells import Measured, ReportCell, SweepReport
from raydistill.reports.results.comparison import failure_reason
from raydistill.reports.tables.grids import ABSENT, Section, label, with_interval
from raydistill.reports.tables.points import Point, points
from raydistill.reports.tables.table import Block, Row, Table
from raydistill.specs.results import Scores, TrialFailure


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundTrial:
    """A cell whose trial was looked for, and the report that it is in."""

    report: SweepReport
    cell: ReportCell

    @property
    def trial_id(self) -> str:
        """The trial behind the cell."""
        return trial_id(self.cell)


def trial_id(cell: ReportCell) -> str:
    """The id of the trial that a cell means."""
    outcome = cell.outcome
    if isinstance(outcome, TrialFailure):
        return outcome.trial_id
    return outcome.result.trained.trial_id


def find_trial(reports: Sequence[SweepReport], beginning: str) -> list[FoundTrial]:
    """Every cell that means the trial whose id begins so, those on all documents first.

    Raises:
        UsageError: if there is none, or more than one.
    """
    cells = [FoundTrial(report=report, cell=cell) for report in reports for cell in report.cells]
    found = [each for each in cells if each.trial_id.startswith(beginning)]
    ids = sorted({each.trial_id for each in found})
    if not ids:
        raise UsageError(unknown("trial", beginning, sorted({each.trial_id for each in cells})))
    if len(ids) > 1:
        raise UsageError(f"{len(ids)} trials begin with {beginning!r}: {', '.join(ids)}")
    return sorted(found, key=lambda each: each.report.searched)


def shown_trial(found: Sequence[FoundTrial]) -> Section:
    """A trial: what was asked, what was run, and what came of it."""
    lines = [line for each in found for line in _asked(each)]
    lines += [*_as_run(found[0].cell), *_outcome(found[0])]
    return Section(title=f"trial {found[0].trial_id}", headers=("", ""), rows=tuple(lines))


def _asked(each: FoundTrial) -> Iterator[tuple[str, str]]:
    values = {"location": each.cell.location, **each.cell.values, "age": age_text(each.cell)}
    said = ", ".join(f"{axis} {value}" for axis, value in values.items())
    yield "asked by", f"{each.report.sweep} at scale {each.report.scale}: {said}"


def _as_run(cell: ReportCell) -> Iterator[tuple[str, str]]:
    recipe = cell.train.recipe
    yield "layers", f"{cell.layer_map}  removed: {' '.join(map(str, cell.layers)) or 'none'}"
    yield "gap", f"{format_tokens(cell.gap_tokens)} tokens"
    yield "loss", cell.train.loss
    yield (
        "training",
        f"{format_tokens(recipe.budget_tokens)} tokens after a warm phase of "
        f"{format_tokens(recipe.warm_phase_tokens)}, peak rate {recipe.peak_lr:g}, data seed "
        f"{cell.train.seed}",
    )


def _outcome(each: FoundTrial) -> Iterator[tuple[str, str]]:
    outcome = each.cell.outcome
    if isinstance(outcome, TrialFailure):
        yield "failed", failure_reason(outcome)
        return
    result, trained = outcome.result, outcome.result.trained
    yield from _scores({"before": result.before, "after": result.after})
    for base in each.report.bases:
        if (base.scale, base.age) == (each.cell.scale, each.cell.age):
            yield from _lost("lost", base.documents, outcome, result.before)
    cost = trained.cost
    yield (
        "cost",
        f"{cost.train_s:.1f} s of training, {cost.tokens / max(cost.train_s, 1e-9):,.0f} tokens/s, "
        f"{cost.flops_exact:.3g} FLOPs exactly, {cost.flops_paper:.3g} by the paper's rule, "
        f"{cost.peak_bytes / 1e6:,.0f} MB",
    )
    made = trained.made_by
    yield "made by", f"{made.world_size} x {made.device}, torch {made.torch}"
    if made.owner:
        yield "run by", f"{made.owner} on {made.host}"


def _scores(sides: Mapping[str, Scores]) -> Iterator[tuple[str, str]]:
    """Perplexity and every task, as one line each: `before 23.24, after 27.61`."""
    levels = {name: math.exp(min(scores.nll, 700)) for name, scores in sides.items()}
    yield "perplexity", ", ".join(f"{name} {level:.4g}" for name, level in levels.items())
    for task in dict.fromkeys(task for scores in sides.values() for task in scores.tasks):
        said = [
            f"{name} {scores.tasks[task].value:.4f}" if task in scores.tasks else f"{name} {ABSENT}"
            for name, scores in sides.items()
        ]
        yield task, ", ".join(said)


def _lost(
    word: str, before: DocumentScores, after: Measured, scores: Scores
) -> Iterator[tuple[str, str]]:
    """What `after` lost against `before`, on the same documents."""
    chance = {task: score.chance for task, score in scores.tasks.items() if task in before.tasks}
    bootstrap = PairedBootstrap.over([before, after.documents])
    lost = drops({0: before}, {0: after.documents}, chance=chance, bootstrap=bootstrap)
    yield f"{word}, nats/token", with_interval(lost.delta_nll, 4)
    yield f"{word}, perplexity %", with_interval(lost.perplexity_drop_pct, 2)
    yield f"{word}, downstream %", with_interval(lost.downstream_drop_pct, 2)


def differences(one: FoundTrial, other: FoundTrial) -> Section:
    """Where two trials were asked differently, and what the second lost against the first."""
    left, right = _flat(one.cell), _flat(other.cell)
    rows = [
        (name, left.get(name, ABSENT), right.get(name, ABSENT))
        for name in dict.fromkeys([*left, *right])
        if left.get(name) != right.get(name)
    ]
    first, second = one.cell.outcome, other.cell.outcome
    if isinstance(first, Measured) and isinstance(second, Measured):
        for name, said in _lost("lost", first.documents, second, first.result.after):
            rows.append((name, "", said))
    return Section(
        title="Only what differs; lost is the second against the first, positive is worse",
        headers=("", one.trial_id, other.trial_id),
        rows=tuple(rows),
    )


def _flat(cell: ReportCell) -> dict[str, str]:
    """Everything that was asked, and the scores, by name."""
    asked = {"location": cell.location, "age": age_text(cell), "layers": cell.layer_map}
    asked |= {axis: str(value) for axis, value in cell.values.items() if axis != "age"}
    train = dataclasses.asdict(cell.train)
    recipe = train.pop("recipe")
    asked |= {name: str(value) for name, value in {**train, **recipe}.items()}
    asked["gap_tokens"] = str(cell.gap_tokens)
    if isinstance(cell.outcome, TrialFailure):
        return {**asked, "failed": failure_reason(cell.outcome)}
    after, cost = cell.outcome.result.after, cell.outcome.result.trained.cost
    asked |= {name: said.removeprefix(" ") for name, said in _scores({"": after})}
    return {**asked, "train_s": f"{cost.train_s:.1f}", "FLOPs, exact": f"{cost.flops_exact:.3g}"}


def best_rows(report: SweepReport, table: Table) -> list[Section]:
    """The rows of each block that these documents do not tell apart from the best, the best first.

    A row is in by its loss, by its tasks, or by both.
    """
    ids = {id(point.row): point for point in points(report, table)}
    return [_best(block, ids) for block in table.blocks if any(map(_is_best, block.rows))]


def _is_best(row: Row) -> bool:
    return row.best_nll or row.best_downstream


def _best(block: Block, ids: Mapping[int, Point]) -> Section:
    rows = sorted(filter(_is_best, block.rows), key=_loss)
    return Section(
        title=block.title,
        headers=("not told apart from the best", "layers", *_MEASURES, "trials"),
        rows=tuple(
            (
                label(row),
                row.layer_map,
                with_interval(row.against_base.delta_nll, 3, best=row.best_nll),
                with_interval(row.against_base.downstream_drop_pct, 1, best=row.best_downstream),
                " ".join(trial_id(cell)[:8] for cell in ids[id(row)].cells),
            )
            for row in rows
        ),
    )


_MEASURES = ("delta_nll, nats/token", "downstream, drop %")


def _loss(row: Row) -> float:
    entry = row.against_base.delta_nll
    return math.inf if isinstance(entry, Missing) else entry.value
