"""The ports of a Ray head on this machine, which several people may share."""

import os
import pwd
from collections.abc import Iterator, Mapping
from pathlib import Path

from raydistill.runners.diagnostics.finding import Finding, Level, ok

HEAD_PORTS: Mapping[str, int] = {  # Ray's own, by the flag of `ray start` that chooses another
    "--port": 6379,
    "--dashboard-port": 8265,
    "--ray-client-server-port": 10_001,
    "--dashboard-agent-listen-port": 52_365,
}
DASHBOARD = "--dashboard-port"
SUBMIT_VARIABLE = "RAY_API_SERVER_ADDRESS"  # which `ray job submit` asks, before RAY_ADDRESS

# Ray gives these to its workers, and refuses to start with a server on one of them.
_OF_WORKERS = range(10_002, 20_000)

_LISTENS = "0A"  # in /proc/net/tcp


def diagnose_ports(
    ports: Mapping[str, int] = HEAD_PORTS, uid: int | None = None
) -> Iterator[Finding]:
    """Whether ports of a head are taken by somebody else; nothing where no one can tell.

    Args:
        ports: by the flag of `ray start` that chooses another.
        uid: who asks; this process's user.
    """
    listeners = listeners_by_port()
    if not listeners:
        return
    own = os.getuid() if uid is None else uid
    taken = {flag: port for flag, port in ports.items() if listeners.get(port, own) != own}
    if not taken:
        yield ok(f"a head's ports are free here, or yours: {', '.join(map(str, ports.values()))}")
        return
    names = ", ".join(f"{port} ({_user(listeners[port])})" for port in taken.values())
    what = f"ports of a Ray head are others' here: {names}; take your own"
    if DASHBOARD in taken:
        what += ", or `ray job submit` reaches their Ray, not yours"
    others = {flag: _free_from(port + 1, listeners) for flag, port in ports.items()}
    command = " ".join(["ray start --head", *(f"{flag} {port}" for flag, port in others.items())])
    address = f"http://127.0.0.1:{others[DASHBOARD]}" if DASHBOARD in others else ""
    export = f"export {SUBMIT_VARIABLE}={address}; " if address else ""
    yield Finding(Level.NOTE, what, f"{export}{command}")


def listeners_by_port(folder: Path = Path("/proc/net")) -> dict[int, int]:
    """The user id of whoever listens on each TCP port of this machine; empty where not Linux."""
    listeners = {}
    for file in (folder / "tcp", folder / "tcp6"):
        lines = file.read_text().splitlines()[1:] if file.is_file() else []
        for _, address, _, state, _, _, _, uid, *_ in map(str.split, lines):
            if state == _LISTENS:
                listeners[int(address.rpartition(":")[2], 16)] = int(uid)
    return listeners


def _free_from(port: int, listeners: Mapping[int, int]) -> int:
    return next(n for n in range(port, 2**16) if n not in listeners and n not in _OF_WORKERS)


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
