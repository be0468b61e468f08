"""How a command ends: one line for what went wrong, and an exit code."""

import sys
import textwrap
import traceback
from collections.abc import Callable
from types import TracebackType

from raydistill.core.errors import RaydistillError
from raydistill.core.parts import own_errors_named
from raydistill.core.signals import STOPPED, TERMINATED, Terminated, raise_on_sigterm
from raydistill.core.text.redaction import redact

LONGEST_LINE = 2_000  # characters of an error


def exit_code_of(command: Callable[[], int]) -> int:
    """What `command` returns; an error, or ^C, is printed in one line and gives its exit code."""
    raise_on_sigterm()
    try:
        with own_errors_named():
            return command()
    except RaydistillError as error:
        return _print_error(error)
    except KeyboardInterrupt as stop:
        print("stopped: what is done is kept; the same command goes on from there", file=sys.stderr)
        return TERMINATED if isinstance(stop, Terminated) else STOPPED


def _print_error(error: RaydistillError) -> int:
    """Print one line, or with `--debug` the traceback, without secrets; returns the exit code."""
    if "--debug" in sys.argv:
        text = redact("".join(traceback.format_exception(error)))
    else:  # whatever an input holds
        line = redact(f"error: {' '.join(str(error).split())}")
        text = textwrap.shorten(line, LONGEST_LINE, placeholder=" …")
    print(text.encode(errors="backslashreplace").decode(), file=sys.stderr)
    return error.exit_code


def _print_uncaught(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """The excepthook: a user's error in one line, anything else with its traceback."""
    if not isinstance(error, RaydistillError):
        print(redact("".join(traceback.format_exception(kind, error, trace))), file=sys.stderr)
        return
    sys.exit(_print_error(error))


# A sweep is checked where its script makes it, before `main` could catch what is wrong with it.
sys.excepthook = _print_uncaught
