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
    """A real MLflow server on the database in `folder`, or another; killed at the block's end.

    It is the process that `mlflow server` starts after it has imported all that it does.
    """
    command = [sys.executable, "-m", "uvicorn", "--host", "127.0.0.1", "--port", str(port)]
    settings = {
        "_MLFLOW_SERVER_FILE_STORE": database or f"sqlite:///{folder}/served.db",
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": files or str(folder / "served"),
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    environ = {**os.environ, **settings}
    with (folder / "server.log").open("a") as log:
        process = subprocess.Popen(
            [*command, "mlflow.server.fastapi_app:app"],
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
