"""A console that never stops a sweep: a closed pipe or a poor encoding loses only its text."""

import io
import os
import sys
from typing import TextIO

from rich.console import Console


class PatientConsole(Console):
    """A rich console whose reader may go away."""

    def on_broken_pipe(self) -> None:
        """Fall silent; rich's own answer is to end the program."""
        self.quiet = True
        if self.file is sys.stdout:  # or Python complains when it flushes at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def open_console(file: TextIO | None = None) -> PatientConsole:
    """A console on `file`, standard output by default; NO_COLOR and COLUMNS are respected.

    What the file's encoding cannot say is printed as `?` instead of raising.
    """
    target = sys.stdout if file is None else file
    if isinstance(target, io.TextIOWrapper):
        target.reconfigure(errors="replace")
    return PatientConsole(file=file, highlight=False, markup=False, emoji=False)
