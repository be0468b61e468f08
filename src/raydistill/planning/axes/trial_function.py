"""The trial function of a sweep, and the file and line of what is wrong with its requests."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from raydistill.core.errors import RaydistillError, UsageError, error_in
from raydistill.core.parts import own_folder
from raydistill.core.sweep_files import is_project_sweep
from raydistill.planning.cell import Value, format_value
from raydistill.specs.locations import NONE, check_count, check_location, is_list
from raydistill.specs.recipe import check_recipe
from raydistill.specs.scale import Scale, is_scale, no_scale
from raydistill.specs.trial import TrialRequest

TrialFunction = Callable[..., TrialRequest | None]


def place_of(trial: TrialFunction) -> tuple[str, int]:
    """The file and the first line of a trial function."""
    code = getattr(trial, "__code__", None)
    return (code.co_filename, code.co_firstlineno) if code else ("trial", 0)


def is_own(trial: TrialFunction) -> bool:
    """Whether a trial function is in a file of one's own."""
    return not is_project_sweep(Path(place_of(trial)[0]))


def requested(
    trial: TrialFunction, sweep: str, scale: Scale, values: Mapping[str, Value]
) -> TrialRequest | None:
    """What the trial function of a sweep requests; its mistakes are named by their line.

    Raises:
        UsageError: if it fails, or returns something else.
    """
    file, line = place_of(trial)
    try:
        request: object = trial(scale, **values)
    except RaydistillError:
        raise
    except Exception as error:
        raise error_in(file, error, f" ({_cell(sweep, values)})") from error
    if request is None or isinstance(request, TrialRequest):
        return request
    raise UsageError(
        f"{file}:{line}: the trial function of sweep {sweep!r} returned {request!r} at "
        f"{_point(values)}: it is to return a TrialRequest, as scale.trial(...) does, or None"
    )


@contextmanager
def requests_named(
    trial: TrialFunction, sweep: str, values: Mapping[str, Value], by_file: Callable[[], bool]
) -> Iterator[None]:
    """Within the block, a request of one's own that is not allowed is named by file, line and cell.

    Args:
        trial: whose request.
        sweep: its name.
        values: of the sweep's own axes.
        by_file: whether all that it decides on is in its file, nothing of it in a flag.

    Raises:
        UsageError: for any.
    """
    file, line = place_of(trial)
    try:
        yield
    except UsageError as error:
        if not is_own(trial) or not by_file() or str(error).startswith(f"{file}:"):
            raise
        frame = error.__traceback__
        while frame is not None:
            if frame.tb_frame.f_code.co_filename == file:
                line = frame.tb_lineno
            frame = frame.tb_next
        raise UsageError(f"{file}:{line}: {error} ({_cell(sweep, values)})") from error


def no_cell(sweep: str, trial: TrialFunction) -> str:
    """What is wrong where the trial function of a sweep requests nothing at any cell."""
    if not is_own(trial):
        return f"{sweep} has no cell with these flags: name other values"
    file, line = place_of(trial)
    return (
        f"{file}:{line}: the trial function of sweep {sweep!r} returned None for every cell: it is "
        "to return what scale.trial(...) gives where there is one, or name other values"
    )


def check_request(request: TrialRequest, scale: Scale) -> None:
    """Refuse a request that is refused when it is resolved.

    Raises:
        UsageError: naming the field, its value and what is allowed.
    """
    scale.age_tokens(request.age)
    check_location(request.location)
    if request.location != NONE and not is_list(request.location):
        check_count(
            request.count,
            scale.model.num_layers,
            location=request.location,
            allow_ends=request.allow_ends,
        )
    recipe = scale.recipe(request)
    if recipe.total_tokens:
        check_recipe(recipe, context=scale.model.context)


def check_scale(name: str, sweep: str, *, is_made: bool = False) -> None:
    """Refuse a scale of a sweep's `at` that there is none of.

    Where a script makes its sweep (`is_made`), `--parts` with one's own has yet to be read.

    Raises:
        UsageError: naming the scales there are, and where one's own come from.
    """
    is_early = not own_folder() and any(word.startswith("--parts") for word in sys.argv)
    if not is_scale(name) and not (is_made and is_early):
        raise UsageError(f"sweep {sweep!r}: at: {no_scale(name)}")


def _cell(sweep: str, values: Mapping[str, Value]) -> str:
    return f"sweep {sweep!r} at {_point(values)}"


def _point(values: Mapping[str, Value]) -> str:
    return ", ".join(f"{name}={format_value(name, value)}" for name, value in values.items())
