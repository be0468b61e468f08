import pkgutil

import pytest

from raydistill.cli.command_table import COMMANDS


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_begins_somewhere(command):
    """What is written as a name is out of a type checker's sight."""
    assert pkgutil.resolve_name(command.main).__module__ == command.main.partition(":")[0]
