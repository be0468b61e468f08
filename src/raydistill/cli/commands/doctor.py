"""`raydistill doctor`: what a sweep would stumble over, each with its remedy, before it does."""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from raydistill.cli.arguments.sweep_flags import tracking_uri_of
from raydistill.core.errors import RaydistillError, SetupError
from raydistill.core.redaction import redact
from raydistill.core.signals import interrupts_held
from raydistill.reports.console.console import open_console
from raydistill.runners.diagnostics.disk import diagnose_storage
from raydistill.runners.diagnostics.finding import Finding, Level, ok
from raydistill.runners.diagnostics.packages import diagnose_packages
from raydistill.runners.diagnostics.token_files import diagnose_token_files
from raydistill.storage.store import Store
from raydistill.storage.urls import url_of
from raydistill.tracking.destination import check_destination


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
    yield from _of("versions", diagnose_packages())
    yield "storage", ok(url_of(store.root) or str(store.root))
    yield from _of("storage", diagnose_storage(store.root))
    yield from _of("ray", _look_at_ray(store))
    yield "tracking", _look_at_tracking(store, uri)
    yield from _of("tokens", diagnose_token_files())
    yield from _of("upload", _look_at_upload(Path.cwd()))


def _of(area: str, findings: Iterator[Finding]) -> Iterator[tuple[str, Finding]]:
    return ((area, finding) for finding in findings)


def _look_at_ray(store: Store) -> Iterator[Finding]:
    with interrupts_held():
        from raydistill.runners.cluster import connection as cluster  # noqa: PLC0415  (Ray)
        from raydistill.runners.diagnostics import nodes  # noqa: PLC0415  (Ray)
    address = os.environ.get("RAY_ADDRESS")
    try:
        with TemporaryDirectory() as folder, cluster.connected(Path(folder, "ray.log")):
            yield ok(f"joined {address}" if address else "started on this machine: no RAY_ADDRESS")
            yield from nodes.diagnose_nodes(store.root)
    except SetupError as error:
        remedy = "unset RAY_ADDRESS, or start the cluster: ray status"
        yield Finding(Level.WRONG, " ".join(str(error).split()), remedy)


def _look_at_tracking(store: Store, uri: str) -> Finding:
    try:
        line = check_destination(uri, store)
    except RaydistillError as error:
        return Finding(Level.WRONG, str(error), "raydistill track sync, once it answers")
    if line.startswith("warning: "):
        return Finding(Level.NOTE, line.removeprefix("warning: "), "raydistill track sync")
    return ok(line)


def _look_at_upload(folder: Path) -> Iterator[Finding]:
    if not (folder / "sweeps").is_dir():
        yield ok(f"{folder} has no sweeps/: nothing to upload from here")
        return
    from raydistill.runners.diagnostics.upload import diagnose_upload  # noqa: PLC0415  (Ray)

    yield diagnose_upload(folder)
