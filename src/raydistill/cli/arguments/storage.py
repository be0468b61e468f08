"""Which scale, storage and MLflow server the flags or the environment name."""

import argparse
import os
import stat
from pathlib import Path

from raydistill.cli.arguments.parser import flag
from raydistill.core.errors import SetupError
from raydistill.core.paths import resolve_path
from raydistill.storage.urls import DEFAULT_STORAGE, copy_of, is_url

SCALE_VARIABLE, STORAGE_VARIABLE = "RAYDISTILL_SCALE", "RAYDISTILL_STORAGE"
TRACKING_VARIABLE = "MLFLOW_TRACKING_URI"

STORAGE = flag(
    "--storage", help=f"a folder, s3://… or gs://… (${STORAGE_VARIABLE} or {DEFAULT_STORAGE})"
)
TRACKING = flag("--tracking-uri", help="an MLflow server (sqlite in the storage)")


def scale_named(flags: argparse.Namespace, default: str) -> tuple[str, str]:
    """The name of the scale, and why it is that one; both empty of a `--model` without one.

    `default` is the sweep's. A job of `ray job submit` has the environment of its cluster's head,
    not the submitter's.
    """
    if flags.scale:
        return flags.scale, "by --scale"
    if name := os.environ.get(SCALE_VARIABLE):
        return name, f"by ${SCALE_VARIABLE} where this runs"
    return (
        ("", "") if flags.model or flags.models else (default, "by default, --scale names another")
    )


def storage_of(flags: argparse.Namespace) -> Path:
    """The storage's folder; of one in an object store, that of its local copy.

    Raises:
        UsageError: if it is a URL of another kind.
        SetupError: if no folder can be there.
    """
    given = flags.storage or os.environ.get(STORAGE_VARIABLE) or DEFAULT_STORAGE
    if is_url(given):
        return copy_of(given)
    folder = resolve_path(given)
    try:
        is_folder = stat.S_ISDIR(folder.stat().st_mode)
    except FileNotFoundError:
        return folder
    except OSError as error:
        raise SetupError(f"the storage {folder} cannot be used: {error.strerror}") from error
    if not is_folder:
        raise SetupError(f"the storage {folder} is a file: name a folder")
    return folder


def tracking_uri_of(flags: argparse.Namespace, storage: Path) -> str:
    """The URI of the MLflow server, else of the storage's own database."""
    given = flags.tracking_uri or os.environ.get(TRACKING_VARIABLE)
    return given or f"sqlite:///{storage}/mlflow.db"
