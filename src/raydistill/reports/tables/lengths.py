"""How much of a text is read at once: a window of perplexity, and what is read of an item."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from raydistill.evaluation.text_tasks import is_text_task
from raydistill.planning.cell import BaseKey
from raydistill.reports.results.caveats import joined
from raydistill.reports.results.cells import Measured, ReportBase, ReportCell, SweepReport
from raydistill.specs.evaluation import plain_task
from raydistill.specs.results import Scores, Truncation


def window_tokens(cells: Sequence[ReportCell]) -> int:
    """The tokens of a window that the perplexity of cells is measured in; 0 if none is measured."""
    results = (cell.outcome.result for cell in cells if isinstance(cell.outcome, Measured))
    return next((result.trained.model.context for result in results), 0)


def cell_scores(cells: Iterable[ReportCell]) -> Iterator[Scores]:
    """The scores of those cells that finished."""
    return (cell.outcome.result.after for cell in cells if isinstance(cell.outcome, Measured))


def in_windows(tokens: int) -> str:
    """` in windows of 64 tokens`; empty where that is not known."""
    return f" in windows of {tokens:,} tokens" if tokens else ""


def bases_with_windows(report: SweepReport) -> dict[BaseKey, ReportBase]:
    """The bases by scale and age; those of older records have the window of their cells."""
    return {
        (base.scale, base.age): replace(
            base,
            window_tokens=base.window_tokens
            or window_tokens(
                [c for c in report.cells if (c.scale, c.age) == (base.scale, base.age)]
            ),
        )
        for base in report.bases
    }


def truncations(scores: Scores) -> dict[str, Truncation]:
    """How many items of each task were truncated, where that was counted."""
    return {
        name: task.truncation
        for name, task in scores.tasks.items()
        if not isinstance(task.truncation, str)
    }


def truncated_text(truncation: Truncation | str) -> str:
    """` (3 of 50 items truncated at 256 tokens)`; empty where none is known to be."""
    if isinstance(truncation, str) or not truncation.truncated:
        return ""
    return (
        f" ({truncation.truncated} of {truncation.items} items truncated at "
        f"{truncation.max_length:,} tokens)"
    )


def lengths(report: SweepReport) -> tuple[str, ...]:
    """How tasks were read: up to how many tokens, with which items truncated, in which tokens.

    Silent of lengths where that is a training window's, as for our own scales, and nothing was
    longer.
    """
    models = [(base.scale, base.window_tokens, base.scores) for base in _bases(report)]
    models += [
        (cell.beside or cell.scale, window_tokens([cell]), cell.outcome.result.after)
        for cell in report.cells
        if isinstance(cell.outcome, Measured)
    ]
    by_length: dict[int, dict[str, Truncation]] = {}
    readers: dict[int, dict[str, None]] = {}
    unlike: set[str] = set()
    unusual = False
    for name, window, scores in models:
        for task, truncation in truncations(scores).items():
            by_length.setdefault(truncation.max_length, {})[task] = truncation
            readers.setdefault(truncation.max_length, {})[name] = None
            unusual |= truncation.truncated > 0 or truncation.max_length != window
            unlike |= {truncation.unlike_file} - {""}
    sentences = []
    for max_length, tasks in sorted(by_length.items() if unusual else ()):
        by = f" by {joined(readers[max_length])}" if len(by_length) > 1 else ""
        sentences.append(f"Tasks are read up to {max_length:,} tokens{by}: {_truncated(tasks)}.")
    sentences += [
        f"Tasks are read in tokens as transformers' {name} makes them, and so lm-eval, which are "
        "others than those that tokenizer.json makes of training and held-out text."
        for name in sorted(unlike)
    ]
    return (*sentences, *_not_counted([scores for _, _, scores in models]))


def _bases(report: SweepReport) -> Sequence[ReportBase]:
    return tuple(bases_with_windows(report).values())


def _truncated(tasks: Mapping[str, Truncation]) -> str:
    parts = [
        f"{t.truncated} of {t.items} of {name}" for name, t in sorted(tasks.items()) if t.truncated
    ]
    if not parts:
        return "no item is longer"
    return f"longer items lost their beginning, {joined(parts)}"


def _not_counted(scores: Sequence[Scores]) -> Iterator[str]:
    """Tasks with data of their own whose scores are from before truncated items were counted."""
    names = {
        name
        for of_model in scores
        for name, task in of_model.tasks.items()
        if isinstance(task.truncation, str) and not is_text_task(plain_task(name))
    }
    if names:
        yield (
            f"Tasks were read up to a training window's length, and nobody counted how many items "
            f"were longer: {joined(sorted(names))}."
        )
