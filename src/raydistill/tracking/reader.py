"""What a report needs, read back from MLflow: the records that cells and bases carry."""

import difflib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from raydistill.core.errors import DataError, SetupError, UsageError
from raydistill.core.text.redaction import redact
from raydistill.tracking.client import experiments, open_client, search_runs
from raydistill.tracking.destination import sqlite_path
from raydistill.tracking.run_content import RECORD

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_ROLES = ("base", "control", "cell", "taught", "reference", "added")
_FOR_COMPARISON = "tags.role = 'base'", "tags.role = 'control'"


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepRun:
    """A run of a sweep; `record` is empty until it has ended."""

    role: str  # one of `_ROLES`
    sweep: str
    scale: str
    chosen: bool  # by the condition; others are only there to be compared with
    record: str


def read_runs(uri: str, names: Sequence[str], condition: str = "") -> list[SweepRun]:
    """The runs of experiments, the oldest first.

    Bases and controls are read whatever the condition: cells are compared with them.

    Args:
        uri: of the tracking server, or a database.
        names: experiments; none means every sweep's.
        condition: in MLflow's words: `params.location = 'input'`.

    Raises:
        SetupError: if the database or the server cannot be read.
        UsageError: if an experiment is not there, or the condition is not one.
        DataError: if a run that ended carries no record.
    """
    if urlsplit(uri).scheme.startswith("sqlite") and not sqlite_path(uri).exists():
        raise SetupError(f"{sqlite_path(uri)} does not exist: nothing was tracked there")
    client = open_client(uri)
    ids = _experiment_ids(uri, names, client)
    runs_by_id = {str(run.info.run_id): run for run in _search(client, ids, condition)}
    chosen = set(runs_by_id)
    for role in _FOR_COMPARISON if condition else ():
        runs_by_id |= {str(run.info.run_id): run for run in _search(client, ids, role)}
    runs = sorted(runs_by_id.values(), key=lambda run: int(run.info.start_time))
    children = [run for run in runs if run.data.tags.get("role") in _ROLES]
    with tempfile.TemporaryDirectory() as folder:
        return [
            SweepRun(
                role=run.data.tags["role"],
                sweep=run.data.tags["sweep"],
                scale=run.data.tags["scale"],
                chosen=run.info.run_id in chosen,
                record=_record(client, run, Path(folder)),
            )
            for run in children
        ]


def _experiment_ids(uri: str, names: Sequence[str], client: "MlflowClient") -> list[str]:
    known = experiments(uri)
    ids = []
    for name in names:
        experiment = client.get_experiment_by_name(name)
        if experiment is None:
            near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.3)
            hint = f", did you mean {near[0]!r}?" if near else f"; there are {', '.join(known)}"
            raise UsageError(f"{redact(uri)} has no experiment {name!r}{hint}")
        ids.append(experiment.experiment_id)
    return ids if names else list(known.values())


def _search(client: "MlflowClient", ids: Sequence[str], condition: str) -> Iterator["Run"]:
    from mlflow.exceptions import MlflowException  # noqa: PLC0415  (mlflow is slow to import)

    try:
        yield from search_runs(client, ids, condition)
    except MlflowException as error:
        message = str(error).splitlines()[0]
        if error.error_code != "INVALID_PARAMETER_VALUE":
            raise SetupError(f"MLflow cannot be read: {redact(message)}") from error
        raise UsageError(f"--filter {condition!r}: {message}") from error


def _record(client: "MlflowClient", run: "Run", folder: Path) -> str:
    run_id = str(run.info.run_id)
    if RECORD not in [file.path for file in client.list_artifacts(run_id)]:
        if run.info.status in ("FINISHED", "FAILED"):
            raise DataError(
                f"MLflow run {run.info.run_name!r} ({run_id}) has no {RECORD}: it was written by "
                "an older version; the sweep's command, run again, adds it and trains nothing"
            )
        return ""
    target = folder / run_id
    target.mkdir()
    return Path(client.download_artifacts(run_id, RECORD, str(target))).read_text("utf-8")
