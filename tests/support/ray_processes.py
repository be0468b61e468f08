"""A Ray head of a test's own, and what its session leaves behind: seen and ended by pid."""

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import psutil
import pytest
from ray._private.node import Node
from ray.cluster_utils import Cluster

REPOSITORY = Path(__file__).parents[2]

AGENTS = {"ray::DashboardAgent", "ray::RuntimeEnvAgent"}
"""They end by themselves about a minute after their raylet was killed, not earlier."""

SERVICES = {*AGENTS, "ray::IDLE", "ray::_AutoscalingCoordinatorActor"}
"""What a cluster keeps between jobs. Ray Train starts the coordinator, one for all jobs."""


def cluster_of(*, num_cpus, **more):
    """One node in this process's hands, without the servers that no test here asks anything."""
    spared = {"include_dashboard": False, "include_log_monitor": False, "no_monitor": True}
    head = {"num_cpus": num_cpus, **spared, **more}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Node, "start_api_server", spared_server)
        return Cluster(initialize_head=True, head_node_args=head)


def add_node_beside(cluster, **node):
    """A further node, from a thread, where a process cannot set its handlers of signals."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster, "_shutdown_at_exit", False)
        return cluster.add_node(**node)


def spared_server(node, **_):
    """Without a dashboard, this one only counts its users."""
    node._webui_url = None


@contextlib.contextmanager
def head_in_repository(more=lambda ports: {}, **variables):
    """A head with two CPUs and token authentication, as a user would start it here.

    Args:
        more: options of `ray start`, for the ports that the head will have.
        variables: of the head's environment, which every job inherits.

    Yields:
        The head's process, and the environment that submits jobs to it.
    """
    with tempfile.TemporaryDirectory(prefix="rd", dir="/tmp") as folder:  # sockets: short names
        token = Path(folder, "token")
        token.write_text("0123456789abcdef" * 4)
        ports = free_ports()
        environment = os.environ | {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        environment.pop("RAY_ADDRESS", None)
        options = {"num-cpus": 2, "temp-dir": f"{folder}/ray", "node-ip-address": "127.0.0.1"}
        process = subprocess.Popen(
            ["ray", "start", "--head", "--block"]
            + [f"--{name}={value}" for name, value in (options | ports | more(ports)).items()],
            cwd=REPOSITORY,
            env=environment | variables,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            dashboard = f"http://127.0.0.1:{ports['dashboard-port']}"
            wait_until_answered(dashboard, token.read_text(), process)
            wait_until_open(ports["dashboard-agent-listen-port"], process)
            yield process, environment | {"RAY_ADDRESS": dashboard}
        finally:
            session = family(process.pid)
            process.kill()
            process.wait()
            left_of(session, timeout_s=0)


def free_ports():
    """A free port for each server of a head, by the option that sets it."""
    options = (
        "port", "dashboard-port", "ray-client-server-port", "dashboard-agent-grpc-port",
        "dashboard-agent-listen-port", "runtime-env-agent-port",
    )  # fmt: skip
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in options]
    ports = [server.getsockname()[1] for server in sockets]
    for server in sockets:
        server.close()
    return dict(zip(options, ports, strict=True))


def wait_until_answered(dashboard, token, process):
    """Return once jobs are taken, later than its port opens; `process` must live until then."""
    request = urllib.request.Request(
        f"{dashboard}/api/version", headers={"Authorization": f"Bearer {token}"}
    )
    while True:
        assert process.poll() is None
        try:
            return urllib.request.urlopen(request, timeout=5).close()
        except (OSError, http.client.HTTPException):
            time.sleep(0.2)


def wait_until_open(port, process):
    """Return once something listens there: a head's agent, without which no job begins."""
    while True:
        assert process.poll() is None
        with contextlib.suppress(OSError):
            return socket.create_connection(("127.0.0.1", port), timeout=5).close()
        time.sleep(0.2)


def submit(environment, *command):
    """`ray job submit -- python …` from the repository, and all that it printed."""
    return ray_job(environment, "submit", "--", "python", *command)


def ray_job(environment, *words, folder=REPOSITORY):
    """`ray job …` from a folder, finished."""
    return subprocess.run(
        ["ray", "job", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def job_server(environment, path, asked=None):
    """What a head's job server answers, to what `ray job` would ask it after two seconds."""
    token = Path(environment["RAY_AUTH_TOKEN_PATH"]).read_text()
    request = urllib.request.Request(
        f"{environment['RAY_ADDRESS']}/api/{path}",
        data=asked and json.dumps(asked).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def family(pid):
    """The processes below `pid` as they are now."""
    return psutil.Process(pid).children(recursive=True)


def working(pid):
    """The Ray workers below `pid` that hold a job's actor or task."""
    found = []
    for process in family(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.name().startswith("ray::") and process.name() not in SERVICES:
                found.append(process)
    return found


def left_of(processes, timeout_s=15):
    """Those that work on after `timeout_s`, as text. All that are left are ended, agents too."""
    _, alive = psutil.wait_procs(processes, timeout=timeout_s)
    left = []
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            left.append(process.name())
            process.kill()
    return [name for name in left if name not in AGENTS]
