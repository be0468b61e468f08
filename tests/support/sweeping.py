"""Running real sweeps on the smoke scale, and what they leave behind.

    run, start   a sweep as a process, on a Ray of its own unless RAY_ADDRESS names one
    here         a sweep in this process, on a Ray that is there; `command` for `raydistill`
    prepare      a storage with all that the smoke trials start from

CPU seconds of a small sweep: 45 as a process on an empty storage, 25 on a prepared one, and
10 here on a prepared one; `conftest.py` has fixtures for the last: `run_sweep` and `prepared`.
"""

import contextlib
import io
import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from raydistill.cli.console import raydistill
from raydistill.data.known_corpora import corpus_id
from raydistill.planning.artifacts import find_bases, pretraining
from raydistill.runners import stages
from raydistill.runners.pretraining import pretrain_work
from raydistill.runners.texts import CorpusJob, make_corpus
from raydistill.specs.scale import load_scale
from raydistill.storage.bundled import shipped_bases
from raydistill.storage.store import Store
from raydistill.training.jobs import BaseJob, PretrainJob

ROOT = Path(__file__).parents[2]
SCRIPT = "sweeps/where_to_drop.py"
CELLS = [
    ("320B", "none"), ("320B", "input"), ("320B", "output"), ("80B", "none"), ("80B", "input"),
]  # fmt: skip
TIMES = (
    "train_s", "evaluate_s", "peak_bytes", "held_bytes", "expected_bytes", "started_s", "ended_s",
    "checkpoint_s",
)  # fmt: skip


def environment(storage, **more):
    """The smoke scale, its own storage, and nothing of a cluster that may run outside."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("RAY", "MLFLOW"))}
    return kept | {
        "RAYDISTILL_SCALE": "smoke", "RAYDISTILL_STORAGE": str(storage), "COLUMNS": "120",
        "RAYDISTILL_PARTS": "", **more,
    }  # fmt: skip


def start(storage, *flags, script=SCRIPT, **more):
    """The sweep as a process of its own session, so that it can be killed alone."""
    return subprocess.Popen(
        [sys.executable, script, *flags], cwd=ROOT, env=environment(storage, **more),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def run(storage, *flags, **more):
    """The finished process, with `stdout`, `stderr`, `returncode` and `seconds`."""
    begun_s = time.monotonic()
    process = start(storage, *flags, **more)
    out, err = process.communicate(timeout=900)
    done = subprocess.CompletedProcess(process.args, process.returncode, out, err)
    done.seconds = time.monotonic() - begun_s
    return done


def here(name, storage, *flags, **more):
    """`sweeps/<name>.py` in this process: its `returncode`, `stdout` and `stderr`."""
    script = str(ROOT / "sweeps" / f"{name}.py")
    argv, variables = [script, *flags], environment(storage, **more)
    return in_this_process(lambda: runpy.run_path(script, run_name="__main__"), argv, variables)


@contextlib.contextmanager
def beside(act):
    """Within the block, where a sweep runs here, `act(wait_until)` runs in a thread.

    `wait_until(condition)` returns once that holds; it fails if the block is over before.
    """
    over = threading.Event()

    def wait_until(condition):
        while not condition():
            assert not over.wait(0.05)

    with ThreadPoolExecutor(1) as pool:
        acting = pool.submit(act, wait_until)
        try:
            yield
        finally:
            over.set()
        acting.result()


def printed_so_far():
    """What a sweep that runs here has printed."""
    return sys.stdout.getvalue() if isinstance(sys.stdout, io.StringIO) else ""


def command(storage, *words, **more):
    """`raydistill <words>` in this process, in the same way."""
    variables = environment(storage, **more)
    return in_this_process(raydistill, ["raydistill", *map(str, words)], variables)


def killed_by_plan(storage, fault, *words, **more):
    """`raydistill <words>` as a process that a planned fault kills; whether it did.

    The fault is noted in the storage: the same words, with `command`, do not meet it again.
    """
    program = "from raydistill.cli.console import raydistill; raydistill()"
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, words)], cwd=ROOT, capture_output=True,
        env=environment(storage, RAYDISTILL_FAULTS=fault, **more), check=False,
    )  # fmt: skip
    return done.returncode == -signal.SIGKILL


def in_this_process(program, argv, variables, folder=None):
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(io.StringIO()) as out,
        contextlib.redirect_stderr(io.StringIO()) as err,
    ):
        for name in set(os.environ) - set(variables):
            patch.delenv(name)
        for name, value in variables.items():
            patch.setenv(name, value)
        patch.setattr(sys, "argv", argv)
        patch.setattr(sys, "path", [*sys.path])
        patch.chdir(folder or ROOT)
        with pytest.raises(SystemExit) as end:
            program()
    return subprocess.CompletedProcess(argv, end.value.code, out.getvalue(), err.getvalue())


def prepare(storage, database):
    """Fill `storage`, without Ray: corpus, task items, bases and their scores, `database`."""
    scale, store = load_scale("smoke"), Store(storage)
    make_corpus(CorpusJob(scale=scale, storage=str(storage)))
    corpus = corpus_id(scale, store)
    common = {"evaluation": scale.evaluation, "storage": str(storage)}
    ages_tokens = tuple(scale.age_tokens(age) for age in scale.ages)
    spec = pretraining(scale, corpus)
    for _ in pretrain_work(PretrainJob(spec=spec, ages_tokens=ages_tokens, **common)):
        pass
    for base in find_bases(scale, corpus, store, scale.ages, shipped_bases(scale)).values():
        asked = {"weights_sha256": base.weights_sha256, "layers": ()}
        stages.measure_base(BaseJob(corpus_sha256=corpus.corpus_sha256, **asked, **common))
    shutil.copy(database, storage / "mlflow.db")


def assert_all_gone(sessions, within_s):
    """Nothing that these sweeps started still runs, or it ends by itself in time."""
    deadline = time.monotonic() + within_s
    while (left := leftovers(sessions)) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert left == []


def leftovers(sessions):
    """Processes that still run in the sessions of sweeps that are gone."""
    found = []
    for process in psutil.process_iter(["pid", "name", "status"]):
        try:
            ours = os.getsid(process.pid) in sessions and process.info["status"] != "zombie"
            if ours and not process.info["name"].endswith("Agent"):  # Ray's, gone after a minute
                found.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found


def results(storage):
    """Every trial's spec, curves, weights and scores, without the seconds that they took."""
    found = {}
    for path in sorted(Path(storage).glob("trials/*/trained.json")):
        trained = json.loads(path.read_text())
        for name in TIMES:
            trained.pop(name, None)
            trained["cost"].pop(name, None)
        scores = Path(storage, "scores", trained["weights_sha256"])
        kept = scores.glob("[!.]*")  # not what a kill left half-written
        found[path.parent.name] = trained, {p.name: p.read_text() for p in kept}
    return found


def runs(storage, sweep="where_to_drop"):
    """All of MLflow's runs of a sweep in the storage's database, and the client to ask for more."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{storage}/mlflow.db")
    experiment = client.get_experiment_by_name(f"raydistill/{sweep}")
    return client, client.search_runs([experiment.experiment_id], max_results=1000)


def cells(storage):
    """The runs that are cells, students of teachers or controls."""
    return [
        run for run in runs(storage)[1] if run.data.tags["role"] in ("cell", "taught", "control")
    ]


def kill_amid(name, storage, *flags, **more):
    """Start a sweep as a process, and kill it as soon as one trial has ended."""
    process = start(storage, *flags, script=f"sweeps/{name}.py", **more)
    deadline = time.monotonic() + 200
    while not list(Path(storage).glob("trials/*/trained.json")) and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.communicate()


def assert_every_step_once(storage, sweep):
    """Every run is finished, and has each step of its trial once; returns those of cells."""
    client, found = runs(storage, sweep)
    assert {run.info.status for run in found} == {"FINISHED"}
    trained = results(storage)
    children = [run for run in found if run.data.tags["role"] in ("cell", "taught", "control")]
    for run in children:
        curve = trained[run.data.tags["trial_id"]][0]["curve"]
        history = client.get_metric_history(run.info.run_id, "train_loss")
        assert [point.step for point in history] == [step["tokens"] for step in curve]
    return children


def assert_tracked_once(storage, expected, sweep="where_to_drop"):
    """One finished run per cell, and every step of every curve once."""
    client, found = runs(storage, sweep)
    assert {run.info.status for run in found} == {"FINISHED"}
    children = [run for run in found if run.data.tags["role"] in ("cell", "taught", "control")]
    asked = [(run.data.params["age"], run.data.params["location"]) for run in children]
    assert sorted(asked) == sorted(expected)
    for run in children:
        for name in ("train_loss", "heldout_nll"):
            history = [metric.step for metric in client.get_metric_history(run.info.run_id, name)]
            assert len(history) == len(set(history)) > 0
        steps = len(client.get_metric_history(run.info.run_id, "train_loss"))
        assert steps == 17  # warm phase 1, budget 16
