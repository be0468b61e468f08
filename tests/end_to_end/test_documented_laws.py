"""The commands of docs/laws.md run as they stand, one after the other, and print what it shows."""

import re
import shlex

import pytest

from raydistill.laws.stored import save_fit
from raydistill.storage.store import Store
from support import sweeping
from support.kept_front import front_fit
from support.law_tables import write_best_teachers, write_chinchilla_runs, write_distilled_runs

PAGE = (sweeping.ROOT / "docs/laws.md").read_text()
COMMANDS = [
    shlex.split(line, comments=True)
    for page in (PAGE, (sweeping.ROOT / "README.md").read_text())
    for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("raydistill law")
]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """What every command prints, in a folder with the tables and the front that the page names."""
    folder = tmp_path_factory.mktemp("laws")
    write_best_teachers(folder / "best.csv")
    write_chinchilla_runs(folder / "runs.csv")
    write_distilled_runs(folder / "distilled.csv")
    save_fit(Store(folder / "storage"), front_fit("honey"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweeping, "ROOT", folder)  # where they run
        ran = [
            sweeping.command(folder / "storage", *words[1:], COLUMNS="100") for words in COMMANDS
        ]
    assert (folder / "budget.svg").is_file()
    return ran


def test_documented_commands_run(outputs):
    assert len(COMMANDS) >= 10
    for words, done in zip(COMMANDS, outputs, strict=True):
        assert done.returncode == 0, (words, done.stderr)


def test_what_the_page_shows_is_what_they_print(outputs):
    def as_lines(text):
        return [
            " ".join(line.split()) for line in re.sub(r"\b[0-9a-f]{16}\b", "ID", text).splitlines()
        ]

    printed = {line for done in outputs for line in as_lines(done.stdout)}
    shown = [text for kind, text in re.findall(r"```(\w*)\n(.*?)```", PAGE, re.DOTALL) if not kind]
    assert len(shown) == 2
    assert [line for text in shown for line in as_lines(text) if line not in printed] == []
