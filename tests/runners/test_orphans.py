import time

import ray
from ray.util import placement_group, placement_group_table, remove_placement_group

from raydistill.runners.tune.orphans import remove_orphans


def test_placement_groups_of_a_dead_actor_are_removed(joined_cluster):
    @ray.remote(num_cpus=0)
    class Maker:
        def hold(self):
            group = placement_group([{"CPU": 1}])
            group.wait(10)
            return group

    def states():
        return [placement_group_table(group)["state"] for group in (own, of_maker)]

    own, maker = placement_group([{"CPU": 1}]), Maker.remote()
    of_maker = ray.get(maker.hold.remote())
    remove_orphans()
    assert states() == ["CREATED", "CREATED"]
    ray.kill(maker)
    deadline = time.monotonic() + 20
    while states()[1] != "REMOVED" and time.monotonic() < deadline:
        remove_orphans()
        time.sleep(0.2)
    assert states() == ["CREATED", "REMOVED"]
    remove_placement_group(own)
