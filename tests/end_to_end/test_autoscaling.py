"""A cluster that grows from no worker under a sweep, and shrinks to none after it.

Ray's fake provider starts workers as processes of this machine; the autoscaler (version 2, as in
`cluster/kuberay`) is the real one.
"""

import json
import subprocess
import sys
import threading
import time

import pytest

from support import sweeping
from support.ray_processes import head_in_repository, submit

HEAD = "fffffffffffffffffffffffffffffffffffffffffffffffffff00000"  # the fake provider's name for it
# By its class: the file of defaults behind its name is not in Ray's wheel.
PROVIDER = "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider"
# Keys that the configuration must have; there is no machine that would run them.
COMMANDS = (
    "setup_commands", "head_setup_commands", "worker_setup_commands", "initialization_commands",
    "head_start_ray_commands", "worker_start_ray_commands", "cluster_synced_files",
)  # fmt: skip
IDLE_MIN = 0.1


def scaled(folder):
    """Options of a head without CPUs that may have two workers with one CPU."""

    def options(ports):
        config = {
            "cluster_name": "fake", "max_workers": 2, "idle_timeout_minutes": IDLE_MIN,
            "upscaling_speed": 1.0, "auth": {}, "head_node_type": "ray.head.default",
            **{name: [] for name in COMMANDS}, "file_mounts": {},
            "provider": {
                "type": "external", "module": PROVIDER, "use_node_id_as_ip": True,
                "launch_multiple": True,
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


COUNT = """
import sys
from ray._raylet import GcsClient
from ray.autoscaler.v2.sdk import get_cluster_resource_state
from ray.core.generated.autoscaler_pb2 import NodeStatus

nodes = get_cluster_resource_state(GcsClient(sys.argv[1])).node_states
up = [node for node in nodes if node.status != NodeStatus.DEAD]
print(sum(node.total_resources.get("CPU", 0) > 0 for node in up))
"""


def workers(folder, environment):
    """How many nodes with CPUs are up, as the autoscaler sees it."""
    config = json.loads((folder / "scaling.yaml").read_text())
    counted = subprocess.run(
        [sys.executable, "-c", COUNT, config["provider"]["gcs_address"]],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert counted.returncode == 0, counted.stderr
    return int(counted.stdout)


@pytest.mark.soak
def test_workers_come_from_none_for_a_sweep_and_leave_after_it(prepared, tmp_path):
    storage = prepared(tmp_path / "storage")
    variables = {
        "RAYDISTILL_SCALE": "smoke", "RAYDISTILL_STORAGE": str(storage), "RAY_FAKE_CLUSTER": "1",
        "RAY_enable_autoscaler_v2": "1", "RAY_CLOUD_INSTANCE_ID": HEAD,
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD, "AUTOSCALER_UPDATE_INTERVAL_S": "1",
    }  # fmt: skip
    with head_in_repository(scaled(tmp_path), **variables) as (_, environment):
        assert workers(tmp_path, environment) == 0
        done = []
        job = threading.Thread(
            target=lambda: done.append(
                submit(environment, sweeping.SCRIPT, "--age", "320B", "--location", "none,input")
            )
        )
        job.start()
        most = 0
        while job.is_alive():
            most = max(most, workers(tmp_path, environment))
            time.sleep(2)
        assert done[0].returncode == 0, done[0].stdout + done[0].stderr
        assert most in (1, 2)
        deadline = time.monotonic() + 120
        while workers(tmp_path, environment) and time.monotonic() < deadline:
            time.sleep(2)
        assert workers(tmp_path, environment) == 0
    sweeping.assert_tracked_once(storage, [("320B", "none"), ("320B", "input")])
