"""`raydistill sweep`: one of the project's sweeps by its name, or one's own by its file."""

import argparse
import os
import re
import runpy
import sys
from pathlib import Path

from raydistill.cli.main import run_sweep
from raydistill.core.errors import UsageError, error_in, unknown
from raydistill.core.paths import resolve_path
from raydistill.core.sweep_files import check_sweep_name, sweep_files
from raydistill.planning.sweep import Sweep


def sweep(flags: argparse.Namespace) -> int:
    """Run the sweep that is named with its flags; without a name, print the names there are.

    Raises:
        RaydistillError: if there is no such sweep, its file is wrong, or it cannot be done.
    """
    if flags.sweep is None:
        _print_names()
        return 0
    file, words = _file_of(flags.sweep), [*flags.words, *(["--debug"] if flags.debug else [])]
    launcher = ("raydistill", "sweep", str(file) if _is_file_name(flags.sweep) else flags.sweep)
    sys.path.insert(0, str(file.parent))  # as for a script: what lies beside it is found
    sys.argv = [str(file), *words]
    return run_sweep(load_sweep(file), launcher, words)


def load_sweep(file: Path) -> Sweep:
    """The sweep that a file defines.

    Raises:
        UsageError: if its code fails or defines none, or its name is taken; the line says where.
    """
    try:
        value = runpy.run_path(str(file), run_name="raydistill_sweep_file").get("sweep")
    except (Exception, SystemExit) as error:
        raise error_in(str(file), error) from error
    if isinstance(value, Sweep):
        check_sweep_name(value.name, file)
        return value
    lines = file.read_text("utf-8").splitlines()
    line = max((i for i, text in enumerate(lines, 1) if re.match(r"sweep\b", text)), default=1)
    kind = "there is no `sweep`" if value is None else f"`sweep` is a {type(value).__name__}"
    raise UsageError(
        f"{file}:{line}: {kind}, but it is to be Sweep(name=..., question=..., axes=..., "
        "trial=...), with Sweep from raydistill.api"
    )


def _print_names() -> None:
    files = sweep_files()
    width = max(map(len, files))
    for name, file in files.items():
        print(f"{name:{width}}  {load_sweep(file).question}")
    print("\nFlags of one: raydistill sweep where_to_drop --help")
    print("Your own: raydistill sweep FILE.py")


def _is_file_name(text: str) -> bool:
    return text.endswith(".py") or os.sep in text


def _file_of(text: str) -> Path:
    if not _is_file_name(text):
        files = sweep_files()
        name = text.replace("-", "_")
        if name not in files:
            raise UsageError(f"{unknown('sweep', text, files)}, or a file of yours: ./{text}.py")
        return files[name]
    file = resolve_path(text).absolute()
    if not file.is_file():
        raise UsageError(f"{text!r} is no file here: a sweep of your own is named by its file")
    return file
