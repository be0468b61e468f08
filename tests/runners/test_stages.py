"""A sweep's stages wait for another sweep that makes the same, and find it made."""

import shutil
import threading
import time

import pytest

from raydistill.data.corpus.preparation import corpus_turn
from raydistill.data.corpus.request import corpus_request
from raydistill.data.known_corpora import corpus_id
from raydistill.planning.artifacts import pretraining
from raydistill.planning.prepared import prepare
from raydistill.runners import stages
from raydistill.storage import lock
from raydistill.storage.sharing import turn_of
from raydistill.storage.store import Store
from support import trained_here

TEXT, BASES = ("corpora", "text_facts", "items"), ("bases", "pretraining")


def turn(stage, plan, made):
    """What the stage of another sweep has the turn of."""
    if stage == "text":
        return corpus_turn(corpus_request(plan.scale))
    if stage == "bases":
        return "pretraining", pretraining(plan.scale, corpus_id(plan.scale, made)).trial_id
    (base,) = prepare(plan, made).artifacts.bases.values()
    return "scores", base.weights_sha256


@pytest.mark.parametrize(
    ("stage", "there"), [("text", ()), ("bases", TEXT), ("scores", (*TEXT, *BASES))]
)
def test_what_another_sweep_makes_is_waited_for(prepared, tmp_path, monkeypatch, stage, there):
    """No Ray is here: whatever were made a second time would end with an error."""
    monkeypatch.setattr(lock, "HEARTBEAT_S", 0.05)
    made, own = Store(prepared(tmp_path / "made")), Store(tmp_path / "own")
    for name in there:
        shutil.copytree(made.path(name), own.path(name))
    plan = trained_here.plan(own.root, "--age", "320B", "--location", "none,input")
    lines, results = [], []

    def run():
        results.append(stages.make_artifacts(plan, own, {"CPU": 1}, lines.append))

    thread = threading.Thread(target=run)
    with turn_of(own.root, *turn(stage, plan, made)):
        thread.start()
        while not lines and thread.is_alive():
            time.sleep(0.01)
        shutil.copytree(made.root, own.root, dirs_exist_ok=True)
    thread.join()
    assert "which makes the same " in lines[0]
    assert not [line for line in lines if line.startswith(("tokenis", "pretrain", "measur"))]
    assert all(trial.has_final_id for trial in results[0].trials)
