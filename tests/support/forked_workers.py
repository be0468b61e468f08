"""Ray workers that are forked from one process that has imported what each of them would.

Python starts twice for a worker whose job has variables, and imports torch and pandas: a fork
spares it two CPU seconds. The raylet starts `worker_entry.py` in place of Ray's own
`setup_worker.py`; all that comes after is Ray's, in a process with the job's own environment.
"""

import contextlib
import functools
import gc
import importlib
import json
import os
import re
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

VARIABLE = "RAYDISTILL_TEST_FORKING"
NODE = {"setup_worker_path": str(Path(__file__).with_name("worker_entry.py"))}
"""Arguments of a node of `ray.cluster_utils.Cluster` whose workers are forked."""

MODULES = (
    "torch", "pandas", "pyarrow.fs", "yaml", "requests", "jsonschema", "pydantic", "fsspec",
    "rich.console", "google.protobuf.message", "jinja2", "datasets", "lm_eval.evaluator",
    "transformers.modeling_utils", "torch._dynamo",
)  # fmt: skip
"""What Ray, Tune and a trial import that reads nothing of a job's environment meanwhile.

Ray itself does: its library reads `RAY_JOB_ID` once, and a worker without it ends at its start.
"""


def of_nodes():
    """Variables of this process that a node needs which is added amid a sweep that runs here."""
    return {name: os.environ[name] for name in (VARIABLE, "RAY_enable_worker_prestart")}


@contextlib.contextmanager
def forking():
    """Within the block a process forks the workers of nodes with `NODE`; yields that.

    Raylets and their workers find it by a variable of this process, which nothing else reads.
    """
    with tempfile.TemporaryDirectory(prefix="rd", dir="/tmp") as folder:  # sockets: short names
        path = str(Path(folder, "socket"))
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path)
            server.listen(64)
            process = subprocess.Popen(
                [sys.executable, __file__, str(server.fileno())],
                stdin=subprocess.PIPE, pass_fds=[server.fileno()],
            )  # fmt: skip
        os.environ[VARIABLE] = path
        try:
            yield NODE
        finally:
            del os.environ[VARIABLE]
            process.stdin.close()
            process.wait()


def serve(server):
    """Fork a worker for everyone who connects, until nobody holds the other end of stdin."""
    gc.disable()  # imports make nothing that could go
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    while True:
        ready, _, _ = select.select([server, sys.stdin], [], [])
        if sys.stdin in ready:
            return
        import_once()
        connection, _ = server.accept()
        with connection:
            if os.fork() == 0:
                server.close()
                become_worker(connection)


@functools.cache
def import_once():
    """When the first worker is asked for: not beside a Ray that is starting."""
    for name in MODULES:
        importlib.import_module(name)
    gc.freeze()


def become_worker(connection):
    """Go on as the process that has connected would: with its words, variables, files, folder."""
    os.setpgid(0, 0)  # the raylet ends a worker with its group
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    gc.enable()
    size, files, _, _ = socket.recv_fds(connection, 8, 3)
    text = connection.recv(int.from_bytes(size, "big"), socket.MSG_WAITALL)
    request = json.loads(text)
    for own, sent in enumerate(files):
        os.dup2(sent, own)
        os.close(sent)
    connection.set_inheritable(False)
    connection.detach()  # stays open as long as this process lives
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["variables"])
    context = request["context"]
    assert not context.get("command_prefix"), context  # a shell would have to run it
    for name, value in context.get("env_vars", {}).items():
        os.environ[name] = re.sub(r"\$\{[A-Z0-9_]+\}", "", os.path.expandvars(value))  # as Ray does
    sys.argv = request["words"]
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = [*filter(None, paths), *[p for p in sys.path if p not in paths]]
    del sys.modules["__main__"]
    runpy.run_path(sys.argv[0], run_name="__main__")
    sys.exit()


if __name__ == "__main__":
    sys.path.pop(0)
    serve(socket.socket(fileno=int(sys.argv[1])))
