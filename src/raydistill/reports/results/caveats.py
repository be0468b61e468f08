"""What to know before reading any number of a table."""

from collections import Counter
from collections.abc import Iterable, Sequence

from raydistill.core.units import format_tokens
from raydistill.evaluation.bootstrap import MIN_DOCUMENTS
from raydistill.planning.cell import compares_teachers
from raydistill.reports.results.blocks import RowBlock
from raydistill.reports.results.cells import Measured, ReportCell, SweepReport, is_of_shapes
from raydistill.reports.results.common_tasks import TableTasks, constant_answers, first_look
from raydistill.specs.recipe import decay_warning
from raydistill.specs.trial import FROM_BASE

FEW_SEEDS = 3  # that show little of training noise: intervals over them are wide


def warnings(report: SweepReport, blocks: Sequence[RowBlock], tasks: TableTasks) -> tuple[str, ...]:
    """The limits of a table, the gravest first."""
    limits = []
    if report.small_scale:
        limits.append(
            f"Mechanics at a small scale: do not choose {_chosen(report)} for a large model from "
            "this."
        )
    if mark := first_look(report):
        limits.append(
            f"{mark[0].upper()}{mark[1:]} (--limit): a score of a few items says little, and is "
            "never mixed with one of all."
        )
    if report.unfinished:
        total = report.unfinished + len(report.cells)
        limits.append(f"{report.unfinished} of {total} cells are not finished yet.")
    if not report.cells:
        return (*limits, "This sweep has no cells.")
    limits.append(_intervals(blocks))
    if report.searched:
        limits.append("Reported on the half of the held-out documents that the search did not see.")
    return (
        *limits,
        *_documents(report, tasks),
        *(() if is_of_shapes(report) else (*_means(tasks), *_constant(report))),
        *_unlike(report, blocks),
        *_decay(report),
        *_devices(report),
        *_owners(report),
        *report.remarks,
        *gone_sentences(report),
    )


def _chosen(report: SweepReport) -> str:
    """What a sweep may be run to choose."""
    if any(compares_teachers(cell.values) for cell in report.cells):
        return "teachers"
    return "shapes" if is_of_shapes(report) else "layers"


def gone_sentences(report: SweepReport) -> list[str]:
    """What a report leaves out because a file is not here."""
    if not report.gone_tasks:
        return []
    tasks = joined(report.gone_tasks)
    return [f"Scores of {tasks} are left out: no file of that name is here, see --parts."]


def joined(values: Iterable[object]) -> str:
    """Values as a list in a sentence.

    >>> joined([1, 2, 3]), joined(["a"])
    ('1, 2 and 3', 'a')
    """
    *others, last = map(str, values)
    return f"{', '.join(others)} and {last}" if others else last


def _intervals(blocks: Sequence[RowBlock]) -> str:
    over = "Intervals: paired bootstrap over held-out documents"
    seeds = {tuple(row.runs) for block in blocks for row in block.rows if row.runs}
    most = max(map(len, seeds), default=1)
    if most < 2:
        return f"{over}, training noise not included (one data seed)."
    few = " So few seeds show little of it: intervals are wide." if most <= FEW_SEEDS else ""
    if len(seeds) == 1:
        (same,) = seeds
        return f"{over} and {most} data seeds ({joined(same)}): training noise is included.{few}"
    return (
        f"{over} and up to {most} data seeds: training noise is included where a row has several."
        f"{few} Rows have different seeds: footnotes say which."
    )


def _documents(report: SweepReport, tasks: TableTasks) -> list[str]:
    """Where there are too few documents to tell anything apart, by loss or by tasks."""
    bases = [base.documents for base in report.bases]
    of_loss = {unit for base in bases for unit in base.nll.units}
    of_tasks = {
        unit
        for base in bases
        for task in tasks.chance.keys() & base.tasks.keys()
        for unit in base.tasks[task].units
    }
    limits = []
    if bases and len(of_loss) < MIN_DOCUMENTS:
        limits.append(
            f"Only {len(of_loss)} held-out documents: no cell can be told apart from the best."
        )
    if of_tasks and len(of_tasks) < MIN_DOCUMENTS <= len(of_loss):
        limits.append(
            f"Tasks have only {len(of_tasks)} documents: they tell no cell from the best."
        )
    return limits


def _means(tasks: TableTasks) -> list[str]:
    """Which tasks the downstream mean is over, where that is not all."""
    limits = []
    if tasks.at_chance:
        averaged = (
            "No task is above chance at every base, so means are over all tasks."
            if tasks.all_at_chance
            else f"Every mean is over the other tasks: {joined(sorted(tasks.chance))}."
        )
        at_chance = joined(tasks.at_chance)
        limits.append(
            f"At chance at one base at least, by two standard errors: {at_chance}. {averaged}"
        )
    if tasks.not_everywhere:
        missing = joined(tasks.not_everywhere)
        limits.append(f"Not scored at every base, so in no mean: {missing}.")
    return limits


def _constant(report: SweepReport) -> list[str]:
    measured = [base.documents for base in report.bases]
    measured += [c.outcome.documents for c in report.cells if isinstance(c.outcome, Measured)]
    constant = constant_answers(measured)
    if not constant:
        return []
    return [
        f"The same right answers before and after every removal, as of a model that always "
        f"gives one answer: {joined(constant)}."
    ]


def _unlike(report: SweepReport, blocks: Sequence[RowBlock]) -> list[str]:
    """Budgets, tokenizers and texts that differ between tables, or between the rows of one."""
    limits = []
    if any(block.mixed_budgets for block in blocks):
        limits.append("Rows that trained on different numbers of tokens by design show their own.")
    budgets = sorted({b.first.train.recipe.budget_tokens for b in blocks if not b.mixed_budgets})
    if len(budgets) > 1:
        tokens = joined(map(format_tokens, budgets))
        limits.append(f"Budgets differ between tables ({tokens} tokens): compare within one only.")
    recipes = {recipe_text(block.first) for block in blocks if block.first.recipe_differs}
    if len(recipes) > 1:
        limits.append(
            f"Recipes differ between tables ({joined(sorted(recipes))}): compare within one only."
        )
    trains = [cell.train for cell in report.cells if not cell.beside]
    if len({train.tokenizer_sha256 for train in trains}) > 1:
        limits.append("Tokenizers differ between tables: their nats per token are not comparable.")
    elif len({train.corpus_sha256 for train in trains}) > 1:
        limits.append("Texts differ between tables: compare within one only.")
    return limits


def recipe_text(cell: ReportCell) -> str:
    """What tells the recipe of a cell from others of its report; mostly empty.

    `peak_lr 0.001`, with a comma between several.
    """
    return ", ".join(f"{name} {value}" for name, value in cell.own_recipe)


def _decay(report: SweepReport) -> list[str]:
    """Where weight decay takes much of what was trained before."""
    cells = (c for c in report.cells if c.is_known and not c.beside and c.start == FROM_BASE)
    warning = decay_warning(cell.train.recipe for cell in cells)
    return [f"{warning[0].upper()}{warning[1:]}."] if warning else []


def _owners(report: SweepReport) -> list[str]:
    """How many trials each person ran, where there are several."""
    counts = Counter(
        cell.outcome.result.trained.made_by.owner or "unknown"
        for cell in report.cells
        if isinstance(cell.outcome, Measured) and not cell.beside
    )
    if len(counts) < 2:
        return []
    return [f"Run by {joined(f'{name} ({count})' for name, count in sorted(counts.items()))}."]


def _devices(report: SweepReport) -> list[str]:
    devices = {
        (outcome.result.trained.made_by.world_size, outcome.result.trained.made_by.device)
        for outcome in (cell.outcome for cell in report.cells if not cell.beside)
        if isinstance(outcome, Measured)
    }
    if len(devices) < 2:
        return []
    kinds = ", ".join(f"{count} x {device}" for count, device in sorted(devices))
    return [f"Trained on different devices ({kinds}): bits are promised for one kind only."]
