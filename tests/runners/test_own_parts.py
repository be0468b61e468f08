"""What of one's own folder goes to the workers of a cluster."""

from pathlib import Path

from raydistill.core.parts import PARTS_VARIABLE, SENT_FOLDER
from raydistill.runners.cluster.own_parts import with_own_parts


def test_folders_of_parts_go_and_the_modules_and_packages_beside_them(own_parts):
    sent = {
        "losses/mine.py": "loss = 1", "tasks/words.txt": "a table of a task",
        "shared.py": "ONE = 1", "package/__init__.py": "", "package/inner.py": "TWO = 2",
    }  # fmt: skip
    own_parts(sent | {"storage/weights.bin": "", "losses/.mine.swp": "", "notes.md": ""})
    own_parts({"losses/__pycache__/mine.pyc": ""})
    with with_own_parts({"A": "1"}) as environment:
        (folder,) = map(Path, environment["py_modules"])
        files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert files == set(sent)
    assert folder.name == SENT_FOLDER
    assert not folder.exists()
    assert environment["env_vars"] == {"A": "1", PARTS_VARIABLE: SENT_FOLDER}


def test_without_such_a_folder_nothing_goes(monkeypatch):
    monkeypatch.delenv(PARTS_VARIABLE, raising=False)
    with with_own_parts({"A": "1"}) as environment:
        assert environment == {"env_vars": {"A": "1"}}
