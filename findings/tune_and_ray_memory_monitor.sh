#!/usr/bin/env bash
# Ray Tune ends a whole run when Ray's memory monitor kills one trial's process.
#
# The killed call raises ray.exceptions.OutOfMemoryError. Tune's actor manager knows RayActorError and
# RayTaskError, and raises RuntimeError at any other; `FailureConfig.max_failures` is not asked.
# Seen with ray 2.60.0 in ray/air/execution/_internal/actor_manager.py, `_actor_task_failed`.
#
# The Ray here is started with a threshold 1.5 GB above what is in use; a trial takes that much, once.
# Exits 0 if it behaves so, 1 if it no longer does. Needs Python 3.10 or later, Linux, 2 GB of memory.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
unset PYTHONPATH RAY_ADDRESS
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --quiet --disable-pip-version-check "ray[tune]==2.60.0"
cat > "$folder/kill.py" <<'PYTHON'
import os
import pathlib
import sys
import time

lines = dict(line.split(":", 1) for line in pathlib.Path("/proc/meminfo").read_text().splitlines())
total, free = (int(lines[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
os.environ["RAY_memory_usage_threshold"] = f"{(total - free + 1.5e9) / total:.4f}"
os.environ["RAY_memory_monitor_refresh_ms"] = "100"
os.environ["RAY_AIR_NEW_OUTPUT"] = "0"  # no frames

import ray
from ray import tune
from ray.air.execution._internal import actor_manager


def trial(config):
    taken = pathlib.Path(config["folder"], "taken")
    held = []
    while config["number"] == 0 and not taken.exists() or held:
        held.append(bytearray(b"\1") * (64 << 20))
        taken.touch()
        time.sleep(0.02)
    tune.report({"done_by": config["number"]})


print(f"ray {ray.__version__}, python {sys.version.split()[0]}")
print(f"source: {pathlib.Path(actor_manager.__file__).relative_to(sys.prefix)}")
ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
space = {"number": tune.grid_search([0, 1]), "folder": sys.argv[1]}
run = tune.RunConfig(
    storage_path=sys.argv[1], verbose=0, failure_config=tune.FailureConfig(max_failures=2)
)
try:
    results = tune.Tuner(trial, param_space=space, run_config=run).fit()
except RuntimeError as error:
    cause = error.__cause__
    print(f"fit() raised {type(error).__name__}: {str(error).splitlines()[0]}")
    print(f"caused by {type(cause).__module__}.{type(cause).__name__}")
    known = isinstance(cause, ray.exceptions.RayActorError | ray.exceptions.RayTaskError)
    print(f"a RayActorError or RayTaskError: {known}")
    same = isinstance(cause, ray.exceptions.OutOfMemoryError) and not known
    print("as described" if same else "another failure than described")
    sys.exit(0 if same else 1)
print(f"fit() returned {len(results)} results, {results.num_errors} errors: no longer as described")
sys.exit(1)
PYTHON
code=0
"$folder/venv/bin/python" "$folder/kill.py" "$folder" > "$folder/out" 2> "$folder/err" || code=$?
cat "$folder/out"
exit "$code"
