"""Bases: one pretraining run saves every age; a base is found by the sha256 of its weights."""

import json
import uuid
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import torch
from torch import Tensor

from raydistill.checkpoint import WEIGHTS, load_weights, save_weights
from raydistill.choices import layer_choice_path
from raydistill.codec import to_json
from raydistill.errors import DataError
from raydistill.evaluate import scores_of
from raydistill.jobs import BaseJob, PretrainJob
from raydistill.manifest import sha256_of, write_text
from raydistill.models import build
from raydistill.outcomes import HeldoutPoint, Progress
from raydistill.resume import sit_down
from raydistill.scores import choose_layers
from raydistill.spec import RandomBase
from raydistill.store import Store
from raydistill.surgery import Student
from raydistill.tokens import TokenFile, open_tokens
from raydistill.world import World

AGES, RECORD = "ages.json", "record.json"

SCORED_WINDOWS, SAMPLES = 64, 5
"""Windows in a sample that layers are chosen from, and samples that tell how sure the choice is."""

SCORED_TOKENS = 2_048
"""In one forward pass, or one window: logits of a large vocabulary fill a memory."""


def base_folder(weights_sha256: str, store: Store) -> Path:
    """The weights folder of a base: from the store, or one that the package ships.

    Raises:
        DataError: if there is none, or its bytes are not those of the name.
    """
    shipped = Path(str(resources.files("raydistill"))) / "bases"
    for folder in (store.path("bases", weights_sha256), *sorted(shipped.glob("*/*"))):
        path = folder / WEIGHTS
        if path.is_file() and sha256_of(path) == weights_sha256:
            return folder
        if folder.name == weights_sha256 and path.is_file():
            raise DataError(f"{path} has not the sha256 of its name: it was changed; delete it")
    raise DataError(f"no base with the sha256 {weights_sha256} in {store.root} or the package")


def load_verified(folder: Path, weights_sha256: str) -> Student:
    """The student in `folder`, if its bytes are those that were asked for.

    Raises:
        DataError: if they are not.
    """
    if sha256_of(folder / WEIGHTS) != weights_sha256:
        raise DataError(f"{folder / WEIGHTS} has not the sha256 {weights_sha256}: it was changed")
    return load_weights(folder)


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
    sitting = sit_down(student, job, folder, world)
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


def measure(job: BaseJob, *, world: World) -> None:
    """Measure a base as trials will be, and choose its layers by training windows.

    Raises:
        DataError: if the corpus is too short, or a score breaks its promise.
    """
    store = Store(Path(job.storage))
    corpus = store.path("corpora", job.corpus_sha256)
    model = load_weights(base_folder(job.weights_sha256, store)).model.to(world.device)
    scores_of(job.weights_sha256, lambda: model, store=store, folder=corpus, spec=job.evaluation)
    samples = calibration_samples(open_tokens(corpus, model.config), world.device)
    for choice in choose_layers(model, samples, job.layers):
        place = layer_choice_path(job.weights_sha256, job.corpus_sha256, choice.request)
        store.save(choice, *place)


def calibration_samples(data: TokenFile, device: torch.device) -> list[list[Tensor]]:
    """Five disjoint samples of 64 training windows, each spread over the corpus, in small batches.

    Int64 [B, context] on `device`. A short corpus gives fewer samples, a very short one fewer
    windows.
    """
    size = min(SCORED_WINDOWS, data.num_windows)
    samples = min(SAMPLES, data.num_windows // size)
    total = samples * size
    spread = [i * data.num_windows // total for i in range(total)]
    per_batch = max(1, SCORED_TOKENS // data.context)
    return [
        [ids[:, :-1].to(device) for ids in data.windows(spread[first::samples]).split(per_batch)]
        for first in range(samples)
    ]
