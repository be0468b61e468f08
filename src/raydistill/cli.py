"""The commands: `main(sweep)` for a sweep's script, `raydistill` for everything else.

Every sweep takes the same flags, written once, here.
"""

import argparse
import difflib
import os
import re
import shlex
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import NoReturn

from raydistill import __version__
from raydistill.above_chance import without_guessing
from raydistill.brought import RECIPES
from raydistill.console import COMMANDS, TRACKING, Command
from raydistill.corpus import check_corpus, wanted_by
from raydistill.costs import LongError, check_cost, most_of, plan_work, rates_of
from raydistill.dry_run import describe
from raydistill.errors import RaydistillError, UsageError, unknown
from raydistill.evaluate.task_data import not_here
from raydistill.flags import SCALE_VARIABLE, STORAGE_VARIABLE, check_recipes, plan_of, storage_of
from raydistill.interrupts import STOPPED, TERMINATED, Terminated, raise_on_sigterm
from raydistill.jobs import CACHE_GB, CHECKPOINT_EVERY_S
from raydistill.peaks import with_probes
from raydistill.placement import AUTO, PLACEMENTS
from raydistill.plan import ORDERS
from raydistill.prepared import PreparedSweep, prepare
from raydistill.redact import redact
from raydistill.remote import bring, everything, send, small
from raydistill.scales import scale_names
from raydistill.search import OBJECTIVES, SEARCHES
from raydistill.store import Store
from raydistill.sweep import FIELDS, Sweep
from raydistill.text_flags import add_text_flags
from raydistill.units import parse_tokens
from raydistill.values import assignment, device_range, number, whole

EXITS = (
    "exit codes: 0 done, 1 trials failed, 2 usage, 3 data or checkpoint, 4 environment, "
    f"{STOPPED} stopped by ^C, {TERMINATED} by SIGTERM"
)
STORAGE_HELP = f"a folder, s3://… or gs://… (${STORAGE_VARIABLE} or ~/.raydistill)"


class Parser(argparse.ArgumentParser):
    """argparse that tells a mistake in one line, with the nearest flag."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; --help lists the flags")

    def read(self, argv: Sequence[str]) -> argparse.Namespace:
        """The flags in `argv`.

        Raises:
            UsageError: if one is unknown, or lacks its value.
        """
        flags, rest = self.parse_known_args(_bound(argv))
        if rest:
            given = rest[0].partition("=")[0]
            near = difflib.get_close_matches(given, list(self._options(argv)), n=1)
            hint = f", did you mean {near[0]}?" if near else ""
            self.error(f"unknown flag or argument {given!r}{hint}")
        return flags

    def _options(self, argv: Sequence[str]) -> Iterator[str]:
        """Its flags, and those of the commands that `argv` names."""
        yield from self._option_string_actions
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                for name in action.choices.keys() & set(argv):
                    yield from action.choices[name]._options(argv)


def _bound(argv: Sequence[str]) -> list[str]:
    """`--gap -1B` as `--gap=-1B`: what begins with a minus and a digit is a value, not a flag."""
    words: list[str] = []
    for word in argv:
        if words and re.fullmatch(r"--[^=]+", words[-1]) and re.match(r"-\d", word):
            words[-1] += f"={word}"
        else:
            words.append(word)
    return words


def main(sweep: Sweep) -> NoReturn:
    """Run a sweep as the command line says, and exit."""
    sys.exit(_told(lambda: run_sweep(sweep, sys.argv[1:])))


def raydistill() -> NoReturn:
    """The console command. Sweeps are scripts of their own."""
    sys.exit(_told(lambda: _console(sys.argv[1:])))


def run_sweep(sweep: Sweep, argv: Sequence[str]) -> int:
    """Plan a sweep, then show it or run it; returns the exit code.

    Raises:
        RaydistillError: if the plan cannot be run.
    """
    flags = sweep_parser(sweep).read(argv)
    bring(storage_of(flags))
    prepared = _prepared(sweep, flags)
    if flags.probe:
        from raydistill.conduct import probe  # noqa: PLC0415  (Ray)

        probe(prepared)
    if flags.dry_run:
        _show(_described(prepared))
        return 0
    try:
        check_plan(prepared, agreed=flags.yes)
    except LongError:
        _show(_described(prepared) + "\n")
        raise
    if missing := not_here(prepared.plan.scale.evaluation):
        from raydistill.evaluate.hub import fetch  # noqa: PLC0415  (datasets)

        fetch(missing, prepared.store)
        prepared = _prepared(sweep, flags)
    _show(_described(prepared) + "\n")
    from raydistill.conduct import run  # noqa: PLC0415  (rich, matplotlib, mlflow)

    return run(prepared.plan)


def _prepared(sweep: Sweep, flags: argparse.Namespace) -> PreparedSweep:
    plan = plan_of(sweep, flags, shlex.join(["python", *sys.argv]))
    store = Store(plan.options.storage)
    return prepare(without_guessing(plan, flags.tasks, store), store)


def _described(prepared: PreparedSweep) -> str:
    return describe(prepared, width=shutil.get_terminal_size((100, 24)).columns)


def check_plan(prepared: PreparedSweep, *, agreed: bool) -> None:
    """Refuse what cannot be planned, and, unless `agreed`, what is long or of unknown length.

    Raises:
        UsageError: naming what is wrong, or asking for `--yes` (`LongError`).
        DataError: if the text to train on is not here.
    """
    plan, store, every = prepared.plan, prepared.store, with_probes(prepared)
    check_recipes(every.plan.cells)
    if not agreed:
        bases, work = plan_work(every)
        rates = rates_of(every.trials, store, probed=plan.options.probe)
        check_cost([*bases, *most_of(plan, work)], rates, plan.scale)
    if not store.has("corpora", prepared.artifacts.corpus.corpus_sha256):
        check_corpus(wanted_by(plan.scale))


def sweep_parser(sweep: Sweep) -> Parser:
    """The flags that every sweep takes."""
    axes = ", ".join(sweep.axes)
    parser = Parser(description=sweep.question, epilog=f"axes: {axes}; {EXITS}", allow_abbrev=False)
    cells = parser.add_argument_group(
        "which cells (values with commas; of an axis: instead of its own)"
    )
    cells.add_argument(
        "--location", action="append", help="input,middle or 1,2,5-8 or random-0-63 or all"
    )
    cells.add_argument("--count", action="append", help="how many layers leave")
    cells.add_argument("--gap", action="append", help="the paper's tokens between two removals, 1B")
    cells.add_argument(
        "--age",
        action="append",
        help="tokens the base has seen, the paper's: 80B; or revisions",
    )
    cells.add_argument(
        "--loss", action="append", help="a file in losses/, with settings: kd+temperature=2"
    )
    cells.add_argument("--seed", action="append", help="of the data order, from 1 on; 1,2,3")
    for axis in [axis for axis in sweep.axes if axis not in FIELDS]:
        name = f"--{axis}"
        cells.add_argument(name, f"{name}s", action="append", help="an axis of this sweep, or all")
    cells.add_argument(
        "--reference",
        action="append",
        help="models beside them, evaluated only: SCALE[@AGE], a folder, an id of the hub",
    )
    cells.add_argument(
        "--search", help=f"{', '.join(SEARCHES)} over the cells ({sweep.searching.name})"
    )
    cells.add_argument(
        "--trials",
        type=whole("--trials"),
        help="how many cells a search takes, or a funnel to the end",
    )
    cells.add_argument("--objective", help=f"of tpe, one or several: {', '.join(OBJECTIVES)}")
    how = parser.add_argument_group("how each is trained")
    how.add_argument("--scale", help=f"{', '.join(scale_names())} (${SCALE_VARIABLE} or laptop)")
    how.add_argument("--model", help="your own: a folder of the Hugging Face kind, or a hub id")
    how.add_argument(
        "--seq-len",
        type=whole("--seq-len"),
        help="tokens in a window (a --model's own, at most 4096)",
    )
    add_text_flags(how)
    how.add_argument(
        "--budget",
        type=parse_tokens,
        help="tokens after the first removal, the paper's or a --model's",
    )
    how.add_argument("--order", default=ORDERS[0], help=f"of removal: {', '.join(ORDERS)}")
    how.add_argument("--allow-ends", action="store_true", help="first and last layer may leave")
    how.add_argument(
        "--teacher", help="of a loss with one: own (the trial's base), an age, or SCALE@AGE"
    )
    how.add_argument(
        "--lr-probe",
        action=argparse.BooleanOptionalAction,
        help="each arm at the best of three peaks, tried first (of a --model: yes)",
    )
    how.add_argument("--recipe", help=f"of a --model: {', '.join(RECIPES)}")
    how.add_argument(
        "--set",
        action="append",
        type=assignment("--set", "lr=1e-5"),
        default=[],
        metavar="lr=1e-5",
        help="of the recipe",
    )
    _measuring_flags(parser)
    _running_flags(parser)
    return parser


def _running_flags(parser: Parser) -> None:
    where = parser.add_argument_group("where and whether it runs")
    where.add_argument("--storage", help=STORAGE_HELP)
    TRACKING(where)
    where.add_argument(
        "--teacher-placement", default=AUTO, help=f"{', '.join(PLACEMENTS)}[:FORM=SIZE]"
    )
    where.add_argument(
        "--cache-gb",
        type=number("--cache-gb", "a number above 0, of gigabytes in the storage", positive=True),
        default=CACHE_GB,
        help="that cached teachers may take in the storage",
    )
    where.add_argument(
        "--checkpoint-every",
        type=number("--checkpoint-every", "seconds, from 0 (after every step) on", positive=False),
        default=CHECKPOINT_EVERY_S,
        help="seconds",
    )
    where.add_argument(
        "--devices-per-trial", type=device_range, help="that train one trial: 2; elastic: 1-2"
    )
    where.add_argument(
        "--concurrent",
        type=whole("--concurrent"),
        help="trials at once (what the cluster can hold)",
    )
    where.add_argument("--dry-run", action="store_true", help="show every trial, run none")
    where.add_argument(
        "--probe", action="store_true", help="first measure for a few seconds what it will take"
    )
    where.add_argument(
        "--price-per-hour",
        type=number(
            "--price-per-hour", "what one device costs, a number such as 2.50", positive=False
        ),
        help="of one device, in any currency: 2.50",
    )
    where.add_argument("--yes", action="store_true", help="run although it is long or unknown")
    where.add_argument("--debug", action="store_true", help="show a traceback with an error")


def _measuring_flags(parser: Parser) -> None:
    what = parser.add_argument_group("what is measured")
    what.add_argument("--tasks", help="instead of the scale's: piqa,copa or paper13 or of lm-eval")
    what.add_argument("--task-data", help="a folder with a <task>.jsonl each (the hub)")
    what.add_argument(
        "--num-fewshot",
        type=whole("--num-fewshot", lowest=0),
        help="examples before every item (as the task says)",
    )


def _console(argv: Sequence[str]) -> int:
    parser = Parser(
        prog="raydistill",
        description="Which layers to take out of a language model, how many, when, at what age.",
        epilog=f"A sweep is a script of its own: python sweeps/where_to_drop.py --help; {EXITS}",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"raydistill {__version__}")
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(title="commands")
    for command in COMMANDS:
        _add_command(commands, command)
    if argv and not argv[0].startswith("-") and argv[0] not in commands.choices:
        raise UsageError(unknown("command", argv[0], commands.choices))
    flags = parser.read(argv)
    if flags.command is None:
        parser.print_help()
        return 0
    store = Store(storage_of(flags))
    bring(store.root, everything if flags.command.weights else small)
    code: int = flags.command.run(store, flags)
    send(store.root)
    return code


def _add_command(commands: "argparse._SubParsersAction[Parser]", command: Command) -> None:
    first, *rest = command.name.split()
    parser = commands.add_parser(first, help=command.help)
    for word in rest:
        parser = parser.add_subparsers(required=True, metavar=word).add_parser(word)
    parser.set_defaults(command=command, storage=None)
    for add_flags in command.flags:
        add_flags(parser)
    if command.storage:
        parser.add_argument("--storage", help=STORAGE_HELP)
    parser.add_argument("--debug", action="store_true", help="show a traceback with an error")


def _told(command: Callable[[], int]) -> int:
    """What `command` returns; a mistake, or ^C, is told in one line and gives its exit code."""
    raise_on_sigterm()
    try:
        return command()
    except RaydistillError as error:
        return _tell(error)
    except KeyboardInterrupt as stop:
        print("stopped: what is done is kept; the same command goes on from there", file=sys.stderr)
        return TERMINATED if isinstance(stop, Terminated) else STOPPED


def _tell(error: RaydistillError) -> int:
    told = "".join(traceback.format_exception(error)) if "--debug" in sys.argv else ""
    print(redact(told or f"error: {' '.join(str(error).split())}"), file=sys.stderr)
    return error.exit_code


def _tell_uncaught(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if not isinstance(error, RaydistillError):
        print(redact("".join(traceback.format_exception(kind, error, trace))), file=sys.stderr)
        return
    sys.exit(_tell(error))


def _show(text: str) -> None:
    """Print, also into a pipe that is closed before the end."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


# A sweep is checked where its script makes it, before `main`: told like any other mistake.
sys.excepthook = _tell_uncaught
