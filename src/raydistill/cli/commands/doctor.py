"""`raydistill doctor`: what would stop or slow a sweep here, each finding with its remedy."""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from raydistill.cli.arguments.storage import tracking_uri_of
from raydistill.core.errors import RaydistillError, SetupError
from raydistill.core.signals import interrupts_held
from raydistill.core.text.redaction import printed_command, redact
from raydistill.reports.console.console import open_console
from raydistill.reports.formats.terminal import print_text
from raydistill.runners.diagnostics.disk import diagnose_storage
from raydistill.runners.diagnostics.finding import Finding, Level, ok
from raydistill.runners.diagnostics.packages import diagnose_packages
from raydistill.runners.diagnostics.ports import diagnose_ports
from raydistill.runners.diagnostics.token_files import diagnose_token_files
from raydistill.storage.store import Store
from raydistill.storage.urls import storage_flag, url_of
from raydistill.tracking.destination import check_destination, default_uri


def doctor(store: Store, flags: argparse.Namespace) -> int:
    """Check everything, and print the findings as they come; 4 if something is wrong."""
    console = open_console()
    counts = dict.fromkeys(Level, 0)
    for area, finding in _findings(store, tracking_uri_of(flags, store.root)):
        counts[finding.level] += 1
        line = f"{finding.level:<5} {area:<9} {redact(finding.what)}"
        print_text(line, console, indent=" " * 16)
        if finding.remedy:
            console.print(f"{'':15} → {finding.remedy}", soft_wrap=True)
    console.print(f"{counts[Level.WRONG]} wrong, {counts[Level.NOTE]} to note")
    return SetupError.exit_code if counts[Level.WRONG] else 0


def _findings(store: Store, uri: str) -> Iterator[tuple[str, Finding]]:
    checks = {
        "versions": diagnose_packages(),
        "storage": _check_storage(store),
        "ray": _check_ray(store),
        "tracking": _check_tracking(store, uri),
        "tokens": diagnose_token_files(),
        "upload": _check_upload(Path.cwd()),
    }
    for area, findings in checks.items():
        for finding in findings:
            yield area, finding


def _check_storage(store: Store) -> Iterator[Finding]:
    yield ok(url_of(store.root) or str(store.root))
    yield from diagnose_storage(store.root)


def _check_ray(store: Store) -> Iterator[Finding]:
    with interrupts_held():
        from raydistill.runners.cluster import connection as cluster  # noqa: PLC0415  (Ray)
        from raydistill.runners.diagnostics import nodes  # noqa: PLC0415  (Ray)
    address = os.environ.get("RAY_ADDRESS")
    try:
        with TemporaryDirectory() as folder, cluster.connected(Path(folder, "ray.log")):
            yield ok(f"joined {address}" if address else "started on this machine: no RAY_ADDRESS")
            yield from nodes.diagnose_nodes(store.root)
        yield from () if address else diagnose_ports()
    except SetupError as error:
        remedy = "unset RAY_ADDRESS  # or start that cluster"
        yield Finding(Level.WRONG, " ".join(str(error).split()), remedy)


def _check_tracking(store: Store, uri: str) -> Iterator[Finding]:
    server = () if uri == default_uri(store) else ("--tracking-uri", uri)
    words = ["raydistill", "track", "sync", *storage_flag(store.root), *server]
    command = printed_command(words)
    try:
        line = check_destination(uri, store)
    except RaydistillError as error:
        yield Finding(Level.WRONG, str(error), f"{command}  # once it answers")
        return
    warning = line.removeprefix("warning: ")
    yield ok(line) if warning == line else Finding(Level.NOTE, warning, command)


def _check_upload(folder: Path) -> Iterator[Finding]:
    if not (folder / "sweeps").is_dir():
        yield ok(f"{folder} has no sweeps/: nothing to upload from here")
        return
    from raydistill.runners.diagnostics.upload import diagnose_upload  # noqa: PLC0415  (Ray)

    yield diagnose_upload(folder)
