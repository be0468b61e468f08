"""What tests share: helpers that lie beside them, one Ray, and one prepared storage.

A further sweep's end-to-end test is a few lines:

    def test_a_gap_keeps_layers_longer(run_sweep, prepared, tmp_path):
        done = run_sweep("when_to_drop", prepared(tmp_path), "--gap", "0,1B", "--age", "320B")
        assert done.returncode == 0, done.stderr
"""

import fcntl
import gc
import importlib
import os
import shutil
import sys
import textwrap
import time
from pathlib import Path

import pytest

from raydistill.core.parts import KINDS, PARTS_VARIABLE, part_folders
from raydistill.specs import part_identity
from support.cpu_time import CpuTime
from support.forked_run import ForkedRun

collect_ignore_glob = ["*_driver.py"]  # programs that tests start

os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"  # no test starts a Ray without saying so
os.environ.setdefault("OMP_NUM_THREADS", "1")  # threads beside other tests would wait by spinning
os.environ.setdefault("HF_DEACTIVATE_ASYNC_LOAD", "1")  # threads beside a changing environment
os.environ.setdefault("REPORTER_UPDATE_INTERVAL_MS", "60000")  # nobody asks Ray how loaded it is
for name in ("RAY_prestart_worker_first_driver", "RAY_enable_worker_prestart"):
    os.environ.setdefault(name, "0")  # a worker takes a CPU second: none in stock

LONGEST = (
    "test_where_to_drop", "test_job_submit", "test_two_devices", "test_docs", "test_more_sweeps",
    "test_nodes", "test_signals", "test_student", "test_custom_model", "test_reduced_scale",
    "test_controls", "test_next_commands", "test_pretraining", "test_adapter_tokenizers",
    "test_printed_commands", "test_texts_of_a_sweep", "test_embedded", "test_fault_injection",
    "test_tokenization", "test_hub", "test_distributed", "test_requests_of_models",
    "test_capacity_gap", "test_limit", "test_tasks_beside_hflm", "test_out_of_memory",
    "test_figures", "test_sources", "test_law_coverage", "test_shapes_sentences", "test_resume",
    "test_prune", "test_law", "test_sync", "test_own_parts", "test_teacher_free_vs_kd",
    "test_security", "test_tasks_sweep", "test_failed_trials",
)  # fmt: skip
"""Of two processes, none is then left alone with a long file at the end."""


def pytest_configure(config):
    config.pluginmanager.register(cpu_time := CpuTime(config))
    config.pluginmanager.register(ForkedRun(config, cpu_time))


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    gc.disable()  # nothing that test files import could go: looking for it is a third of the time
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


def pytest_collection_modifyitems(items):
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


@pytest.fixture(autouse=True)
def nothing_left(request):
    """A Ray session, or a CPU of the shared Ray, that a test kept would be missing to the next."""
    before, mode = ray_is_on(), os.environ.get("RAY_AUTH_MODE")  # a module's own
    yield
    if os.environ.get("RAY_AUTH_MODE") != mode:
        pytest.fail("Ray gave this process a token for good: the shared Ray, without one, hangs")
    if ray_is_on() and not before:
        sys.modules["ray"].shutdown()
        pytest.fail("left a Ray session open")
    if "ray_address" in request.fixturenames:
        kept = kept_of(request.getfixturevalue("ray_address"))
        if kept:
            pytest.fail(f"still holds CPUs or GPUs: {kept}")


def ray_is_on():
    return "ray" in sys.modules and sys.modules["ray"].is_initialized()


@pytest.fixture
def own_parts(tmp_path, monkeypatch):
    """Writes files into a folder of one's own parts; each time as if in a new process."""
    folder = tmp_path / "own"
    before, paths = set(sys.modules), {kind.package: part_folders(kind) for kind in KINDS}
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv(PARTS_VARIABLE, str(folder))

    def forget():
        for name in set(sys.modules) - before:
            if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
                del sys.modules[name]
        part_identity._identity.cache_clear()
        importlib.invalidate_caches()

    def write(files):
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))
        forget()
        return folder

    yield write
    forget()
    for package in sys.modules.keys() & paths.keys():
        sys.modules[package].__path__ = paths[package]


@pytest.fixture
def all_progress(monkeypatch):
    """Progress is printed as often as it is reported, and not every 15 s."""
    monkeypatch.setattr("raydistill.reports.console.console.PLAIN_EVERY_S", 0.0)


@pytest.fixture(scope="session")
def forked_workers():
    """Arguments of a Ray node whose workers do not import torch anew, each for seconds."""
    from support.forked_workers import forking

    with forking() as node:
        yield node


@pytest.fixture(scope="session")
def ray_cluster(forked_workers):
    """A Ray with two CPUs, for every test of this process that needs one and no matter which.

    Its workers find what lies here, and compete with tests on equal terms.
    """
    from support.ray_processes import cluster_of

    variables = {"PYTHONPATH": str(Path(__file__).parent), "RAY_worker_niceness": "0"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value, prepend=os.pathsep if name == "PYTHONPATH" else None)
        cluster = cluster_of(num_cpus=2, **forked_workers)
    yield cluster
    cluster.shutdown()


@pytest.fixture(scope="session")
def ray_address(ray_cluster):
    return ray_cluster.address


def kept_of(address):
    """What of a cluster's CPUs and GPUs stays in use; what a sweep held is back soon after it."""
    for _ in range(60):
        in_use = held(address)
        if not in_use:
            break
        time.sleep(0.5)
    return in_use


def held(address):
    """What of a cluster's CPUs and GPUs is in use, by node."""
    from ray._private.state import GlobalState
    from ray._raylet import GcsClientOptions

    state = GlobalState()
    state._initialize_global_state(GcsClientOptions.create(address, None, True, False))
    total, free = state.total_resources_per_node(), state.available_resources_per_node()
    names = ("CPU", "GPU")
    counts = {
        node: [total[node].get(name, 0) - free.get(node, {}).get(name, 0) for name in names]
        for node in total
    }
    state.disconnect()
    return {node: each for node, each in counts.items() if any(each)}


@pytest.fixture(scope="session")
def run_sweep(ray_address):
    """`run_sweep(name, storage, *flags)`: `sweeps/<name>.py` in this process on `ray_address`.

    Returns its `returncode`, `stdout` and `stderr`. One trial at a time, unless `--concurrent` is
    among the flags: every process that trains costs CPU seconds before its first step. On a
    `prepared` storage a sweep takes 6 and 1 for every trial.
    """
    from support import sweeping

    def run(name, storage, *flags):
        return sweeping.here(name, storage, "--concurrent", "1", *flags, RAY_ADDRESS=ray_address)

    return run


@pytest.fixture(scope="session")
def make_once(tmp_path_factory, worker_id):
    """`make_once(name, make)`: a path that `make(path)` filled, in whichever process came first."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent

    def once(name, make):
        made, draft = shared / name, shared / f"{name}.draft"
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not made.exists():
                shutil.rmtree(draft, ignore_errors=True)
                make(draft)
                draft.rename(made)
        return made

    return once


@pytest.fixture(scope="session")
def migrated(make_once):
    """An empty database of MLflow: its migration takes five CPU seconds, a copy none."""

    def migrate(folder):
        from raydistill.tracking.client import open_client

        folder.mkdir()
        open_client(f"sqlite:///{folder}/mlflow.db")

    return make_once("migrated", migrate) / "mlflow.db"


@pytest.fixture(scope="session")
def with_embedded_text(make_once):
    """`with_embedded_text(storage)` fills a new storage with that corpus: 20 CPU seconds, once."""
    from raydistill.data.corpus.preparation import prepare_corpus
    from raydistill.storage.store import Store

    source = make_once("embedded", lambda root: prepare_corpus("embedded", store=Store(root)))
    return lambda storage: shutil.copytree(source, storage, dirs_exist_ok=True)


@pytest.fixture(scope="session")
def prepared(make_once, migrated):
    """`prepared(storage)` fills a new storage with what smoke trials start from; returns it."""
    from support import sweeping

    source = make_once("prepared", lambda storage: sweeping.prepare(storage, migrated))
    return lambda storage: shutil.copytree(source, storage, dirs_exist_ok=True)
