"""The one set of tasks that every downstream mean of a table is over (METHOD 6)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raydistill.evaluation.bootstrap import DocumentScores
from raydistill.evaluation.performance_drops import above_chance, scored_everywhere, tasks_averaged
from raydistill.reports.results.cells import Measured, SweepReport
from raydistill.specs.evaluation import item_limit


@dataclass(frozen=True, kw_only=True, slots=True)
class TableTasks:
    """The tasks that means are over, with the score of guessing, and those they leave out.

    If no task is above chance at every base, the means are over all: `at_chance` then names
    them too.
    """

    chance: Mapping[str, float]
    at_chance: tuple[str, ...]  # at one of the bases at least
    not_everywhere: tuple[str, ...]  # not measured at every base

    @property
    def all_at_chance(self) -> bool:
        """Whether the means are over tasks at chance, as there are no others."""
        return bool(set(self.at_chance) & set(self.chance))


def first_look(report: SweepReport) -> str:
    """A mark for a report whose tasks are scored on some of their items; else empty."""
    finished = [cell.outcome for cell in report.cells if isinstance(cell.outcome, Measured)]
    scores = [base.scores for base in report.bases]
    scores += [outcome.result.after for outcome in finished]
    limit = item_limit(name for score in scores for name in score.tasks)
    return f"a first look, {limit} items a task" if limit else ""


def table_tasks(report: SweepReport) -> TableTasks:
    """The tasks above chance at every base of `report`; without a base, all that were scored."""
    bases = [base.scores for base in report.bases]
    finished = [cell.outcome for cell in report.cells if isinstance(cell.outcome, Measured)]
    scored = bases or [outcome.result.after for outcome in finished]
    chance = {name: task.chance for scores in scored for name, task in scores.tasks.items()}
    averaged = tasks_averaged(bases) if bases else chance
    everywhere, above = set(scored_everywhere(bases)), set(above_chance(bases))
    return TableTasks(
        chance={name: guess for name, guess in chance.items() if name in averaged},
        at_chance=tuple(sorted(everywhere - above)),
        not_everywhere=tuple(sorted(chance.keys() - everywhere)) if bases else (),
    )


def constant_answers(scores: Sequence[DocumentScores]) -> tuple[str, ...]:
    """Tasks with the same right answers in every document for three or more sets of weights.

    A model that gives the same answer to every item looks like this.
    """
    if len(scores) < 3:
        return ()
    shared = set.intersection(*(set(model.tasks) for model in scores))
    return tuple(
        sorted(task for task in shared if len({model.tasks[task].sums for model in scores}) == 1)
    )
