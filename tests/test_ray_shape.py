"""Does Ray carry the shape that everything stands on? `docs/ray-shape.md` has the figures."""

import json
import os
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from ray_processes import family, left_of, working
from raydistill.runners.work import FINISHED

REPOSITORY = Path(__file__).parents[1]


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [str(server.getsockname()[1]) for server in sockets]
    for server in sockets:
        server.close()
    return ports


@pytest.fixture(scope="module")
def head():
    """A head started in the repository with token authentication, and how to reach it."""
    with tempfile.TemporaryDirectory(prefix="rd", dir="/tmp") as folder:  # sockets: short names
        token = Path(folder, "token")
        token.write_text("0123456789abcdef" * 4)
        port, client, dashboard, agent, agent_http, runtime = free_ports(6)
        environment = {
            **os.environ,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_ADDRESS": f"http://127.0.0.1:{dashboard}",
            "PYTHONPATH": str(REPOSITORY / "tests"),
        }
        options = {
            "num-cpus": 2,
            "temp-dir": f"{folder}/ray",
            "node-ip-address": "127.0.0.1",
            "port": port,
            "dashboard-port": dashboard,
            "ray-client-server-port": client,
            "dashboard-agent-grpc-port": agent,
            "dashboard-agent-listen-port": agent_http,
            "runtime-env-agent-port": runtime,
        }
        process = subprocess.Popen(
            ["ray", "start", "--head", "--block", *(f"--{k}={v}" for k, v in options.items())],
            cwd=REPOSITORY,
            env={name: text for name, text in environment.items() if name != "RAY_ADDRESS"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_until_open(int(dashboard), process)
            yield process, environment
        finally:
            session = family(process.pid)
            process.kill()
            process.wait()
            left_of(session, timeout_s=0)


def wait_until_open(port, process):
    while True:
        assert process.poll() is None
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.2)


@pytest.fixture(scope="module")
def submitted(head, tmp_path_factory):
    """The job's standard output, what it measured, and which of its processes lived on."""
    process, environment = head
    folder = tmp_path_factory.mktemp("shape")
    job = subprocess.run(
        ["ray", "job", "submit", "--", "python", "tests/shape_driver.py", str(folder)],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert job.returncode == 0, job.stdout + job.stderr
    lived_on = left_of(working(process.pid))
    return job.stdout, json.loads((folder / "shape.json").read_text()), lived_on


def test_the_bare_submission_succeeds(submitted):
    assert "succeeded" in submitted[0]


def test_six_trials_share_two_processes_that_import_torch_once_each(submitted):
    single = submitted[1]["single"]
    assert not single["failures"]
    assert len(single["finished"]) == 5
    processes = {report["pid"] for report in single["reports"]}
    assert len(processes) <= 2
    first = {report["key"]: report for report in reversed(single["reports"])}
    assert sum(report["imported"] for report in first.values()) == len(processes)
    print(overheads(single))


def overheads(single):
    """Seconds from one trial's last report to the next one's begin in the same process."""
    last, seconds = {}, []
    for report in sorted(single["reports"], key=lambda r: (r["begun"], r["tokens"])):
        pid = report["pid"]
        if pid in last and last[pid]["key"] != report["key"]:
            seconds.append(round(report["begun"] - last[pid]["timestamp"], 1))
        last[pid] = report
    return {"all_s": round(single["wall_s"], 1), "between_s": seconds}


def test_asha_stops_the_worst_trial(submitted):
    assert submitted[1]["single"]["stopped"] == ["nap5"]


def test_a_trial_on_two_ranks_runs_in_a_worker_group_inside_tune(submitted):
    nested = submitted[1]["nested"]
    assert not nested["failures"]
    assert nested["finished"] == ["count_ranks0"]
    last = nested["reports"][-1]
    assert (last["ranks"], last["backend"], last[FINISHED]) == (2.0, "gloo", 1)
    print({"nested_s": round(nested["wall_s"], 1)})


def test_nothing_of_the_job_lives_on(submitted):
    assert submitted[2] == []
