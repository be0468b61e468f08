"""The commands about a storage as a whole: flags, and where each begins."""

import argparse
from typing import TypeVar

from raydistill.store import Store

P = TypeVar("P", bound=argparse.ArgumentParser)

NAMES = ("track", "store")


def add_parsers(commands: "argparse._SubParsersAction[P]") -> tuple[P, ...]:
    """`track sync` and `store merge`; the parsers that take a storage."""
    track = commands.add_parser("track", help="sync: bring MLflow to what the storage holds")
    sync = track.add_subparsers(required=True, metavar="sync").add_parser("sync")
    sync.add_argument("sweep", nargs="*", help="by name (all there are)")
    sync.add_argument("--tracking-uri", help="an MLflow server (sqlite in the storage)")
    stored = commands.add_parser("store", help="merge: take over what another storage holds")
    merge = stored.add_subparsers(required=True, metavar="merge").add_parser("merge")
    merge.add_argument("other", help="a storage's folder; it is read only")
    return sync, merge


def run(store: Store, flags: argparse.Namespace) -> int:
    """Do what a command of `NAMES` asks.

    Raises:
        RaydistillError: if it cannot be done.
    """
    if flags.command == "track":
        from raydistill.deliver import sync  # noqa: PLC0415  (mlflow)

        return sync(store, flags)
    from raydistill.merging import merge  # noqa: PLC0415  (numpy)

    return merge(store, flags)
