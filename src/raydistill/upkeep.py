"""The commands that keep storages and clusters in order: flags, and where each begins."""

import argparse
from typing import TypeVar

from raydistill.store import Store

P = TypeVar("P", bound=argparse.ArgumentParser)

NAMES = ("track", "store", "cluster", "doctor")


def add_parsers(commands: "argparse._SubParsersAction[P]") -> tuple[P, ...]:
    """`track sync`, `store merge`, `cluster check`, `doctor`; the parsers that take a storage."""
    track = commands.add_parser("track", help="sync: bring MLflow to what the storage holds")
    sync = track.add_subparsers(required=True, metavar="sync").add_parser("sync")
    sync.add_argument("sweep", nargs="*", help="by name (all there are)")
    sync.add_argument("--tracking-uri", help="an MLflow server (sqlite in the storage)")
    stored = commands.add_parser("store", help="merge: take over what another storage holds")
    merge = stored.add_subparsers(required=True, metavar="merge").add_parser("merge")
    merge.add_argument("other", help="a storage's folder; it is read only")
    files = commands.add_parser("cluster", help="check: the files of a cluster, before it costs")
    check = files.add_subparsers(required=True, metavar="check").add_parser("check")
    check.add_argument("file", nargs="*", help="YAML or Dockerfile (all below cluster/)")
    check.add_argument("--schemas", help="a folder with another version of KubeRay's")
    check.add_argument("--debug", action="store_true", help="show a traceback with an error")
    check.set_defaults(storage=None)
    doctor = commands.add_parser(
        "doctor", help="what a sweep would stumble over here, and what helps"
    )
    doctor.add_argument("--tracking-uri", help="an MLflow server (sqlite in the storage)")
    return sync, merge, doctor


def run(store: Store, flags: argparse.Namespace) -> int:
    """Do what a command of `NAMES` asks.

    Raises:
        RaydistillError: if it cannot be done.
    """
    if flags.command == "track":
        from raydistill.deliver import sync  # noqa: PLC0415  (mlflow)

        return sync(store, flags)
    if flags.command == "cluster":
        from raydistill.cluster_check import check  # noqa: PLC0415  (yaml, Ray)

        return check(flags)
    if flags.command == "doctor":
        from raydistill.doctor import doctor  # noqa: PLC0415  (rich, Ray)

        return doctor(store, flags)
    from raydistill.merging import merge  # noqa: PLC0415  (numpy)

    return merge(store, flags)
