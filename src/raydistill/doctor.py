"""`raydistill doctor`: what a sweep would stumble over, each with its remedy, before it does."""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from raydistill import tracking
from raydistill.errors import RaydistillError, SetupError
from raydistill.flags import tracking_uri_of
from raydistill.health import Finding, Level
from raydistill.health.disk import look_at_storage
from raydistill.health.finding import ok
from raydistill.health.keys import look_at_keys
from raydistill.health.packages import look_at_packages
from raydistill.interrupts import interrupts_held
from raydistill.redact import redact
from raydistill.remote import url_of
from raydistill.report.console import open_console
from raydistill.store import Store


def doctor(store: Store, flags: argparse.Namespace) -> int:
    """Look at everything, print each finding as it comes; 4 if something is wrong."""
    console = open_console()
    counts = dict.fromkeys(Level, 0)
    for area, finding in _findings(store, tracking_uri_of(flags, store.root)):
        counts[finding.level] += 1
        console.print(f"{finding.level:<5} {area:<9} {redact(finding.what)}", soft_wrap=True)
        if finding.remedy:
            console.print(f"{'':15} → {finding.remedy}", soft_wrap=True)
    console.print(f"{counts[Level.WRONG]} wrong, {counts[Level.NOTE]} to note")
    return SetupError.exit_code if counts[Level.WRONG] else 0


def _findings(store: Store, uri: str) -> Iterator[tuple[str, Finding]]:
    yield from _of("versions", look_at_packages())
    yield "storage", ok(url_of(store.root) or str(store.root))
    yield from _of("storage", look_at_storage(store.root))
    yield from _of("ray", _look_at_ray(store))
    yield "tracking", _look_at_tracking(store, uri)
    yield from _of("tokens", look_at_keys())
    yield from _of("upload", _look_at_upload(Path.cwd()))


def _of(area: str, findings: Iterator[Finding]) -> Iterator[tuple[str, Finding]]:
    return ((area, finding) for finding in findings)


def _look_at_ray(store: Store) -> Iterator[Finding]:
    with interrupts_held():
        from raydistill.runners import cluster, nodes  # noqa: PLC0415  (Ray)
    address = os.environ.get("RAY_ADDRESS")
    try:
        with TemporaryDirectory() as folder, cluster.connected(Path(folder, "ray.log")):
            yield ok(f"joined {address}" if address else "started on this machine: no RAY_ADDRESS")
            yield from nodes.look_at_nodes(store.root)
    except SetupError as error:
        remedy = "unset RAY_ADDRESS, or start the cluster: ray status"
        yield Finding(Level.WRONG, " ".join(str(error).split()), remedy)


def _look_at_tracking(store: Store, uri: str) -> Finding:
    try:
        line = tracking.check(uri, store)
    except RaydistillError as error:
        return Finding(Level.WRONG, str(error), "raydistill track sync, once it answers")
    if line.startswith("warning: "):
        return Finding(Level.NOTE, line.removeprefix("warning: "), "raydistill track sync")
    return ok(line)


def _look_at_upload(folder: Path) -> Iterator[Finding]:
    if not (folder / "sweeps").is_dir():
        yield ok(f"{folder} has no sweeps/: nothing to upload from here")
        return
    from raydistill.runners.upload import look_at_upload  # noqa: PLC0415  (Ray)

    yield look_at_upload(folder)
