"""Processes that are forked from one that has imported what each of them would: they spare seconds.

Ray workers: Python starts twice for a worker whose job has variables, and imports torch and pandas.
The raylet starts `worker_entry.py` in place of Ray's own `setup_worker.py`; all that comes after is
Ray's, in a process with the job's own environment.

The processes of a run of tests: execnet starts the same file in place of Python. They and all the
workers of their Rays come from one process then.
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
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import types
from pathlib import Path

VARIABLE, RUN_VARIABLE = "RAYDISTILL_TEST_FORKING", "RAYDISTILL_TEST_RUN_FORKING"
ENTRY = Path(__file__).with_name("worker_entry.py")
NODE = {"setup_worker_path": str(ENTRY)}
"""Arguments of a node of `ray.cluster_utils.Cluster` whose workers are forked."""

MODULES = (
    "torch", "pandas", "pyarrow.fs", "yaml", "requests", "jsonschema", "pydantic", "fsspec",
    "rich.console", "google.protobuf.message", "jinja2", "datasets", "lm_eval.evaluator",
    "transformers.modeling_utils", "torch._dynamo",
)  # fmt: skip
"""What Ray, Tune and a trial import that reads nothing of a job's environment meanwhile.

Ray itself does: its library reads `RAY_JOB_ID` once, and a worker without it ends at its start.
"""

OF_TESTS = (
    "mlflow.store.tracking.sqlalchemy_store", "alembic.command", "hypothesis", "scipy.optimize",
    "scipy.stats", "matplotlib.backends.backend_agg", "matplotlib.backends.backend_svg",
    "torch.distributed", "transformers.models.auto.modeling_auto",
    "transformers.models.llama.modeling_llama", "transformers.models.gpt_neox.modeling_gpt_neox",
    "accelerate", "fastapi", "aiohttp", "moto.server", "selenium.webdriver", "botocore.session",
    "lm_eval.tasks", "optuna",
)  # fmt: skip
"""What the tests import besides, once in each of their processes."""

FORKED_SERVERS = []
"""Ids of the processes whose children are workers of this process's Rays, not below it."""


def of_nodes():
    """Variables of this process that a node needs which is added amid a sweep that runs here."""
    return {name: os.environ[name] for name in (VARIABLE, "RAY_enable_worker_prestart")}


@contextlib.contextmanager
def listening(variable):
    """Within the block a process could listen at the path of that variable: yields its socket."""
    with tempfile.TemporaryDirectory(prefix="rd", dir="/tmp") as folder:  # sockets: short names
        path = str(Path(folder, "socket"))
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path)
            server.listen(64)
            os.environ[variable] = path
            try:
                yield server
            finally:
                del os.environ[variable]


@contextlib.contextmanager
def forking():
    """Within the block a process forks the workers of nodes with `NODE`; yields that.

    Raylets and their workers find it by a variable of this process, which nothing else reads.
    """
    with listening(VARIABLE) as server:
        if RUN_VARIABLE in os.environ:
            with forked_server(server):
                yield NODE
        else:
            with started_server(server):
                yield NODE


@contextlib.contextmanager
def started_server(server, *modules):
    """A process that forks, with `modules` at once and for whoever connects with `MODULES`."""
    process = subprocess.Popen(
        [sys.executable, __file__, str(server.fileno()), *modules], stdin=subprocess.PIPE,
        pass_fds=[server.fileno()], env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"},
    )  # fmt: skip
    server.close()
    try:
        yield process
    finally:
        process.stdin.close()
        process.wait()


@contextlib.contextmanager
def forked_server(server):
    """One that is forked itself, from that of the whole run."""
    ends, lives = os.pipe()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(os.environ[RUN_VARIABLE])
        ask(connection, [ends, 1, 2, server.fileno()], words=[])
        FORKED_SERVERS.append(int.from_bytes(connection.recv(8), "big"))
    os.close(ends)
    server.close()
    try:
        yield
    finally:
        os.close(lives)
        FORKED_SERVERS.pop()


def entry_of_tests():
    """The words in place of Python's that execnet starts a process of a run of tests with."""
    return shlex.join([sys.executable, "-E", "-S", str(ENTRY)])


def ask(connection, files, **more):
    """Ask for a process with these files, and the variables and the folder of this one."""
    request = {"context": {}, "variables": dict(os.environ), "folder": str(Path.cwd()), **more}
    text = json.dumps(request).encode()
    socket.send_fds(connection, [len(text).to_bytes(8, "big")], files)
    connection.sendall(text)


def serve(server):
    """Fork a process for everyone who connects, until nobody holds the other end of stdin."""
    gc.disable()  # imports make nothing that could go
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends with those who hold stdin
    while True:
        ready, _, _ = select.select([server, 0], [], [])
        if 0 in ready:
            return
        import_once(*MODULES)
        connection, _ = server.accept()
        with connection:
            if os.fork() == 0:
                server.close()
                become_another(connection)


@functools.cache
def import_once(*names):
    """When the first process is asked for: not beside a Ray that is starting."""
    for name in names:
        importlib.import_module(name)
    gc.freeze()


def become_another(connection):
    """Go on as the process that has connected would: with its words, variables, files, folder."""
    size, files, _, _ = socket.recv_fds(connection, 8, 4)
    text = connection.recv(int.from_bytes(size, "big"), socket.MSG_WAITALL)
    request = json.loads(text)
    for own, sent in enumerate(files[:3]):
        os.dup2(sent, own)
        os.close(sent)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["variables"])
    if len(files) > 3:
        connection.sendall(os.getpid().to_bytes(8, "big"))
        connection.close()
        serve(socket.socket(fileno=files[3]))
        sys.exit()
    connection.set_inheritable(False)
    connection.detach()  # stays open as long as this process lives
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    gc.enable()
    del sys.modules["__main__"]
    if "-c" in request["words"]:
        become_python(request["words"])
    else:
        become_worker(request)
    sys.exit()


def become_worker(request):
    os.setpgid(0, 0)  # the raylet ends a worker with its group
    context = request["context"]
    assert not context.get("command_prefix"), context  # a shell would have to run it
    for name, value in context.get("env_vars", {}).items():
        os.environ[name] = re.sub(r"\$\{[A-Z0-9_]+\}", "", os.path.expandvars(value))  # as Ray does
    sys.argv = request["words"]
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = [*filter(None, paths), *[p for p in sys.path if p not in paths]]
    runpy.run_path(sys.argv[0], run_name="__main__")


def become_python(words):
    """`python -u -c text`."""
    sys.argv = ["-c"]
    sys.stdin, sys.stdout = os.fdopen(0, closefd=False), os.fdopen(1, "w", closefd=False)
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    exec(words[words.index("-c") + 1], vars(main))  # noqa: S102  (as Python would)


if __name__ == "__main__":
    sys.path.pop(0)
    if sys.argv[2:]:
        import_once(*MODULES, *sys.argv[2:])
    serve(socket.socket(fileno=int(sys.argv[1])))
