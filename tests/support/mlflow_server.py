"""A real MLflow server of a test's own, on a database in a folder."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager


@contextmanager
def server(folder, port, *, database=None, files=None):
    """A real `mlflow server` on the database in `folder`, or another; killed at the block's end."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    database = database or f"sqlite:///{folder}/served.db"
    place = ["--backend-store-uri", database, "--workers", "1"]
    kept = ["--artifacts-destination", files or str(folder / "served")]
    settings = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    environ = {**os.environ, **settings}
    with (folder / "server.log").open("a") as log:
        process = subprocess.Popen(
            [*command, *place, *kept],
            cwd=folder,
            stdout=log,
            stderr=log,
            env=environ,
            start_new_session=True,  # so that its workers end with it
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/health", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(address, process):
    while process.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=1):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError("the server ended")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
