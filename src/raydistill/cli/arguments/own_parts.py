"""The folder of one's own parts that the flags or the environment name."""

import difflib
import os
from collections.abc import Sequence

from raydistill.cli.arguments.parser import Parser, flag
from raydistill.core.errors import UsageError
from raydistill.core.parts import FOLDERS, KINDS, PARTS_VARIABLE, SENT_FOLDER, part_names
from raydistill.core.paths import resolve_path

PARTS = flag(
    "--parts", metavar="DIR", help=f"a folder with losses/, scores/, … of yours (${PARTS_VARIABLE})"
)


def use_parts(argv: Sequence[str]) -> None:
    """Take one's own parts from the folder of `--parts`, else of the environment.

    Before the flags are read: which values they may have depends on it.

    Raises:
        UsageError: if there is no such folder, or it holds none, one that is written
            wrong, or a part whose name is taken.
    """
    parser = Parser(add_help=False, allow_abbrev=False)
    PARTS(parser)
    given = parser.parse_known_args(argv)[0].parts
    text = given or os.environ.get(PARTS_VARIABLE)
    if not text or text == SENT_FOLDER:
        return
    folder, name = resolve_path(text).absolute(), "--parts" if given else f"${PARTS_VARIABLE}"
    if not folder.is_dir():
        raise UsageError(f"{name}: {text!r} is no folder")
    if not any((folder / kind).is_dir() for kind in FOLDERS):
        raise UsageError(f"{name}: {text!r} holds none of {', '.join(FOLDERS)}")
    for inner in sorted(path.name for path in folder.iterdir() if path.is_dir()):
        meant = difflib.get_close_matches(inner, FOLDERS, n=1, cutoff=0.8)
        if meant and inner not in FOLDERS and not (folder / meant[0]).is_dir():
            raise UsageError(f"{name}: {text!r} holds {inner!r}. Did you mean {meant[0]!r}?")
    os.environ[PARTS_VARIABLE] = str(folder)
    for kind in KINDS:
        part_names(kind)
