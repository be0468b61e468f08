"""The MLflow client, opened so that a server that is down is noticed in seconds."""

import logging
import os
import sqlite3
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from raydistill.core.errors import SetupError
from raydistill.core.text.redaction import printed_command
from raydistill.storage.store import Store
from raydistill.tracking.destination import pass_by_proxies, sqlite_path

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run

_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # the next sync is the retry, and it looks first
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
_CLASSIC_PAGE = {"mlflow.experimentKind": "custom_model_development"}


def open_client(uri: str) -> "MlflowClient":
    """A client for `uri`; a sqlite database that does not exist yet is created."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    pass_by_proxies(uri)
    from mlflow import MlflowClient  # noqa: PLC0415  (2 s that `--help` does not need)

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    if urlsplit(uri).scheme.startswith("sqlite") and not sqlite_path(uri).exists():
        _create_sqlite(sqlite_path(uri))
    return MlflowClient(uri)


def _create_sqlite(path: Path) -> None:
    """Migrate a draft and move it into place, so that a killed process leaves no half database.

    Two processes that migrate one fresh database at once leave it unusable.
    """
    from mlflow import MlflowClient  # noqa: PLC0415  (as above)

    path.parent.mkdir(parents=True, exist_ok=True)
    draft, migrated = (path.with_name(f".{path.name}.{uuid.uuid4().hex}") for _ in "12")
    try:
        MlflowClient(f"sqlite:///{draft}").search_experiments(max_results=1)
        connection = sqlite3.connect(draft)
        connection.execute("VACUUM INTO ?", (str(migrated),))
        connection.close()
        migrated.chmod(0o600)  # and so what SQLite lays beside it
        with suppress(FileExistsError):
            path.hardlink_to(migrated)
    finally:
        draft.unlink(missing_ok=True)
        migrated.unlink(missing_ok=True)


def experiments(uri: str) -> dict[str, str]:
    """The ids of the sweeps' experiments at `uri`, by name."""
    matches = open_client(uri).search_experiments(filter_string="name LIKE 'raydistill/%'")
    return {experiment.name: experiment.experiment_id for experiment in matches}


def search_runs(client: "MlflowClient", ids: Sequence[str], condition: str) -> Iterator["Run"]:
    """The runs of these experiments that are not deleted, the oldest first."""
    token = None
    while ids:
        page = client.search_runs(
            list(ids), condition, order_by=["attributes.start_time ASC"], page_token=token
        )
        yield from page
        token = page.token
        if not token:
            return


def find_experiment(client: "MlflowClient", name: str, uri: str, store: Store) -> "Experiment":
    """The experiment of that name, created where there is none.

    Raises:
        SetupError: if it was deleted in MLflow, which keeps its name taken.
    """
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        # Without a server MLflow would put files below the working directory.
        on_server = urlsplit(uri).scheme in ("http", "https")
        location = {} if on_server else {"artifact_location": str(store.path("mlartifacts"))}
        experiment_id = client.create_experiment(name, tags=_CLASSIC_PAGE, **location)
        return client.get_experiment(experiment_id)
    if experiment.lifecycle_stage == "deleted":
        restore = ["mlflow", "experiments", "restore", "--experiment-id", experiment.experiment_id]
        command = printed_command(restore, {"MLFLOW_TRACKING_URI": uri})
        raise SetupError(f"the MLflow experiment {name!r} was deleted; bring it back: {command}")
    return experiment
