"""The commands that take models out of a storage and into its tables: flags, where each begins."""

import argparse
from typing import TypeVar

from raydistill.store import Store

P = TypeVar("P", bound=argparse.ArgumentParser)

NAMES = ("export", "add")


def add_parsers(commands: "argparse._SubParsersAction[P]") -> tuple[P, ...]:
    """`export` and `add`."""
    export = commands.add_parser("export", help="a trial as a folder that every tool loads")
    export.add_argument("trial", help="its id, or how it begins; or a base: laptop@320B")
    export.add_argument("--to", required=True, help="the folder, with weights, tokenizer and card")
    export.add_argument("--overwrite", action="store_true", help="although it is not empty")
    export.add_argument("--dtype", default="base", help="base (that of its base) or float32")
    export.add_argument("--no-measure", action="store_true", help="leave the speeds out")
    add = commands.add_parser("add", help="a student trained elsewhere, in a sweep's tables")
    add.add_argument("folder", help="of the same family, or one that export wrote")
    add.add_argument("--like", required=True, metavar="TRIAL", help="whose base, text and tasks")
    add.add_argument("--name", help="what its row is called (the folder's name)")
    add.add_argument(
        "--reference", action="store_true", help="another model, its tokenizer may be its own"
    )
    return export, add


def run(store: Store, flags: argparse.Namespace) -> int:
    """Do what a command of `NAMES` asks.

    Raises:
        RaydistillError: if it cannot be done.
    """
    if flags.command == "export":
        from raydistill.export import export  # noqa: PLC0415  (torch, transformers)

        return export(store, flags)
    from raydistill.add import add  # noqa: PLC0415  (torch, transformers)

    return add(store, flags)
