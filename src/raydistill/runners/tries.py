"""How often something is tried: `ATTEMPTS` times where it gets no further, else without end.

Nodes that are taken away now and then fail nothing that gets on between two of them.
"""

from collections.abc import Callable
from contextlib import suppress

from raydistill.errors import SetupError
from raydistill.runners.local_copy import in_step

ATTEMPTS = 3

Reached = Callable[[str], tuple[int, ...]]
"""How far something has come for good, by its key: greater once a next try has less to do."""


def nothing_kept(key: str) -> tuple[int, ...]:
    """Of work that begins anew with every try."""
    del key
    return ()


class Tries:
    """Counts failed tries, by key, since the last one that got further than those before it.

    Args:
        reached: asked in the driver, at each failure.
    """

    def __init__(self, reached: Reached) -> None:
        self._reached = reached
        self._failed: dict[str, tuple[tuple[int, ...], int]] = {}

    def __getstate__(self) -> dict[str, object]:
        """Nothing: Tune pickles what its trials hold for a restart that never comes."""
        return {}

    def again(self, key: str) -> bool:
        """Whether there is to be another try, now that one more has failed."""
        with suppress(SetupError):  # else what was last heard of the object store counts
            in_step()
        now = self._reached(key)
        furthest, failed = self._failed.get(key, (now, 0))
        self._failed[key] = (now, 1) if now > furthest else (furthest, failed + 1)
        return self._failed[key][1] < ATTEMPTS
