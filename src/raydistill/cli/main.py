"""`main(sweep)`: from the command line of a sweep's script to a plan, shown or run."""

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import NoReturn

from raydistill.cli.arguments.given_flags import GivenFlags, given_flags
from raydistill.cli.arguments.own_parts import use_parts
from raydistill.cli.arguments.storage import storage_of
from raydistill.cli.arguments.sweep_flags import check_recipes, plan_of
from raydistill.cli.arguments.sweep_parser import sweep_parser
from raydistill.cli.exit import exit_code_of
from raydistill.cli.next_commands import next_commands
from raydistill.core.sweep_files import check_sweep_name
from raydistill.core.text.lines import line_width
from raydistill.core.text.redaction import redact
from raydistill.data.corpus.preparation import check_corpus
from raydistill.data.corpus.request import corpus_request
from raydistill.evaluation.lm_harness.task_data import missing_task_data
from raydistill.planning.artifacts import texts_read
from raydistill.planning.lr_probe import with_probes
from raydistill.planning.memory.fitting import check_fits
from raydistill.planning.memory.kinds import kinds_of
from raydistill.planning.memory.limits import limit_of
from raydistill.planning.prepared import PreparedSweep, prepare
from raydistill.planning.preview.costs import LongError, check_cost, most_work, plan_work, rates_of
from raydistill.planning.preview.dry_run import describe
from raydistill.planning.sweep import Sweep
from raydistill.planning.task_filter import without_guessing
from raydistill.storage.object_store import download
from raydistill.storage.store import Store


def main(sweep: Sweep) -> NoReturn:
    """Run a sweep as the command line says, and exit."""
    file = Path(sys.argv[0]).absolute()

    def run_file() -> int:
        check_sweep_name(sweep.name, file)
        return run_sweep(sweep, ("python", str(file)), sys.argv[1:])

    sys.exit(exit_code_of(run_file))


def run_sweep(sweep: Sweep, launcher: Sequence[str], argv: Sequence[str]) -> int:
    """Show or run what the flags of a sweep ask for; returns the exit code.

    Args:
        sweep: the question.
        launcher: the words that started it, for commands that are printed.
        argv: its flags.

    Raises:
        RaydistillError: if it cannot be done.
    """
    use_parts(argv)
    parser = sweep_parser(sweep, shlex.join(launcher))
    flags = parser.read(argv)
    given = given_flags(parser, launcher, argv)
    with nullcontext() if flags.dry_run else _progress_shown():
        download(storage_of(flags))
        prepared = _prepare(sweep, flags, given.text())
    if flags.probe:
        from raydistill.driver.run import probe  # noqa: PLC0415  (Ray)

        probe(prepared)
    if flags.dry_run:
        _print_plan(prepared)
        if flags.device:  # else it may be a plan for elsewhere
            _check_memory(with_probes(prepared))
        return 0
    try:
        _check(prepared, agreed=flags.yes)
    except LongError:
        _print_plan(prepared, end="\n\n")
        raise
    if missing := missing_task_data(prepared.plan.scale.evaluation):
        from raydistill.evaluation.lm_harness.download import download_task_data  # noqa: PLC0415  (datasets)

        download_task_data(missing, prepared.store)
        prepared = _prepare(sweep, flags, given.text())
    _print_plan(prepared, end="\n\n")
    from raydistill.driver.run import run  # noqa: PLC0415  (rich, matplotlib, mlflow)

    def prepare_other(other: GivenFlags) -> PreparedSweep:
        return _prepare(sweep, parser.read(other.argv()), other.text())

    def check(other: PreparedSweep) -> None:
        _check(other, agreed=False)

    return run(prepared.plan, next_commands(given, prepared.plan, prepare_other, check))


def _progress_shown() -> AbstractContextManager[None]:
    from raydistill.reports.console.console import open_console, progress_shown  # noqa: PLC0415  (rich)

    return progress_shown(open_console(sys.stderr))


def _prepare(sweep: Sweep, flags: argparse.Namespace, command: str) -> PreparedSweep:
    plan = plan_of(sweep, flags, command)
    store = Store(plan.options.storage)
    return prepare(without_guessing(plan, flags.tasks, store), store)


def _print_plan(prepared: PreparedSweep, end: str = "\n") -> None:
    """Print every trial and what all will cost, also into a pipe that closes before the end."""
    text = redact(describe(prepared, width=line_width()))
    try:
        print(text, end=end, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _check_memory(prepared: PreparedSweep) -> None:
    limit = limit_of(prepared.plan.options.assumed)
    check_fits(kinds_of(prepared, limit), limit)


def _check(prepared: PreparedSweep, *, agreed: bool) -> None:
    """Refuse what cannot be planned, and, unless `agreed`, what is long or of unknown length."""
    plan, store, with_rates = prepared.plan, prepared.store, with_probes(prepared)
    check_recipes(with_rates.plan.cells)
    if not agreed:
        bases, work = plan_work(with_rates)
        rates = rates_of(with_rates.trials, store, probed=plan.options.probe)
        check_cost([*bases, *most_work(plan, with_rates.trials, work)], rates, plan.scale)
    _check_memory(with_rates)
    for scale, *_ in texts_read(plan.scale, plan.cells):
        if not store.has("corpora", prepared.artifacts.corpus_of(scale).corpus_sha256):
            check_corpus(corpus_request(scale))
