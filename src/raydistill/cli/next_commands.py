"""The commands that a sweep prints at its end: each was planned before it is printed."""

import os
from collections.abc import Callable, Iterator

from raydistill.cli.arguments.given_flags import GivenFlags
from raydistill.core.errors import RaydistillError
from raydistill.core.redaction import printed_command
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
    own_head = os.environ.get(SUBMIT_VARIABLE)  # where another port than Ray's own is chosen
    address = ["--address", own_head] if own_head else []
    command = printed_command(["ray", "job", "submit", *address, "--", *given.words()])
    yield f"{command}  # the same on a cluster"


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
