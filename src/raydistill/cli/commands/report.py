"""`raydistill report`, `show`, `diff` and `best`: tables of what a storage or MLflow holds."""

import argparse
import re
from collections.abc import Sequence

from raydistill.core.errors import UsageError, unknown
from raydistill.driver.from_mlflow import from_mlflow
from raydistill.reports.console.console import PipeSafeConsole, open_console
from raydistill.reports.formats import all_formats as formats
from raydistill.reports.formats.csv import to_csv
from raydistill.reports.formats.terminal import (
    print_pairs,
    print_section,
    print_table,
    print_text,
)
from raydistill.reports.results.cells import SweepReport
from raydistill.reports.results.comparison import failure_reason
from raydistill.reports.sources.from_store import from_store
from raydistill.reports.sweep_report import ReportContent, report_content
from raydistill.reports.tables.custom import CustomTable, TableRequest, custom_tables
from raydistill.reports.tables.table import build_table
from raydistill.reports.trials import best_rows, differences, find_trial, trial_section
from raydistill.specs.results import TrialFailure
from raydistill.storage.manifest import write_text
from raydistill.storage.output_folder import check_output, output_folder, write_errors
from raydistill.storage.store import Store

PRINTED = ("terminal", *formats.FORMATS)


def report(store: Store, flags: argparse.Namespace) -> int:
    """Print the report of some sweeps, and write it in every format.

    Raises:
        RaydistillError: if there is nothing to report on, or a flag's value is not allowed.
    """
    if flags.format not in PRINTED:
        raise UsageError(unknown("--format", flags.format, PRINTED))
    to, others = flags.to or store.path("report"), {"the storage": store.root}
    folder = check_output(to, others)
    reports = _read(store, flags)
    ask = _ask(flags)
    free = custom_tables(reports, ask) if ask else []
    chapters = [report_content(sweep) for sweep in reports]
    console = open_console()
    if flags.format == "terminal":
        _print(chapters, free, console)
    else:
        print(_as_text(chapters, free, flags.format).rstrip("\n"))
    with output_folder(to, overwrite=True, apart_from=others) as draft, write_errors(draft):
        for name, text in formats.texts(chapters, free).items():
            write_text(draft / name, text)
        for part in chapters:
            name = f"{part.report.sweep}-{part.report.scale}".replace(" ", "-").replace(",", "")
            formats.figures(part, draft / name)
    if flags.format == "terminal":
        console.print(f"\nPage, tables and figures: {folder / 'report.html'}", soft_wrap=True)
    return 0


def _read(store: Store, flags: argparse.Namespace) -> list[SweepReport]:
    if (flags.experiment or flags.filter) and not flags.source:
        raise UsageError("--experiment and --filter go with --from URI, an MLflow server")
    if flags.source:
        names, condition = flags.experiment or (), flags.filter or ""
        reports = from_mlflow(flags.source, store, flags.sweep, names, condition)
    else:
        reports = _stored(store, flags.sweep)
    scales = sorted({report.scale for report in reports})
    if flags.scale and flags.scale not in scales:
        raise UsageError(unknown("scale", flags.scale, scales))
    return [report for report in reports if not flags.scale or report.scale == flags.scale]


def _stored(store: Store, names: Sequence[str] = ()) -> list[SweepReport]:
    reports = from_store(store, names)
    if not reports:
        raise UsageError(f"no sweep was run in {store.root}: nothing to report on")
    return reports


def _ask(flags: argparse.Namespace) -> TableRequest | None:
    """The table that the flags describe, if any."""
    if not any((flags.rows, flags.cols, flags.metric, flags.seeds, flags.where)):
        return None
    if not (flags.rows and flags.cols):
        raise UsageError("a table needs both --rows and --cols, such as --rows location --cols age")
    fields = [name for name, _ in flags.where]
    if repeated := [name for name in fields if fields.count(name) > 1]:
        raise UsageError(f"--where {repeated[0]} is given twice: give one value")
    return TableRequest(
        rows=flags.rows,
        cols=flags.cols,
        metric=flags.metric or "delta_nll",
        seeds=flags.seeds or "mean±ci",
        where=dict(flags.where),
    )


def _print(
    chapters: Sequence[ReportContent], free: Sequence[CustomTable], console: PipeSafeConsole
) -> None:
    for table in free:
        print_section(table.grid, console)
        print_text(table.caption, console)
    for part in () if free else chapters:
        print_table(part.table, console)
        for section in part.paper_tables:
            print_section(section, console)
        console.print()


def _as_text(chapters: Sequence[ReportContent], free: Sequence[CustomTable], form: str) -> str:
    if free:
        return formats.custom_tables_text(free, form)
    if form == "csv":
        return to_csv(chapters)
    return (formats.as_latex if form == "latex" else formats.as_markdown)(chapters)


def show(store: Store, flags: argparse.Namespace) -> int:
    """Print the request, the run and the scores of a trial.

    Raises:
        UsageError: if no trial's id, or that of several, begins so.
    """
    console = open_console()
    try:
        cells = find_trial(_stored(store), flags.trial)
    except UsageError:
        failures = _kept_failures(store, flags.trial)
        if len(failures) != 1:
            raise
        _print_failure(failures[0], console)
        return 0
    print_pairs(trial_section(cells), console)
    console.print(f"{'kept in':19}{store.path('trials', cells[0].trial_id)}", soft_wrap=True)
    outcome = cells[0].cell.outcome
    if isinstance(outcome, TrialFailure) and outcome.traceback:
        console.print(f"\n{outcome.traceback.rstrip()}", soft_wrap=True, markup=False)
    return 0


def _kept_failures(store: Store, beginning: str) -> list[TrialFailure]:
    """The failures of trials whose id begins so; of some the code was edited since."""
    if not re.fullmatch("[0-9a-f]+", beginning):
        return []
    folders = sorted(store.path("trials").glob(f"{beginning}*"))
    kept = (store.load(TrialFailure, "trials", folder.name, "failure.json") for folder in folders)
    return [failure for failure in kept if failure is not None]


def _print_failure(failure: TrialFailure, console: PipeSafeConsole) -> None:
    console.print(
        f"trial {failure.trial_id} {failure_reason(failure)}\n"
        "No sweep asks for it now, as where a loss, a score or a family was edited since.\n"
        f"\n{failure.traceback.rstrip()}",
        soft_wrap=True,
        markup=False,
    )


def diff(store: Store, flags: argparse.Namespace) -> int:
    """Print where two trials differ.

    Raises:
        UsageError: if no trial's id, or that of several, begins so.
    """
    reports = _stored(store)
    one, other = (find_trial(reports, beginning)[0] for beginning in (flags.one, flags.other))
    print_section(differences(one, other), open_console())
    return 0


def best(store: Store, flags: argparse.Namespace) -> int:
    """Print, for every block of every sweep's table, what cannot be told from the best.

    Raises:
        UsageError: if a sweep was never run here.
    """
    console = open_console()
    for sweep in _stored(store, flags.sweep):
        table = build_table(sweep)
        print_text(f"\n{table.title}", console, style="bold")
        for warning in table.warnings:
            print_text(warning, console, style="yellow")
        for section in best_rows(sweep, table):
            print_section(section, console)
    return 0
