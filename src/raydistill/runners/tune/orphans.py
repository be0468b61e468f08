"""Frees what a trial on several devices that died still holds of the cluster.

Ray Train's placement groups outlive the controller that made them. Train's own cleaner asks Ray's
State API, which a session without a dashboard does not have. Where such a group lost a node, Ray
looks for another one for it, and places no group after it: the trial would never begin again.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import ray
from ray._private.state import state
from ray._raylet import ActorID, PlacementGroupID
from ray.core.generated.gcs_pb2 import PlacementGroupTableData
from ray.exceptions import RayError
from ray.util.placement_group import PlacementGroup, remove_placement_group

from raydistill.core.background import repeated

LOOK_EVERY_S = 2.0


@contextmanager
def orphans_removed() -> Iterator[None]:
    """During the block, remove this job's placement groups whose makers are dead, as they die."""

    def look() -> None:
        with suppress(RayError, RuntimeError):  # the head does not answer: next time
            remove_orphans()

    with repeated(look, LOOK_EVERY_S):
        yield


def remove_orphans() -> None:
    """Remove the placement groups of this job whose makers are dead."""
    job = bytes.fromhex(ray.get_runtime_context().get_job_id())
    for text in state._connect_and_get_accessor().get_placement_group_table():
        group = PlacementGroupTableData.FromString(text)
        of_an_actor = group.creator_actor_id and not ActorID(group.creator_actor_id).is_nil()
        removed = group.state == PlacementGroupTableData.REMOVED
        ours = group.creator_job_id == job and of_an_actor  # the driver's are Tune's, and in use
        if ours and group.creator_actor_dead and not removed:
            remove_placement_group(PlacementGroup(PlacementGroupID(group.placement_group_id)))
