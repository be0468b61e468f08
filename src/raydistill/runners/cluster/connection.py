"""Joining a Ray cluster or starting one, waiting for nodes, and asking what it can hold.

Everything is asked of the cluster, never of the driver's machine.
"""

import json
import logging
import os
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import ray
from ray._private import worker as ray_worker
from ray._private.ray_constants import DEBUG_AUTOSCALING_STATUS
from ray.autoscaler.sdk import request_resources
from ray.autoscaler.v2.sdk import get_cluster_status
from ray.autoscaler.v2.utils import is_autoscaler_v2
from ray.exceptions import NodeDiedError, RayError, TaskUnschedulableError
from ray.experimental.internal_kv import _internal_kv_get
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raydistill.core import fault_injection as faults
from raydistill.core.cpus import available_cpus
from raydistill.core.errors import SetupError, UsageError
from raydistill.core.signals import interrupts_held, raise_on_sigterm
from raydistill.core.text.redaction import RedactingFormatter, redact
from raydistill.runners.cluster.failures import likely_cause, readable_error
from raydistill.runners.cluster.local_copy import sync_driver
from raydistill.runners.cluster.own_parts import with_own_parts
from raydistill.runners.cluster.own_session import without_servers
from raydistill.storage.object_store import REMOTE
from raydistill.storage.urls import COPIES, url_of

Need = Mapping[str, float]  # Ray's resource names with counts: {"CPU": 1, "GPU": 1}

WORKER_ENVIRONMENT = {  # of every worker, unless the driver's own environment says otherwise
    "OMP_NUM_THREADS": "1",  # bits are promised for one thread per rank
    "DISABLE_MULTIPROC": "1",  # lm-eval would start processes inside a worker
    "TOKENIZERS_PARALLELISM": "false",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # a reused process would change its folder with every trial
    "RAYDISTILL_RESIZE_S": "60",  # how often an elastic trial looks for more devices
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",  # Train takes one report per poll
}

# Held by a rank of a trial on several devices: a little under one, because the trial that starts
# the ranks holds 0.01, and n ranks with their trial have to fit on n CPUs.
WORKER_CPU = 0.99

DEVICE, WAIT = "RAYDISTILL_DEVICE", "RAYDISTILL_WAIT_S"
OOM_RETRIES = "RAY_task_oom_retries"
PRESTART = "RAY_prestart_worker_first_driver"
DEFAULT_WAIT_S = 30.0
WAIT_MESSAGE_EVERY_S = 60.0


@contextmanager
def connected(log: Path) -> Iterator[None]:
    """A Ray session: the cluster of `ray job submit` or `RAY_ADDRESS`, else one started here.

    Ray's and Tune's chatter goes to the file `log`. A session started here ends with the block;
    a cluster that was joined is only left.

    Raises:
        SetupError: if the cluster of `RAY_ADDRESS` does not answer, or none can be started.
    """
    url = url_of(log)
    with _logging_into(log):
        try:
            with interrupts_held():
                _join(url)
            with sync_driver(url):
                yield
        finally:
            ray.shutdown()


def _join(url: str) -> None:
    # The submitter's runtime_env may name the same variables; both are merged by us, below.
    os.environ["RAY_OVERRIDE_JOB_RUNTIME_ENV"] = "1"
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"  # Ray's own tip, or it warns each time
    os.environ[OOM_RETRIES] = "0"  # else without end; `failures.Retries` counts
    os.environ.setdefault(PRESTART, "0")  # a process a CPU, none with our environment: all unused
    environment = {name: os.environ.get(name, text) for name, text in WORKER_ENVIRONMENT.items()}
    passed_on = (*faults.VARIABLES, COPIES)
    environment |= {name: os.environ[name] for name in passed_on if name in os.environ}
    environment |= {REMOTE: url} if url else {}
    address = os.environ.get("RAY_ADDRESS", "local")
    own = {"num_cpus": available_cpus(), "include_dashboard": False}
    local, lean = (own, without_servers()) if address == "local" else ({}, nullcontext())
    try:
        with private_token(), lean, with_own_parts(environment) as runtime_env:
            ray.init(address=address, runtime_env=runtime_env, log_to_driver=False, **local)
        raise_on_sigterm()  # Ray has set a handler of its own
    except Exception as error:  # a raylet that is slow to start raises nothing narrower
        raise SetupError(
            f"no Ray session at RAY_ADDRESS={redact(address)}: {error}{likely_cause(error)}"
        ) from error


@contextmanager
def private_token() -> Iterator[None]:
    """A token that Ray makes within the block, at `~/.ray/auth_token`, is for its owner alone."""
    token = Path(os.environ.get("HOME", "/"), ".ray/auth_token")
    is_there = token.exists()
    with suppress(OSError):  # Ray may need none; nobody reads the file before its mode is set
        token.parent.mkdir(mode=0o700, exist_ok=True)
    try:
        yield
    finally:
        if not is_there and token.is_file():
            token.chmod(0o600)


@contextmanager
def _logging_into(log: Path) -> Iterator[None]:
    """Within the block, whatever Ray logs in this process goes to the file `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(log, delay=True)
    handler.setFormatter(RedactingFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("ray")
    before = logger.handlers, logger.propagate, ray_worker.print_to_stdstream
    logger.handlers, logger.propagate = [handler], False
    # How Ray shows what its processes report: of a task killed for memory, 45 lines to stdout.
    ray_worker.print_to_stdstream = lambda data, **_: logger.info("\n".join(data["lines"]))
    try:
        yield
    finally:
        logger.handlers, logger.propagate, ray_worker.print_to_stdstream = before
        handler.close()


def device_need() -> dict[str, float]:
    """What one device is on this cluster: a GPU where it has any, else a CPU.

    A cluster that starts with no GPU worker does not tell: then set `RAYDISTILL_DEVICE=GPU`.
    """
    gpus = os.environ.get(DEVICE) == "GPU" or configured({"GPU": 1.0})
    return {"GPU": 1.0, "CPU": 1.0} if gpus else {"CPU": 1.0}


def ray_options(need: Need) -> dict[str, float]:
    """Options of a Ray task or actor that holds `need`."""
    return {"num_cpus": need.get("CPU", 0), "num_gpus": need.get("GPU", 0)}


def present(need: Need) -> int:
    """How often `need` fits on the nodes that are up, were they idle."""
    return sum(_fits(node["Resources"], need) for node in alive_nodes())


def configured(need: Need) -> int:
    """How often `need` fits on the largest cluster that the autoscaler may make; else `present`."""
    groups = _node_groups()
    return max(present(need), sum(count * _fits(holds, need) for holds, count in groups))


def _fits(holds: Mapping[str, float], need: Need) -> int:
    return min(int(holds.get(name, 0.0) // amount) for name, amount in need.items())


def alive_nodes() -> list[dict[str, Any]]:
    """The nodes that are up, as Ray describes them."""
    return [node for node in ray.nodes() if node["Alive"]]


def _node_groups() -> list[tuple[Mapping[str, float], int]]:
    """What a node holds and how many there may be, by group; empty without an autoscaler."""
    config = ray._private.state.state.get_cluster_config()
    if config is None:
        return []
    unbounded = 1_000_000  # Ray writes -1
    return [
        (dict(group.resources), group.max_count if group.max_count >= 0 else unbounded)
        for group in config.node_group_configs
    ]


def wait_for(need: Need, *, times: int = 1, say: Callable[[str], None]) -> None:
    """Return once the cluster, if idle, could hold `need` this many `times`.

    Requests the nodes from an autoscaler, and waits as long as that is starting some, or
    `RAYDISTILL_WAIT_S` seconds (30 if unset) for nodes added by hand. Meanwhile `say` gets one
    line a minute.

    Raises:
        SetupError: if the wait is over, or the autoscaler's largest cluster is too small.
    """
    if present(need) >= times:
        return
    needed = " and ".join(f"{times * n:g} {name}" for name, n in need.items() if times * n >= 1)
    scales = bool(_node_groups())
    if scales and configured(need) < times:
        raise SetupError(
            f"one trial needs {needed}; the autoscaler's largest cluster cannot hold it"
        )
    limit_s = float("inf") if scales else _patience_s()
    request_resources(bundles=[dict(need)] * times)  # ignored without an autoscaler
    try:
        _wait(need, times, needed, limit_s, say)
    finally:
        request_resources(bundles=[])


def _patience_s() -> float:
    text = os.environ.get(WAIT, str(DEFAULT_WAIT_S))
    if not re.fullmatch(r"\d{1,6}(\.\d+)?", text):
        raise UsageError(f"{WAIT}={text}: seconds to wait for a node, a number from 0 on")
    return float(text)


def _wait(need: Need, times: int, needed: str, limit_s: float, say: Callable[[str], None]) -> None:
    started_s = next_line_s = time.monotonic()
    while present(need) < times:
        now_s = time.monotonic()
        holds = {name: f"{n:g}" for name, n in ray.cluster_resources().items() if name in need}
        has = ", ".join(f"{holds.get(name, '0')} {name}" for name in need)
        starting = nodes_starting() if now_s - started_s >= limit_s or now_s >= next_line_s else 0
        if starting:
            started_s = now_s
        elif now_s - started_s >= limit_s:
            raise SetupError(
                f"one trial needs {needed}; the cluster has {has} on {len(alive_nodes())} node(s), "
                f"no autoscaler starts one, and it grew by nothing within {limit_s:g} s "
                "(RAYDISTILL_WAIT_S)"
            )
        if now_s >= next_line_s:
            more = f"; {starting} node(s) are starting" if starting else ""
            say(f"waiting for a node: one trial needs {needed}, the cluster has {has}{more}")
            next_line_s = now_s + WAIT_MESSAGE_EVERY_S
        time.sleep(0.2)


def nodes_starting() -> int:
    """How many nodes an autoscaler, of either version, has asked for that are not up yet."""
    if is_autoscaler_v2(fetch_from_server=True):
        status = get_cluster_status(ray.get_runtime_context().gcs_address)
        launches: int = sum(launch.count for launch in status.pending_launches)
        return len(status.pending_nodes) + launches
    report = json.loads(_internal_kv_get(DEBUG_AUTOSCALING_STATUS) or "{}")
    autoscaler = report.get("autoscaler_report") or {}
    launches = sum(autoscaler.get("pending_launches", {}).values())
    return len(autoscaler.get("pending_nodes", ())) + launches


def task_on(node: Mapping[str, Any], function: Callable[..., Any], **options: Any) -> Any:
    """A Ray task that runs `function` on that node and holds nothing there."""
    strategy = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    return ray.remote(num_cpus=0, scheduling_strategy=strategy, **options)(function)


def require_shared(root: Path) -> None:
    """Read a file of `root` from every other node.

    Raises:
        SetupError: if one of them does not see it.
    """
    if url_of(root):
        return  # every node has its copy
    own_id = ray.get_runtime_context().get_node_id()
    others = [node for node in alive_nodes() if node["NodeID"] != own_id]
    if not others:
        return
    probe = root / f".probe-{uuid.uuid4().hex}"
    probe.touch()
    try:
        for node in others:
            if not _sees(task_on(node, _is_file).remote(str(probe))):
                raise SetupError(
                    f"the storage {root} is not shared: node {node['NodeManagerAddress']} does "
                    "not see it. Give --storage a folder that every node mounts"
                )
    finally:
        probe.unlink()


def _sees(answer: Any) -> bool:
    """A node's answer; one that has gone meanwhile need not see the storage."""
    try:
        return bool(ray.get(answer))
    except (NodeDiedError, TaskUnschedulableError):
        return True
    except RayError as error:
        raise readable_error(error, "looking at the storage from every node") from None


def _is_file(path: str) -> bool:
    return Path(path).is_file()
