"""Flags that several commands have."""

import argparse
from collections.abc import Callable
from typing import Any

from raydistill.cli.arguments.storage import STORAGE_VARIABLE

AddFlags = Callable[[argparse._ActionsContainer], object]


def flag(*names: str, **settings: Any) -> AddFlags:
    """What adds a flag, or an argument, to a parser."""
    return lambda parser: parser.add_argument(*names, **settings)


STORAGE = flag(
    "--storage", help=f"a folder, s3://… or gs://… (${STORAGE_VARIABLE} or ~/.raydistill)"
)

TRACKING = flag("--tracking-uri", help="an MLflow server (sqlite in the storage)")
