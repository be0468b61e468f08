"""What tests of commands share: a sweep that is refused before it starts."""

import runpy
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "sweeps" / "where_to_drop.py"


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """`refused(flags)` runs the script as a user would; its exit code and its two outputs."""

    def run(flags):
        storage = tmp_path / "storage"
        monkeypatch.delenv("RAYDISTILL_STORAGE", raising=False)
        monkeypatch.setenv("RAYDISTILL_SCALE", "smoke")
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--storage", str(storage), *flags])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        assert not storage.exists()
        return end.value.code, capsys.readouterr()

    return run
