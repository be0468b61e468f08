import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from ray._private.authentication.authentication_token_setup import generate_and_save_token

from raydistill.core.errors import SetupError, UsageError
from raydistill.runners.cluster.connection import (
    connected,
    present,
    private_token,
    require_shared,
    wait_for,
)

CPU = {"CPU": 1.0}


def test_an_address_where_nothing_answers_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:8265")
    with pytest.raises(SetupError, match="RAY_ADDRESS"), connected(tmp_path / "ray.log"):
        pass


def test_a_token_that_a_start_made_is_for_its_owner_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    token = tmp_path / ".ray/auth_token"
    with private_token():
        generate_and_save_token()
    assert token.stat().st_mode & 0o777 == 0o600
    assert token.parent.stat().st_mode & 0o777 == 0o700
    token.chmod(0o640)
    with private_token():
        pass
    assert token.stat().st_mode & 0o777 == 0o640  # the user's own choice


@pytest.mark.parametrize("variable", ["RAY_TMPDIR", "TMPDIR"])
def test_a_temporary_folder_too_long_for_a_socket_is_named_with_the_cure(
    tmp_path, monkeypatch, variable
):
    folder = tmp_path / ("long" * 20)
    folder.mkdir()
    for name in ("RAY_TMPDIR", "TMPDIR", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, str(folder))
    # Without, Ray gives this process a token for good, and the tests' shared cluster has none.
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with pytest.raises(SetupError) as caught, connected(tmp_path / "ray.log"):
        pass
    assert f"({variable}={folder} is too long a folder for Ray's sockets: " in str(caught.value)
    assert "set RAY_TMPDIR to a short folder" in str(caught.value)


def test_more_than_the_cluster_has_is_refused_after_the_wait(joined_cluster, monkeypatch):
    monkeypatch.setenv("RAYDISTILL_WAIT_S", "0.5")
    lines = []
    with pytest.raises(SetupError, match=r"needs 4 GPU and 4 CPU; the cluster has 0 GPU, 2 CPU"):
        wait_for({"GPU": 1.0, "CPU": 1.0}, times=4, say=lines.append)
    assert len(lines) == 1


def test_a_wait_that_is_no_number_is_refused(joined_cluster, monkeypatch):
    monkeypatch.setenv("RAYDISTILL_WAIT_S", "abc")
    with pytest.raises(UsageError, match="RAYDISTILL_WAIT_S=abc: seconds"):
        wait_for({"CPU": 8.0}, say=print)


def test_a_wait_ends_when_a_node_is_added_which_must_see_the_storage(
    joined_cluster, tmp_path, monkeypatch, request
):
    require_shared(tmp_path)  # with one node there is nothing to ask
    lines = []
    waiter = threading.Thread(target=lambda: wait_for(CPU, times=4, say=lines.append))
    waiter.start()
    node = joined_cluster.add_node(num_cpus=2)
    request.addfinalizer(lambda: joined_cluster.remove_node(node))
    waiter.join(timeout=30)
    assert not waiter.is_alive()
    assert present(CPU) == 4
    assert len(lines) == 1
    require_shared(tmp_path)
    monkeypatch.chdir(tmp_path)  # a path that every process understands in its own way
    with pytest.raises(SetupError, match="not shared"):
        require_shared(Path("/proc/self/cwd"))
    assert not list(tmp_path.iterdir())


PINNED = """
import psutil
from pathlib import Path
from raydistill.runners.cluster.connection import connected, present
with connected(Path(__import__("sys").argv[1])):
    print(present({"CPU": 1.0}))
    for process in psutil.Process().children(recursive=True):
        print(*process.cmdline())
"""


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux has affinity")
def test_a_ray_of_our_own_trains_one_at_a_time_where_this_process_may_use_one_cpu(tmp_path):
    """It starts no server that nobody asks anything."""
    one = ["taskset", "-c", str(min(os.sched_getaffinity(0)))]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY")}
    command = [*one, sys.executable, "-c", PINNED, str(tmp_path / "ray.log")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    cpus, *processes = done.stdout.splitlines()
    assert cpus == "1"
    servers = {"raylet", "gcs_server", "dashboard.py", "monitor.py", "log_monitor.py"}
    programs = {Path(word).name for line in processes for word in line.split()[:4]}
    assert programs & servers == {"raylet", "gcs_server"}
