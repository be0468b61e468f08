"""Bases are pretrained side by side; what is lost or stopped goes on."""

import os
import signal
import threading
import time

import pytest

from raydistill.core.fault_injection import LOG_VARIABLE, PLAN_VARIABLE
from raydistill.core.progress import listening
from raydistill.core.serialization import from_json
from raydistill.data.known_corpora import corpus_id
from raydistill.planning.artifacts import pretraining
from raydistill.runners.cluster.connection import connected
from raydistill.runners.pretraining import pretrain_bases, pretrain_work
from raydistill.runners.texts import CorpusJob, make_corpus
from raydistill.specs.results import Record
from raydistill.specs.scale import load_scale
from raydistill.storage.manifest import steps_of
from raydistill.storage.store import Store
from raydistill.training.jobs import PretrainJob

CPU = {"CPU": 1.0}
SCALES = [load_scale(f"smoke_family+width={width}") for width in (8, 32, 24)]


@pytest.fixture(scope="module")
def log(ray_cluster, tmp_path_factory):
    """One node with two CPUs; the first process to begin a fifth step is killed there."""
    folder = tmp_path_factory.mktemp("log")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ADDRESS", ray_cluster.address)
        patch.setenv(PLAN_VARIABLE, "kill@step=5")
        patch.setenv(LOG_VARIABLE, str(folder / "faults"))
        with connected(folder / "ray.log"):
            yield folder


def store_with_text(folder):
    make_corpus(CorpusJob(scale=SCALES[0], storage=str(folder)))
    return Store(folder)


def folder_of(scale, store):
    return store.path("pretraining", pretraining(scale, corpus_id(scale, store)).trial_id)


def made(store):
    """What the runs have left: their ages, by scale."""
    files = {scale.name: folder_of(scale, store) / "ages.json" for scale in SCALES}
    return {name: file.read_text() for name, file in files.items() if file.is_file()}


def test_runs_go_side_by_side_and_one_that_is_lost_goes_on(log, tmp_path):
    store, lines, reports = store_with_text(tmp_path / "here"), [], []
    with listening(reports.append):
        pretrain_bases(SCALES, store, CPU, lines.append)
    assert [path.name for path in (log / "faults").iterdir()] == ["kill@step=5,rank=0-1"]
    tokens = SCALES[0].pretrain.total_tokens
    assert lines == [f"pretraining the bases of 3 scales: {3 * tokens / 1000:g}K tokens"]
    told = [p for p in reports if p.stage != "hashing"]  # of the text, which the driver looks up
    assert {(p.stage, p.total, p.unit) for p in told} == {("pretraining", 3 * tokens, "tokens")}
    assert any(0 < p.done < p.total for p in told)
    files = [folder_of(scale, store) / "record.json" for scale in SCALES]
    begun = sorted(from_json(Record, file.read_text()).started_s for file in files)
    assert begun[1] < min(file.stat().st_mtime for file in files)  # before any has ended
    pretrain_bases(SCALES, store, CPU, lines.append)
    assert len(lines) == 1
    alone = store_with_text(tmp_path / "alone")
    spec = pretraining(SCALES[0], corpus_id(SCALES[0], alone))
    for _ in pretrain_work(job(spec, alone)):
        pass
    assert made(alone).items() <= made(store).items()


def job(spec, store):
    scale = SCALES[0]
    ages = tuple(scale.age_tokens(age) for age in scale.ages)
    return PretrainJob(
        spec=spec, ages_tokens=ages, evaluation=scale.evaluation, storage=str(store.root)
    )


def test_a_stop_ends_every_run_at_its_next_step_with_a_checkpoint(log, tmp_path):
    store = store_with_text(tmp_path)

    def stop():
        """Once the first of them trains."""
        while not made(store):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=stop)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        pretrain_bases(SCALES, store, CPU, lambda line: None)
    thread.join()
    stopped = [steps_of(folder_of(scale, store)) for scale in SCALES]
    assert any(stopped)
    lines = []
    pretrain_bases(SCALES, store, CPU, lines.append)
    assert lines
    assert len(made(store)) == 3
