"""A teacher on devices of its own: a Ray actor that several students query.

For teachers that do not fit beside a student. The logits travel in full, so the student's bits are
those of a teacher on its own device. An actor's only state is the weights: if its process or node
is lost, Ray restarts it elsewhere and repeats the calls that it did not answer.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayError

from raydistill.core.errors import SetupError
from raydistill.core.fault_injection import fault_point
from raydistill.distillation.teacher_placement import AUTO, OWN_DEVICES, SAME_DEVICE
from raydistill.planning.cell import Cell
from raydistill.runners.cluster.connection import Need, ray_options, wait_for
from raydistill.runners.cluster.failures import ATTEMPTS, readable_error
from raydistill.runners.cluster.local_copy import local_storage
from raydistill.runners.cluster.progress import progress_sent, tasks_shown
from raydistill.runners.cluster.tasks import run_once
from raydistill.specs.flops import parameters
from raydistill.specs.trial import ExternalBase, NoTeacher, Recipe, TrialSpec
from raydistill.storage.store import Store

if TYPE_CHECKING:
    import torch

    from raydistill.data.batches import Batch
    from raydistill.distillation.answers import TeacherAnswer


def teachers_apart(cells: Sequence[Cell], placement: str, need: Need) -> bool:
    """Whether teachers are placed on devices of their own.

    By `auto` they are if a teacher and its student do not fit on one device together: four bytes a
    parameter of the teacher and sixteen of the student, half of the memory left to activations.
    CPUs are assumed to have enough memory.
    """
    pairs = [
        (cell.scale.model, cell.teacher.scale.model)
        for cell in cells
        if not isinstance(cell.teacher, NoTeacher)
    ]
    if placement != AUTO or not pairs:
        return bool(pairs) and placement == OWN_DEVICES
    if "GPU" not in need:
        return False
    memory_bytes = run_once(device_bytes, need)
    largest = max(16 * parameters(student) + 4 * parameters(teacher) for student, teacher in pairs)
    return 0 < memory_bytes < 2 * largest


def device_bytes() -> int:
    """On a worker: the memory of its GPU; 0 without one."""
    import torch  # noqa: PLC0415  (on the worker only)

    cuda = torch.cuda
    return cuda.get_device_properties(0).total_memory if cuda.is_available() else 0


@contextmanager
def teacher_actors(
    specs: Sequence[TrialSpec], need: Need, storage: str, *, beside: int, say: Callable[[str], None]
) -> Iterator[Mapping[str, str]]:
    """One actor for each teacher and precision of `specs`, ended after the block.

    Each holds `need`, waits for room if it must, and loads its weights before the block begins.

    Args:
        specs: of the trials.
        need: of one device.
        storage: its root.
        beside: the devices that one trial needs while they stand.
        say: gets a line a minute while nodes are waited for.

    Yields:
        The names of the actors, by trial id.

    Raises:
        RaydistillError: if the cluster never holds all teachers and a trial at once, or a
            teacher's weights cannot be had.
    """
    by_trial = {
        spec.trial_id: f"teacher-{spec.teacher.weights_sha256[:16]}-{spec.train.recipe.precision}"
        for spec in specs
        if isinstance(spec.teacher, ExternalBase)
    }
    first = {by_trial[s.trial_id]: s for s in reversed(specs) if s.trial_id in by_trial}
    if first:
        try:
            wait_for(need, times=len(first) + beside, say=say)
        except SetupError as error:
            raise SetupError(
                f"{len(first)} teacher(s) on devices of their own beside a trial: {error}; "
                f"--teacher-placement {SAME_DEVICE} takes none"
            ) from None
    remote_teacher = ray.remote(
        **ray_options(need),
        max_restarts=-1,
        max_task_retries=ATTEMPTS - 1,  # of one call; then the student's attempt has failed
    )(_TeacherActor)
    actors: list[Any] = []
    try:
        for name, spec in first.items():
            named_teacher = remote_teacher.options(name=name)
            actors.append(named_teacher.remote(name, spec.teacher, spec.train.recipe, storage))
        _wait_until_loaded(actors)
        yield by_trial
    finally:
        for actor in actors:
            ray.kill(actor)


def _wait_until_loaded(actors: Sequence[Any]) -> None:
    try:
        with tasks_shown(len(actors)):
            ray.get([actor.load.remote() for actor in actors])
    except RayError as error:
        raise readable_error(error, "loading a teacher") from None


class _TeacherActor:
    """On a worker: the frozen teacher. Torch is imported with the first call."""

    def __init__(self, name: str, teacher: ExternalBase, recipe: Recipe, storage: str) -> None:
        self._name, self._arguments = name, (teacher, recipe, storage)

    def load(self) -> bool:
        """Load the weights, or raise a DataError that says why they cannot be had."""
        with progress_sent(self._name):
            return self._teacher is not None

    def logits(self, batch: "Batch") -> "torch.Tensor":
        """The logits (B, T, V) of a batch, on the CPU."""
        fault_point("teacher")
        logits_BTV: torch.Tensor = self._teacher(batch.to(self._teacher.world.device)).logits.cpu()
        return logits_BTV

    @cached_property
    def _teacher(self) -> Any:
        from raydistill.distillation.teachers import OnlineTeacher  # noqa: PLC0415
        from raydistill.models.distributed import World  # noqa: PLC0415
        from raydistill.models.weights import load_weights  # noqa: PLC0415  (torch)
        from raydistill.training.bases import base_folder  # noqa: PLC0415

        teacher, recipe, storage = self._arguments
        with local_storage(storage, teacher) as (root, _):
            folder = base_folder(teacher.weights_sha256, Store(Path(root)))
            return OnlineTeacher(load_weights(folder).model, recipe, World.here())


class RemoteTeacher:
    """The actor as a student's loss calls it."""

    def __init__(self, name: str) -> None:
        self._actor = ray.get_actor(name)

    def __call__(self, batch: "Batch") -> "TeacherAnswer":
        """The teacher's logits, on the student's device."""
        from raydistill.distillation.answers import WholeAnswer  # noqa: PLC0415  (torch)

        logits_BTV = ray.get(self._actor.logits.remote(batch.to("cpu")))
        return WholeAnswer(logits_BTV.to(batch.ids.device))
