"""`raydistill`: from its command line to a command."""

import argparse
import pkgutil
import sys
from collections.abc import Sequence
from typing import NoReturn

from raydistill import __version__
from raydistill.cli.arguments.own_parts import PARTS, use_parts
from raydistill.cli.arguments.parser import EXITS, Parser
from raydistill.cli.arguments.storage import STORAGE, storage_of
from raydistill.cli.command_table import COMMANDS, Command
from raydistill.cli.exit import exit_code_of
from raydistill.core import fault_injection
from raydistill.core.errors import UsageError, unknown
from raydistill.storage.object_store import download, is_any, is_small, upload
from raydistill.storage.store import Store


def raydistill() -> NoReturn:
    """The console command."""
    sys.exit(exit_code_of(lambda: _run(sys.argv[1:])))


def read_command(argv: Sequence[str]) -> argparse.Namespace:
    """The command that `argv` names, and its flags; the command is None if it names none.

    Raises:
        UsageError: if there is no such command or flag, or one lacks its value.
    """
    return _parser(argv).read(argv)


def _parser(argv: Sequence[str]) -> Parser:
    parser = Parser(
        prog="raydistill",
        description="Which layers to take out of a language model, how many, when, at what age.",
        epilog=f"Begin with: raydistill sweep where_to_drop; {EXITS}",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"raydistill {__version__}")
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(title="commands")
    for command in COMMANDS:
        _add_command(commands, command)
    if argv and not argv[0].startswith("-") and argv[0] not in commands.choices:
        raise UsageError(unknown("command", argv[0], commands.choices))
    return parser


def _run(argv: Sequence[str]) -> int:
    use_parts(argv)
    flags = read_command(argv)
    if flags.command is None:
        _parser(argv).print_help()
        return 0
    if flags.command.name == "sweep":  # its storage is among the sweep's own flags
        return int(pkgutil.resolve_name(flags.command.main)(flags))
    store = Store(storage_of(flags))
    if message := fault_injection.arm(store.path("faults")):
        print(message, file=sys.stderr)
    from raydistill.reports.console.console import open_console, progress_shown  # noqa: PLC0415  (rich)

    with progress_shown(open_console(sys.stderr)):  # what a command prints may be data
        download(store.root, is_any if flags.command.weights else is_small)
        code: int = flags.command.run(store, flags)
        upload(store.root)
    return code


def _add_command(commands: "argparse._SubParsersAction[Parser]", command: Command) -> None:
    """Add a command; one of a group below the command of the group's name, if there is one."""
    first, *rest = command.name.split()
    group: Parser | None = commands.choices.get(first)
    parser = group or commands.add_parser(first, help=command.help)
    for word in rest:
        inner = _words_of(group) if group else parser.add_subparsers(required=True, metavar=word)
        parser = inner.add_parser(word, help=command.help)
    parser.set_defaults(command=command, storage=None)
    for add_flags in command.flags:
        add_flags(parser)
    if command.storage:
        STORAGE(parser)
        PARTS(parser)
    parser.add_argument("--debug", action="store_true", help="show a traceback with an error")
    if group:
        _keep_given(parser, group)


def _words_of(group: Parser) -> "argparse._SubParsersAction[Parser]":
    """Where the further commands of a command are added."""
    for action in group._actions:
        if isinstance(action, argparse._SubParsersAction):
            return action
    return group.add_subparsers(title="commands")


def _keep_given(parser: Parser, group: Parser) -> None:
    """Let flags that stand before the second word hold: no default of `parser` replaces them."""
    dests = {action.dest for action in group._actions}
    for action in parser._actions:
        if action.dest in dests:
            action.default = argparse.SUPPRESS
    parser._defaults.pop("storage")
