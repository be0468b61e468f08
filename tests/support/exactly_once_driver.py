"""A driver that trains four cells with a dummy generator and keeps MLflow in step.

`drive_until(storage, moment)` is the target of a process, which kills itself (signal 9) at the
moment: `training:N` after the N-th step of this process, `syncing:N` in the middle of the N-th
batch of metrics, `between:N` after the N-th sync; `never` runs to the end. What the next process
finds is the store, as after any `kill -9`.
"""

import dataclasses
import os
import signal
from collections import Counter

from raydistill.core.units import B
from raydistill.specs.results import Progress
from raydistill.storage.store import Store
from raydistill.tracking.destination import default_uri
from raydistill.tracking.sync import sync_sweep as sync_sweep
from support.tracked_samples import cell, curve_of, measured, partial, spec_of, sweep_of

AGE = 320 * B
LOCATIONS = ("none", "input", "middle", "output")
STEPS = 20
STEPS_PER_SYNC = 8


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """How far a trial had come when it was last saved."""

    curve: tuple[Progress, ...]


class Moments:
    """Counts what happens and ends the process, with no chance to tidy up, when it is time."""

    def __init__(self, fatal):
        self.fatal = fatal
        self.seen = Counter()

    def reach(self, name):
        self.seen[name] += 1
        if f"{name}:{self.seen[name]}" == self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    def reached_while_writing(self, log_batch):
        """`log_batch` that writes half of the metrics before the moment, the rest after it."""

        def halved(client, run_id, metrics=(), **others):
            half = len(metrics) // 2
            log_batch(client, run_id, metrics=metrics[:half], **others)
            if metrics:
                self.reach("syncing")
                log_batch(client, run_id, metrics=metrics[half:])

        return halved


def train(store, location, moments):
    """Yield after each step; the checkpoint lags behind, as checkpoints do."""
    spec = spec_of(AGE, location)
    saved = store.load(Checkpoint, "trials", spec.trial_id, "checkpoint.json")
    done = saved.curve if saved else ()
    for step in tuple(curve_of(spec, STEPS))[len(done) :]:
        done = (*done, step)
        if len(done) % 5 == 0:
            store.save(Checkpoint(curve=done), "trials", spec.trial_id, "checkpoint.json")
        moments.reach("training")
        yield len(done)


def snapshot(store, progress):
    """The sweep as the store holds it, and what is known of the cell in training."""
    cells = []
    for location in LOCATIONS:
        finished = store.trained(spec_of(AGE, location).trial_id)
        if finished:
            outcome = measured(AGE, location)
            result = dataclasses.replace(outcome.result, trained=finished)
            cells.append(cell(AGE, location, dataclasses.replace(outcome, result=result)))
        elif location in progress:
            cells.append(cell(AGE, location, partial(AGE, location, progress[location])))
    return sweep_of(*cells, running=len(cells) < len(LOCATIONS) or bool(progress))


def drive(storage, moments):
    store = Store(storage)
    uri = default_uri(store)

    def sync(progress):
        sync_sweep(snapshot(store, progress), uri=uri, store=store)
        moments.reach("between")

    for location in LOCATIONS:
        trial_id = spec_of(AGE, location).trial_id
        if store.trained(trial_id):
            continue
        for steps in train(store, location, moments):
            if steps % STEPS_PER_SYNC == 0:
                sync({location: steps})
        store.save(measured(AGE, location).result.trained, "trials", trial_id, "trained.json")
    sync({})


def drive_until(storage, moment):
    """In a process of its own: it patches MLflow's client."""
    from mlflow import MlflowClient

    moments = Moments(moment)
    MlflowClient.log_batch = moments.reached_while_writing(MlflowClient.log_batch)
    drive(storage, moments)
