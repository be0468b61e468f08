"""A teacher on devices of its own: a Ray actor that several students ask.

For teachers that do not fit beside a student. The logits travel in full, so the student's bits are
those of a teacher on its own device. A teacher keeps nothing but its weights: where its process or
its node is lost, it stands up again elsewhere, and is asked once more what it did not answer.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayError

from raydistill.core.fault_injection import fault_point
from raydistill.runners.cluster.connection import Need
from raydistill.runners.cluster.failures import ATTEMPTS, told
from raydistill.runners.cluster.local_copy import local_storage
from raydistill.specs.trial import ExternalBase, Recipe, TrialSpec
from raydistill.storage.store import Store

if TYPE_CHECKING:
    import torch

    from raydistill.data.batches import Batch
    from raydistill.distillation.answers import TeacherAnswer


@contextmanager
def teacher_actors(
    specs: Sequence[TrialSpec], need: Need, storage: str
) -> Iterator[Mapping[str, str]]:
    """One actor for each teacher and precision that `specs` have, gone after the block.

    Each holds `need`, waits for room if it must, and loads its weights before the block begins.

    Yields:
        The actor's name, by trial id.

    Raises:
        RaydistillError: if a teacher's weights cannot be had.
    """
    by_trial = {
        spec.trial_id: f"teacher-{spec.teacher.weights_sha256[:16]}-{spec.train.recipe.precision}"
        for spec in specs
        if isinstance(spec.teacher, ExternalBase)
    }
    first = {by_trial[s.trial_id]: s for s in reversed(specs) if s.trial_id in by_trial}
    place = ray.remote(
        num_cpus=need.get("CPU", 0),
        num_gpus=need.get("GPU", 0),
        max_restarts=-1,
        max_task_retries=ATTEMPTS - 1,  # of one question; then the student's try has failed
    )(_Standing)
    actors = []
    try:
        for name, spec in first.items():
            actors.append(place.options(name=name).remote(spec.teacher, spec.train.recipe, storage))
        _loaded(actors)
        yield by_trial
    finally:
        for actor in actors:
            ray.kill(actor)


def _loaded(actors: Sequence[Any]) -> None:
    try:
        ray.get([actor.is_loaded.remote() for actor in actors])
    except RayError as error:
        raise told(error, "loading a teacher") from None


class _Standing:
    """On a worker: the frozen teacher. Torch is imported when it first needs it."""

    def __init__(self, teacher: ExternalBase, recipe: Recipe, storage: str) -> None:
        self._what = teacher, recipe, storage

    def is_loaded(self) -> bool:
        """Load the weights.

        Raises:
            DataError: if they cannot be had.
        """
        return self._teacher is not None

    def logits(self, batch: "Batch") -> "torch.Tensor":
        """All logits of some windows, on the CPU."""
        fault_point("teacher")
        whole: torch.Tensor = self._teacher(batch.to(self._teacher.world.device)).logits.cpu()
        return whole

    @cached_property
    def _teacher(self) -> Any:
        from raydistill.distillation.teachers import OnlineTeacher  # noqa: PLC0415
        from raydistill.models.distributed import World  # noqa: PLC0415
        from raydistill.models.weights import load_weights  # noqa: PLC0415  (torch)
        from raydistill.training.bases import base_folder  # noqa: PLC0415

        teacher, recipe, storage = self._what
        with local_storage(storage, teacher) as (there, _):
            folder = base_folder(teacher.weights_sha256, Store(Path(there)))
            return OnlineTeacher(load_weights(folder).model, recipe, World.here())


class RemoteTeacher:
    """What a student's loss asks in the actor's stead."""

    def __init__(self, name: str) -> None:
        self._actor = ray.get_actor(name)

    def __call__(self, batch: "Batch") -> "TeacherAnswer":
        """The teacher's logits, brought to the student's device."""
        from raydistill.distillation.answers import WholeAnswer  # noqa: PLC0415  (torch)

        asked = self._actor.logits.remote(batch.to("cpu"))
        return WholeAnswer(ray.get(asked).to(batch.ids.device))
