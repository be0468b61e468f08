"""`raydistill ui`: MLflow's pages on what the sweeps left."""

import argparse
import socket
from collections.abc import Mapping

from raydistill.cli.arguments.storage import tracking_uri_of
from raydistill.core.errors import SetupError
from raydistill.core.signals import STOPPED, TERMINATED, Terminated
from raydistill.core.text.redaction import redact
from raydistill.storage.store import Store
from raydistill.tracking.client import experiments
from raydistill.tracking.destination import check_destination, default_uri
from raydistill.tracking.links import charts_url, experiment_url
from raydistill.tracking.pages import serve_pages


def ui(store: Store, flags: argparse.Namespace) -> int:
    """Serve MLflow's pages on the storage's database, or another, on 127.0.0.1 until ^C.

    A tracking server has its own: then their addresses are all that is printed.

    Raises:
        UsageError: if MLflow knows no such URI.
        SetupError: if nothing was tracked there yet, it does not answer, or the port is taken.
    """
    uri = tracking_uri_of(flags, store.root)
    if uri == default_uri(store) and not store.path("mlflow.db").is_file():
        raise SetupError(f"{store.root} has no mlflow.db yet: run a sweep first")
    check_destination(uri, store)
    if uri.startswith("http"):
        tables = _tables(uri, uri)
        if not tables:
            raise SetupError(f"{redact(uri)} has no sweep yet: run one first")
        _print_addresses(tables)
        return 0
    _check_port(flags.port)
    server = f"http://127.0.0.1:{flags.port}"
    tables = _tables(uri, server)

    def ready() -> None:
        _print_addresses(tables)
        opens = "opens the first" if tables else "has no sweep yet"
        print(f"{server} {opens}; ^C ends it.", flush=True)

    landing = next(iter(tables.values()), "#/experiments").removeprefix(f"{server}/")
    try:
        serve_pages(uri, port=flags.port, landing=landing, ready=ready)
    except KeyboardInterrupt as stop:
        return TERMINATED if isinstance(stop, Terminated) else STOPPED
    return 0


def _tables(uri: str, server: str) -> Mapping[str, str]:
    """The address of every sweep's table, the one delivered last first."""
    return {name: experiment_url(server, key) for name, key in experiments(uri).items()}


def _print_addresses(tables: Mapping[str, str]) -> None:
    for name, address in tables.items():
        print(f"{name}: {address}", flush=True)
        print(f"{' ' * len(name)}  {charts_url(address)} (charts)", flush=True)


def _check_port(port: int) -> None:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except (OSError, OverflowError) as error:
        raise SetupError(f"--port {port} of 127.0.0.1 cannot be used: {error}") from error
