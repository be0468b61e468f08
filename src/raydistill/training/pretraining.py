"""Pretraining: one run makes the base of every age, each named by the sha256 of its weights."""

import json
from collections.abc import Iterator
from pathlib import Path

from raydistill.core.serialization import to_json
from raydistill.models.decoder import build
from raydistill.models.distributed import World
from raydistill.models.student import Student
from raydistill.models.weights import store_base
from raydistill.specs.results import HeldoutPoint, Progress
from raydistill.specs.trial import RandomBase
from raydistill.storage.manifest import write_text
from raydistill.storage.store import Store
from raydistill.training.jobs import PretrainJob
from raydistill.training.resume import resume_or_start

AGES, RECORD = "ages.json", "record.json"


def pretrain(job: PretrainJob, *, world: World) -> Iterator[Progress | HeldoutPoint]:
    """Train from fresh weights; at each age the weights become a base in the store.

    `pretraining/<trial_id>/ages.json` says which. An interrupted run resumes from its newest
    checkpoint.

    Raises:
        DataError: if the corpus is too short, or has ids that the model does not know.
        ValueError: if an age is not a whole step of this run.
    """
    spec, store = job.spec, Store(Path(job.storage))
    assert isinstance(spec.base, RandomBase), spec
    recipe = spec.train.recipe
    for age in job.ages_tokens:
        if age % recipe.batch_tokens or age > recipe.total_tokens:
            raise ValueError(f"age {age} is not a step of a run of {recipe.total_tokens} tokens")
    folder = store.path("pretraining", spec.trial_id)
    student = Student(build(spec.base.model, spec.base.seed))
    student.model.to(world.device)
    run = resume_or_start(student, job, folder, world)
    for item in run.items:
        if world.leads and isinstance(item, Progress) and item.tokens in job.ages_tokens:
            _note_age(folder / AGES, item.tokens, store_base(student, store))
        yield item
    if world.leads:
        write_text(folder / RECORD, to_json(run.record))


def _note_age(path: Path, age_tokens: int, sha256: str) -> None:
    ages = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    write_text(path, json.dumps({**ages, str(age_tokens): sha256}, indent=1))
