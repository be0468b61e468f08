"""`raydistill ui`: MLflow's pages on what the sweeps left."""

import argparse
import os
import socket
import sys

from raydistill.core.errors import SetupError
from raydistill.storage.store import Store
from raydistill.tracking.client import experiments
from raydistill.tracking.destination import default_uri
from raydistill.tracking.links import experiment_url, ui_command


def ui(store: Store, flags: argparse.Namespace) -> int:
    """Replace this process by an MLflow server on the storage's database, on 127.0.0.1.

    Raises:
        SetupError: if nothing was tracked there yet, or the port is taken.
    """
    uri, port = default_uri(store), flags.port
    if not store.path("mlflow.db").is_file():
        raise SetupError(f"{store.root} has no mlflow.db yet: run a sweep first")
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except (OSError, OverflowError) as error:
        raise SetupError(f"--port {port} of 127.0.0.1 cannot be used: {error}") from error
    server = f"http://127.0.0.1:{port}"
    for name, experiment_id in experiments(uri).items():
        print(f"{name}: {experiment_url(server, experiment_id)}", flush=True)
    argv = [sys.executable, "-m", *ui_command(uri, port=port).split(" ")]
    os.execv(sys.executable, argv)  # noqa: S606  (no shell is the safe way)
