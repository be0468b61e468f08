"""`benchmarks/memory.py` runs at the smallest size, on one rank and on two."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "memory.py"
TINY = ("--dim", "64", "--layers", "4", "--vocabulary", "512", "--context", "64")


@pytest.mark.parametrize(("case", "ranks"), [("kd", 1), ("lm, AdamW, 2 ranks", 2)])
def test_each_rank_has_its_plan_beside_what_it_took(case, ranks):
    words = [sys.executable, SCRIPT, *TINY, "--case", case]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    head, *rows = done.stdout.splitlines()
    assert head.split() == ["case", "ranks", "planned", "MB", "measured", "MB", "off"]
    assert len(rows) == ranks
    for row in rows:
        planned, own, *_ = row.removeprefix(case).split()[1:]
        assert int(planned) > 0
        assert int(own) > 0
