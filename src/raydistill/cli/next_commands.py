"""The commands that a sweep prints at its end: each was planned before it is printed."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from raydistill.cli.arguments.given_flags import GivenFlags
from raydistill.core.errors import RaydistillError
from raydistill.core.sweep_files import is_project_sweep
from raydistill.core.text.commands import is_sent
from raydistill.core.text.redaction import printed_command
from raydistill.core.units import exact_tokens
from raydistill.planning.lr_probe import with_probes
from raydistill.planning.plan import SweepPlan
from raydistill.planning.prepared import PreparedSweep
from raydistill.planning.preview.costs import LongError, most_work, plan_work
from raydistill.planning.search_settings import GRID
from raydistill.runners.diagnostics.ports import SUBMIT_VARIABLE

Prepare = Callable[[GivenFlags], PreparedSweep]
Check = Callable[[PreparedSweep], None]


def next_commands(
    given: GivenFlags, plan: SweepPlan, prepare: Prepare, check: Check
) -> Iterator[str]:
    """A line for each command that goes on from here: the flags given, one of them changed.

    Args:
        given: the flags of the sweep that ended.
        plan: what they asked for.
        prepare: plans other flags of the same sweep.
        check: refuses a plan that cannot be run, or is so long that it needs `--yes`.
    """
    for flags, purpose in _changes(given, plan):
        try:
            prepared = prepare(flags)
            with_all = with_probes(prepared)
            if new := len(most_work(prepared.plan, with_all.trials, plan_work(with_all)[1])):
                yield _line(_agreed(flags, prepared, check), f"{purpose}, new trials: {new}")
        except RaydistillError:
            continue  # the model or the text does not allow it
    yield f"{printed_command(_submission(given))}  # the same on a cluster"


def _submission(given: GivenFlags) -> list[str]:
    """The same command as a job, which brings one's own files."""
    own_head = os.environ.get(SUBMIT_VARIABLE)  # where another port than Ray's own is chosen
    options = ["--address", own_head] if own_head else []
    script = Path(given.launcher[-1])
    if is_sent(str(Path.cwd())):
        options += ["--working-dir", "."]
    elif parts := next((words[1] for words in given.flags if words[0] == "--parts"), ""):
        folder = Path(parts)
        if script.parent == folder.parent:  # a sweep beside the folder
            folder = folder.parent
        options += ["--working-dir", str(folder)]
        given = given.changed("--parts", str(Path(parts).relative_to(folder)))
        if script.is_relative_to(folder):
            launcher = (*given.launcher[:-1], str(script.relative_to(folder)))
            given = replace(given, launcher=launcher)
    elif script.suffix == ".py" and script.is_file() and not is_project_sweep(script):
        options += ["--working-dir", str(script.parent)]
        given = replace(given, launcher=(*given.launcher[:-1], script.name))
    return ["ray", "job", "submit", *options, "--", *given.words()]


def _line(flags: GivenFlags, purpose: str) -> str:
    return f"{printed_command(flags.words())}  # {purpose}"


def _agreed(flags: GivenFlags, prepared: PreparedSweep, check: Check) -> GivenFlags:
    """With `--yes` if it takes one."""
    try:
        check(prepared)
    except LongError:
        return flags.changed("--yes")
    return flags


def _changes(given: GivenFlags, plan: SweepPlan) -> Iterator[tuple[GivenFlags, str]]:
    sweep, options, scale = plan.sweep, plan.options, plan.scale
    if options.search != GRID:
        yield given.changed("--trials", str(2 * options.trials)), "twice as many"
    elif len(sweep.axes.get("location", ())) > 1:
        yield given.changed("--location", "all"), "every location"
    if options.search == GRID and scale.budget:  # without training there is no data order
        seeds = sorted({cell.request.seed for cell in plan.cells})
        text = ",".join(map(str, [*seeds, seeds[-1] + 1]))
        yield given.changed("--seed", text), "another data seed"
    if scale.budget:
        yield given.changed("--budget", exact_tokens(2 * scale.budget)), "twice the healing"
    else:
        yield given.without("--budget"), "healed"
