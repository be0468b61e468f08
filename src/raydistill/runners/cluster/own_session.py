"""A Ray that a command starts for itself, without the servers that nobody asks anything."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray._private.node import Node

_SERVERS = ("start_monitor", "start_log_monitor", "start_api_server")


@contextmanager
def without_servers() -> Iterator[None]:
    """Within the block a Ray starts without autoscaler, without reader of logs, without API server.

    They cost three CPU seconds, and Ray waits for the last one, which without a dashboard only
    counts its users.
    """
    kept = {name: getattr(Node, name) for name in _SERVERS}
    try:
        for name in _SERVERS:
            setattr(Node, name, _start_nothing)
        yield
    finally:
        for name, start in kept.items():
            setattr(Node, name, start)


def _start_nothing(node: Node, **_: Any) -> None:
    del node
