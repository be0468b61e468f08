"""`benchmarks/sharding.py` runs at the smallest size, and both ways train to the same loss."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "sharding.py"
TINY = ("--dim", "64", "--layers", "4", "--vocabulary", "512", "--context", "64")


def test_both_ranks_of_both_ways_are_told_with_the_ratios():
    words = [sys.executable, SCRIPT, *TINY]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    head, *rows, memory, cpu = done.stdout.splitlines()
    assert head.split() == ["sharding", "peak", "MB", "CPU", "s", "a", "step", "loss"]
    assert [row.split()[0] for row in rows] == ["none", "none", "fully", "fully"]
    losses = [float(row.split()[-1]) for row in rows]
    assert max(losses) - min(losses) < 1e-6
    assert memory.startswith("peak: fully / none = ")
    assert cpu.startswith("cpu_s: fully / none = ")
