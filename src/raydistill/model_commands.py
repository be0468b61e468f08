"""The commands that take a model and train nothing: their flags, and where each begins."""

import argparse
from typing import TypeVar

from raydistill.hub import NEWEST
from raydistill.store import Store

P = TypeVar("P", bound=argparse.ArgumentParser)

NAMES = ("rank", "prune", "import")


def add_parsers(commands: "argparse._SubParsersAction[P]") -> tuple[P, ...]:
    """`rank`, `prune` and `import`."""
    rank = commands.add_parser("rank", help="which layers matter, in minutes, without training")
    rank.add_argument("model", help="a folder, a hub id, or a scale's base such as laptop@80B")
    rank.add_argument("--count", help="how many layers leave, 4,8 (a few shares of them)")
    rank.add_argument("--greedy", action="store_true", help="that location too: many more passes")
    _add_text(rank)
    rank.add_argument("--to", help="a folder for table and picture (rank-MODEL)")
    prune = commands.add_parser("prune", help="take layers out, and train nothing")
    prune.add_argument("--model", help="a folder or a hub id (a layer map's own)")
    prune.add_argument("--location", help="where layers come out; a score reads --text")
    prune.add_argument("--count", help="how many layers leave")
    prune.add_argument("--target-params", help="or as many as it takes to have so few: 0.8B")
    prune.add_argument("--layers", help="instead: these, 1,2,5-8")
    prune.add_argument("--mergekit", metavar="FILE", help="instead: all that a map leaves out")
    prune.add_argument("--allow-ends", action="store_true", help="first and last layer may leave")
    _add_text(prune)
    unpickle = commands.add_parser("import", help="read pickled weights once, as safetensors")
    unpickle.add_argument("source", help="a folder or a hub id with pytorch_model.bin")
    for command in (prune, unpickle):
        command.add_argument("--to", required=True, help="a folder for the model")
        command.add_argument("--overwrite", action="store_true", help="although it is not empty")
    for command in (rank, prune, unpickle):
        command.add_argument("--revision", default=NEWEST, help=f"of a checkpoint ({NEWEST})")
    return rank, prune, unpickle


def _add_text(command: argparse.ArgumentParser) -> None:
    command.add_argument("--text", help="to measure on: a file, a folder or embedded")
    command.add_argument("--seq-len", help="tokens in a window (2048, on a CPU 128)")
    command.add_argument("--windows", help="in a sample (64; on a CPU fewer for a large model)")


def run(store: Store, flags: argparse.Namespace) -> int:
    """Do what a command of `NAMES` asks.

    Raises:
        RaydistillError: if it cannot be done.
    """
    if flags.command == "rank":
        from raydistill.front import rank  # noqa: PLC0415  (torch)

        return rank(store, flags)
    if flags.command == "prune":
        from raydistill.pruning import prune  # noqa: PLC0415  (torch)

        return prune(store, flags)
    from raydistill.importing import import_model  # noqa: PLC0415  (torch)

    return import_model(flags)
