"""How a command ends: one line for what went wrong, and an exit code."""

import os
import sys
import traceback
from collections.abc import Callable
from types import TracebackType

from raydistill.core.errors import RaydistillError
from raydistill.core.redaction import redact
from raydistill.core.signals import STOPPED, TERMINATED, Terminated, raise_on_sigterm


def exit_code_of(command: Callable[[], int]) -> int:
    """What `command` returns; a mistake, or ^C, is told in one line and gives its exit code."""
    raise_on_sigterm()
    try:
        return command()
    except RaydistillError as error:
        return tell(error)
    except KeyboardInterrupt as stop:
        print("stopped: what is done is kept; the same command goes on from there", file=sys.stderr)
        return TERMINATED if isinstance(stop, Terminated) else STOPPED


def tell(error: RaydistillError) -> int:
    """Print a mistake in one line, without secrets; its exit code."""
    told = "".join(traceback.format_exception(error)) if "--debug" in sys.argv else ""
    print(redact(told or f"error: {' '.join(str(error).split())}"), file=sys.stderr)
    return error.exit_code


def tell_uncaught(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """What nobody caught: a mistake in one line, anything else with its traceback."""
    if not isinstance(error, RaydistillError):
        print(redact("".join(traceback.format_exception(kind, error, trace))), file=sys.stderr)
        return
    sys.exit(tell(error))


def print_text(text: str) -> None:
    """Print, also into a pipe that is closed before the end."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


# A sweep is checked where its script makes it, before `main`: told like any other mistake.
sys.excepthook = tell_uncaught
