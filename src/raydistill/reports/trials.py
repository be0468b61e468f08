"""One trial in full, two trials side by side, and the best rows of a table."""

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from raydistill.core.errors import UsageError, unknown
from raydistill.core.units import format_tokens
from raydistill.evaluation.bootstrap import DocumentScores, Missing, PairedBootstrap
from raydistill.evaluation.performance_drops import drops
from raydistill.planning.cell import name_beside
from raydistill.reports.results.blocks import age_text
from raydistill.reports.results.caveats import gone_sentences
from raydistill.reports.results.cells import Measured, ReportCell, SweepReport
from raydistill.reports.results.common_tasks import table_tasks
from raydistill.reports.results.comparison import failure_reason
from raydistill.reports.tables.grids import ABSENT, Section, label, with_interval
from raydistill.reports.tables.lengths import in_windows, truncated_text, window_tokens
from raydistill.reports.tables.points import Point, points
from raydistill.reports.tables.table import Block, Row, Table
from raydistill.specs.evaluation import PERPLEXITY, words_of
from raydistill.specs.results import NOT_KNOWN, Scores, TrialFailure, loss_of


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialMatch:
    """A cell and the report that it is in."""

    report: SweepReport
    cell: ReportCell

    @property
    def trial_id(self) -> str:
        """The id of the trial of the cell."""
        return self.cell.trial_id


def find_trial(reports: Sequence[SweepReport], beginning: str) -> list[TrialMatch]:
    """Every cell of the trial that `trial_named` means, those on all documents first.

    Raises:
        UsageError: if there is none, or more than one.
    """
    cells = [TrialMatch(report=report, cell=cell) for report in reports for cell in report.cells]
    names = [(trial.trial_id, name_beside(trial.cell.values)) for trial in cells]
    trial_id = trial_named(beginning, names)
    matches = [trial for trial in cells if trial.trial_id == trial_id]
    return sorted(matches, key=lambda trial: trial.report.searched)


def trial_named(beginning: str, trials: Iterable[tuple[str, str]]) -> str:
    """The id of the trial that is called `beginning`, or whose id begins so.

    Args:
        beginning: what the user wrote.
        trials: pairs of an id and the name that its row has beside those of a sweep, or "".

    Raises:
        UsageError: if there is none, or more than one.

    >>> trial_named("mine", [("c0ffee", "mine"), ("decade", "")])
    'c0ffee'
    """
    pairs = list(trials)
    called = {trial_id for trial_id, name in pairs if name == beginning}
    ids = sorted(called or {trial_id for trial_id, _ in pairs if trial_id.startswith(beginning)})
    if not ids or not beginning:
        known = sorted({trial_id for trial_id, _ in pairs} | {n for _, n in pairs if n})
        raise UsageError(unknown("trial", beginning, known))
    if len(ids) > 1:
        verb = "are called" if called else "begin with"
        raise UsageError(f"{len(ids)} trials {verb} {beginning!r}: {', '.join(ids)}")
    return ids[0]


def trial_section(matches: Sequence[TrialMatch]) -> Section:
    """One trial as lines of name and text: its sweeps, its settings, its outcome.

    Args:
        matches: every cell of the trial, at least one.
    """
    first = matches[0]
    left_out = [("left out", sentence) for sentence in gone_sentences(first.report)]
    lines = [*map(_sweep, matches), *_as_run(first.cell), *_outcome(first), *left_out]
    return Section(title=f"trial {first.trial_id}", headers=("", ""), rows=tuple(lines))


def _sweep(trial: TrialMatch) -> tuple[str, str]:
    values = {**trial.cell.values, "age": age_text(trial.cell)}
    if not trial.cell.beside:
        values = {"location": trial.cell.location, **values}
    axes = ", ".join(f"{axis} {value}" for axis, value in values.items())
    return "asked by", f"{trial.report.sweep} at scale {trial.report.scale}: {axes}"


def _as_run(cell: ReportCell) -> Iterator[tuple[str, str]]:
    recipe = cell.train.recipe
    removed = " ".join(map(str, cell.layers)) or (
        "none" if cell.is_known and not cell.unchosen else NOT_KNOWN
    )
    yield "layers", f"{cell.layer_map}  removed: {removed}"
    if not cell.is_known:
        for name in ("gap", "loss", "training"):
            yield name, NOT_KNOWN
        return
    yield "gap", f"{format_tokens(cell.gap_tokens)} tokens"
    yield "loss", cell.train.loss
    yield (
        "training",
        f"{format_tokens(recipe.budget_tokens)} tokens after a warm phase of "
        f"{format_tokens(recipe.warm_phase_tokens)}, peak rate {recipe.peak_lr:g}, data seed "
        f"{cell.train.seed}",
    )


def _outcome(trial: TrialMatch) -> Iterator[tuple[str, str]]:
    outcome = trial.cell.outcome
    if isinstance(outcome, TrialFailure):
        yield "failed", failure_reason(outcome)
        return
    result, trained = outcome.result, outcome.result.trained
    yield from _scores(
        {"before": result.before, "after": result.after}, window_tokens([trial.cell])
    )
    for base in trial.report.bases:
        if (base.scale, base.age) == (trial.cell.scale, trial.cell.age):
            yield from _drops(base.documents, outcome, trial.report)
    cost = trained.cost
    if not trained.made_by.is_known:
        yield "cost", NOT_KNOWN
        yield "made by", NOT_KNOWN
        return
    yield (
        "cost",
        f"{cost.train_s:.1f} s of training, {cost.tokens / max(cost.train_s, 1e-9):,.0f} tokens/s, "
        f"{cost.flops_exact:.3g} FLOPs exactly, {cost.flops_paper:.3g} by the paper's rule, "
        f"{cost.peak_bytes / 1e6:,.0f} MB",
    )
    if not isinstance(error := cost.memory_error, str):
        own = cost.peak_bytes - cost.held_bytes
        yield (
            "memory",
            f"{own / 1e6:,.0f} MB beside the {cost.held_bytes / 1e6:,.0f} MB before it, by the "
            f"plan's arithmetic {cost.expected_bytes / 1e6:,.0f} MB ({100 * error:+.0f} %)",
        )
    machine = trained.made_by
    yield "made by", f"{machine.world_size} x {machine.device}, torch {machine.torch}"
    if machine.owner:
        yield "run by", f"{machine.owner} on {machine.host}"


def _scores(sides: Mapping[str, Scores], window: int) -> Iterator[tuple[str, str]]:
    """Perplexity and every task, as one line each: `before 23.24, after 27.61`."""
    levels = {name: math.exp(min(scores.nll, 700)) for name, scores in sides.items()}
    text = ", ".join(f"{name} {level:.4g}" for name, level in levels.items())
    yield words_of(PERPLEXITY, loss_of(sides.values())), text + in_windows(window)
    for task in dict.fromkeys(task for scores in sides.values() for task in scores.tasks):
        parts = [
            f"{name} {scores.tasks[task].value:.4f}" if task in scores.tasks else f"{name} {ABSENT}"
            for name, scores in sides.items()
        ]
        last = [scores.tasks[task].truncation for scores in sides.values() if task in scores.tasks][
            -1
        ]
        yield task, ", ".join(parts) + truncated_text(last)


def _drops(
    before: DocumentScores, after: Measured, report: SweepReport
) -> Iterator[tuple[str, str]]:
    """What `after` lost against `before`, on the same documents and the tasks of the table."""
    bootstrap = PairedBootstrap.over([before, after.documents])
    chance = table_tasks(report).chance
    lost = drops({0: before}, {0: after.documents}, chance=chance, bootstrap=bootstrap)
    loss = after.result.after.loss
    yield "lost, nats/token", with_interval(lost.delta_nll, 4)
    yield words_of("lost, perplexity %", loss), with_interval(lost.perplexity_drop_pct, 2)
    yield "lost, downstream %", with_interval(lost.downstream_drop_pct, 2)


def differences(one: TrialMatch, other: TrialMatch) -> Section:
    """The settings in which two trials differ, and what the second lost against the first."""
    left, right = _flat(one.cell), _flat(other.cell)
    rows = [
        (name, left.get(name, ABSENT), right.get(name, ABSENT))
        for name in dict.fromkeys([*left, *right])
        if left.get(name) != right.get(name)
    ]
    first, second = one.cell.outcome, other.cell.outcome
    if isinstance(first, Measured) and isinstance(second, Measured):
        losses = _drops(first.documents, second, one.report)
        rows += [(name, "", text) for name, text in losses]
    return Section(
        title="Only what differs; lost is the second against the first, positive is worse",
        headers=("", one.trial_id, other.trial_id),
        rows=tuple(rows),
    )


def _flat(cell: ReportCell) -> dict[str, str]:
    """All settings and scores of a cell, as text by name."""
    facts = {"location": cell.location, "age": age_text(cell), "layers": cell.layer_map}
    facts |= {axis: str(value) for axis, value in cell.values.items() if axis != "age"}
    train = dataclasses.asdict(cell.train) | cell.train.recipe.named_fields
    del train["recipe"]
    training = {**train, "gap_tokens": cell.gap_tokens}
    if not cell.is_known:  # but for the text that it was measured on
        training |= {name: NOT_KNOWN for name in training if not name.endswith("sha256")}
    facts |= {name: str(value) for name, value in training.items()}
    if isinstance(cell.outcome, TrialFailure):
        return {**facts, "failed": failure_reason(cell.outcome)}
    after, cost = cell.outcome.result.after, cell.outcome.result.trained.cost
    window = window_tokens([cell])
    facts |= {name: text.removeprefix(" ") for name, text in _scores({"": after}, window)}
    costs = {"train_s": f"{cost.train_s:.1f}", "FLOPs, exact": f"{cost.flops_exact:.3g}"}
    return {**facts, **(costs if cell.is_known else dict.fromkeys(costs, NOT_KNOWN))}


def best_rows(report: SweepReport, table: Table) -> list[Section]:
    """The rows of each block that are not distinguishable from the best, the best first.

    By their loss, by their tasks, or by both.
    """
    by_row = {id(point.row): point for point in points(report, table)}
    return [_best(block, by_row) for block in table.blocks if any(map(_is_best, block.rows))]


def _is_best(row: Row) -> bool:
    return row.best_nll or row.best_downstream


def _best(block: Block, by_row: Mapping[int, Point]) -> Section:
    rows = sorted(filter(_is_best, block.rows), key=_loss)
    return Section(
        title=block.title,
        headers=(
            *("not told apart from the best", "layers"),
            *("delta_nll, nats/token", "downstream, drop %", "trials"),
        ),
        rows=tuple(
            (
                label(row),
                row.layer_map,
                with_interval(row.against_base.delta_nll, 3, best=row.best_nll),
                with_interval(row.against_base.downstream_drop_pct, 1, best=row.best_downstream),
                " ".join(cell.trial_id[:8] for cell in by_row[id(row)].cells),
            )
            for row in rows
        ),
    )


def _loss(row: Row) -> float:
    entry = row.against_base.delta_nll
    return math.inf if isinstance(entry, Missing) else entry.value
