"""A sweep trained in this process, without Ray: what a storage is after one has run."""

import runpy
from pathlib import Path

from raydistill.cli.arguments.sweep_flags import plan_of
from raydistill.cli.arguments.sweep_parser import sweep_parser
from raydistill.evaluation.lm_harness.task_data import keep_task_data
from raydistill.models.distributed import World
from raydistill.planning.artifacts import ages_by_scale
from raydistill.planning.history.sweep_record import record_of, save_record
from raydistill.planning.prepared import prepare
from raydistill.runners import stages
from raydistill.runners.texts import CorpusJob, make_corpus
from raydistill.storage.owner import owner
from raydistill.storage.store import Store
from raydistill.training.jobs import TrialJob
from support.tiny import run_trial

SWEEPS = Path(__file__).parents[2] / "sweeps"


def plan(storage, *words, script="where_to_drop"):
    """What a sweep means, as its script reads the flags."""
    sweep = runpy.run_path(str(SWEEPS / f"{script}.py"))["sweep"]
    usual = {"--scale": "smoke", "--storage": str(storage)}
    more = [word for flag, value in usual.items() if flag not in words for word in (flag, value)]
    flags = sweep_parser(sweep).read([*words, *more])
    return plan_of(sweep, flags, f"python sweeps/{script}.py")


def train(storage, *words, script="where_to_drop"):
    """Every trial of a sweep, by its location; bases of our own must be there (`prepared`)."""
    planned, store = plan(storage, *words, script=script), Store(storage)
    scale = planned.scale
    if scale.brought:
        make_corpus(CorpusJob(scale=scale, storage=str(storage)))
    read_checkpoints(planned, storage)
    keep_task_data(scale.evaluation, planned.options.task_data, store)
    sweep = prepare(planned, store)
    results = {}
    for each in sweep.trials:
        base = sweep.artifacts.bases[each.cells[0].base.key].weights_sha256
        job = TrialJob(
            spec=each.trial, base_sha256=base, evaluation=each.scale.evaluation,
            storage=str(storage), sweep=planned.sweep.name, owner=owner(),
        )  # fmt: skip
        results[each.cells[0].request.location] = run_trial(job, world=World.here())
    save_record(record_of(sweep), store)
    return results


def read_checkpoints(planned, storage):
    """Put the checkpoints that a plan starts from, or is taught by, into the storage."""
    for each, ages in ages_by_scale(planned.cells):
        for age in ages if each.brought else ():
            stages.store_checkpoint(each.brought, str(age), each.model.context, str(storage))
