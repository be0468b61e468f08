"""Bases: one pretraining run saves every age; a base is found by the sha256 of its weights."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

from raydistill.core.serialization import to_json
from raydistill.models.decoder import build
from raydistill.models.distributed import World
from raydistill.models.student import Student
from raydistill.models.weights import WEIGHTS, save_weights
from raydistill.specs.results import HeldoutPoint, Progress
from raydistill.specs.trial import RandomBase
from raydistill.storage.manifest import sha256_of, write_text
from raydistill.storage.store import Store
from raydistill.training.jobs import PretrainJob
from raydistill.training.resume import resume_or_start

AGES, RECORD = "ages.json", "record.json"


def pretrain(job: PretrainJob, *, world: World) -> Iterator[Progress | HeldoutPoint]:
    """Train a base from fresh weights; as each age passes, its weights become a base.

    Which base each age became stands in `pretraining/<trial_id>/ages.json`. A run that was
    interrupted goes on from its newest checkpoint.

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
    sitting = resume_or_start(student, job, folder, world)
    for item in sitting.items:
        if world.leads and isinstance(item, Progress) and item.tokens in job.ages_tokens:
            keep_base(student, item.tokens, folder=folder, store=store)
        yield item
    if world.leads:
        write_text(folder / RECORD, to_json(sitting.record))


def keep_base(student: Student, age_tokens: int, *, folder: Path, store: Store) -> None:
    """Put the weights into the store as a base, and note which age they are."""
    ages = read_ages(folder)
    draft = folder / f".{uuid.uuid4().hex}"
    draft.mkdir(parents=True)
    save_weights(draft, student)
    sha256 = sha256_of(draft / WEIGHTS)
    with store.making("bases", sha256) as base:
        for file in draft.iterdir():
            file.rename(base / file.name)
    draft.rmdir()
    write_text(folder / AGES, json.dumps({**ages, str(age_tokens): sha256}, indent=1))


def read_ages(folder: Path) -> dict[str, str]:
    """Age in tokens → sha256 of the base's weights, for the ages that have passed."""
    path = folder / AGES
    if not path.is_file():
        return {}
    ages: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return ages
