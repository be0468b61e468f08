"""A cluster that grows from no worker under a sweep, and shrinks to none after it.

Ray's fake provider starts workers as processes of this machine; the autoscaler (version 2, as in
`cluster/kuberay`) is the real one.
"""

import json
import subprocess
import threading
import time

import pytest

import sweeping
from ray_processes import head_in_repository, submit

HEAD = "fffffffffffffffffffffffffffffffffffffffffffffffffff00000"
"""The name that the fake provider gives to the head."""

IDLE_MIN = 0.1


def scaled(folder):
    """Options of a head without CPUs that may have two workers with one CPU."""

    def options(ports):
        config = {
            "cluster_name": "fake", "max_workers": 2, "idle_timeout_minutes": IDLE_MIN,
            "upscaling_speed": 1.0, "auth": {}, "head_node_type": "ray.head.default",
            "provider": {
                "type": "fake_multinode", "use_node_id_as_ip": True, "launch_multiple": True,
                "disable_node_updaters": True, "disable_launch_config_check": True,
                "head_node_id": HEAD, "gcs_address": f"127.0.0.1:{ports['port']}",
            },
            "available_node_types": {
                "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
                "spot": {"resources": {"CPU": 1}, "node_config": {}, "max_workers": 2},
            },
        }  # fmt: skip
        (folder / "scaling.yaml").write_text(json.dumps(config))
        return {"num-cpus": 0, "autoscaling-config": folder / "scaling.yaml"}

    return options


def workers(environment):
    """How many nodes with CPUs are up."""
    listed = subprocess.run(
        ["ray", "list", "nodes", "--format", "json", "--filter", "state=ALIVE"],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    nodes = json.loads(listed.stdout[listed.stdout.index("[") :])
    return sum(node["resources_total"].get("CPU", 0) > 0 for node in nodes)


@pytest.mark.soak
def test_workers_come_from_none_for_a_sweep_and_leave_after_it(prepared, tmp_path):
    storage = prepared(tmp_path / "storage")
    variables = {
        "RAYDISTILL_SCALE": "smoke", "RAYDISTILL_STORAGE": str(storage), "RAY_FAKE_CLUSTER": "1",
        "RAY_enable_autoscaler_v2": "1", "RAY_CLOUD_INSTANCE_ID": HEAD,
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD, "AUTOSCALER_UPDATE_INTERVAL_S": "1",
    }  # fmt: skip
    with head_in_repository(scaled(tmp_path), **variables) as (_, environment):
        assert workers(environment) == 0
        done = []
        job = threading.Thread(
            target=lambda: done.append(
                submit(environment, sweeping.SCRIPT, "--age", "320B", "--location", "none,input")
            )
        )
        job.start()
        most = 0
        while job.is_alive():
            most = max(most, workers(environment))
            time.sleep(2)
        assert done[0].returncode == 0, done[0].stdout + done[0].stderr
        assert most in (1, 2)
        deadline = time.monotonic() + 120
        while workers(environment) and time.monotonic() < deadline:
            time.sleep(2)
        assert workers(environment) == 0
    sweeping.assert_tracked_once(storage, [("320B", "none"), ("320B", "input")])
