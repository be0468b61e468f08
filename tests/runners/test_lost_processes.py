"""Tune gets every lost process in a form that it knows."""

from copy import deepcopy

import pytest
from ray.air.execution import PlacementGroupResourceManager, ResourceRequest
from ray.air.execution._internal import RayActorManager
from ray.air.execution._internal.tracked_actor_task import TrackedActorTask
from ray.exceptions import OutOfMemoryError, RayActorError, WorkerCrashedError

from raydistill.runners.cluster.memory import shortage_in
from raydistill.runners.tune.lost_processes import losses_are_deaths
from support.short_of_memory import MESSAGE


class Idle:
    pass


@pytest.mark.parametrize("error", [OutOfMemoryError(MESSAGE), WorkerCrashedError()])
def test_a_loss_that_ends_a_whole_run_of_tune_is_the_death_of_one_actor(joined_cluster, error):
    manager = RayActorManager(resource_manager=PlacementGroupResourceManager())
    began, failures, shortages = [], [], []

    def on_error(actor, failure):
        failures.append(failure)

    request = ResourceRequest([{"CPU": 1}])
    actor = manager.add_actor(Idle, {}, request, on_start=began.append, on_error=on_error)
    while not began:
        manager.next(timeout=1)
    task = TrackedActorTask(actor, on_error=on_error)
    with pytest.raises(RuntimeError, match="Caught unexpected exception"):
        manager._actor_task_failed(tracked_actor_task=task, exception=error)
    with losses_are_deaths(lambda failure, shortage: shortages.append(shortage)):
        manager._actor_task_failed(tracked_actor_task=task, exception=error)
    manager.cleanup()
    assert len(failures) == 2  # of the actor and of its task
    assert all(isinstance(failure, RayActorError) for failure in failures)
    assert "payroll" not in f"{failures[0]}"
    assert str(deepcopy(failures[0])) == str(failures[0])  # Tune keeps it in a file
    assert shortages == [shortage_in(error)]
