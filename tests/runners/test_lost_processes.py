"""Tune gets every lost process in a form that it knows."""

from collections import deque
from copy import deepcopy

import pytest
from ray.air.execution import PlacementGroupResourceManager, ResourceRequest
from ray.air.execution._internal import RayActorManager
from ray.air.execution._internal.tracked_actor_task import TrackedActorTask
from ray.exceptions import OutOfMemoryError, RayActorError, WorkerCrashedError

from raydistill.runners.cluster.memory import shortage_in
from raydistill.runners.tune.lost_processes import losses_are_deaths
from support.short_of_memory import MESSAGE


@pytest.mark.parametrize("error", [OutOfMemoryError(MESSAGE), WorkerCrashedError()])
def test_tune_gets_every_lost_process_as_a_death(joined_cluster, error):
    """Its own manager ends the whole run at what it does not know."""
    manager = RayActorManager(resource_manager=PlacementGroupResourceManager())
    failures, shortages = [], []

    def on_error(actor, failure):
        failures.append(failure)

    actor = manager.add_actor(deque, {}, ResourceRequest([{"CPU": 1}]), on_error=on_error)
    task = TrackedActorTask(actor, on_error=on_error)
    with pytest.raises(RuntimeError, match="Caught unexpected exception"):
        manager._actor_task_failed(tracked_actor_task=task, exception=error)
    with losses_are_deaths(shortages.append):
        manager._actor_task_failed(tracked_actor_task=task, exception=error)
    assert len(failures) == 2  # of the actor and of its task
    assert all(isinstance(failure, RayActorError) for failure in failures)
    assert "payroll" not in f"{failures[0]}"
    assert str(deepcopy(failures[0])) == str(failures[0])  # Tune keeps it in a file
    assert shortages == [shortage_in(error)]
    manager.cleanup()
