"""The scale of *Honey, I shrunk the language*, planned by its command: its published numbers."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SWEEP = Path(__file__).parents[2] / "sweeps" / "reduced_scale.py"
LARGEST = "honey+embedding=256+feed_forward=1024+heads=8+layers=8+width=256"


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    flags = ["--dry-run", "--device", "A100", "--price-per-hour", "2", "--storage"]
    storage = tmp_path_factory.mktemp("storage")
    done = subprocess.run(
        [sys.executable, str(SWEEP), "--scale", "honey", *flags, str(storage)],
        capture_output=True, text=True, check=False, cwd=storage,
        env=os.environ | {"COLUMNS": "100"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("shape", "parameters", "flops"),
    [
        ("honey", "1,254,882", "8.60e15"),
        ("honey+layers=2", "1,267,586", "8.71e15"),
        (LARGEST, "16,237,122", "1.10e17"),
    ],
)
def test_a_shape_has_its_parameters_and_its_epochs_flops(plan, shape, parameters, flops):
    row = re.search(rf"^{re.escape(shape)}\n +(\S.*)", plan, re.MULTILINE)[1].split()
    assert [row[0], row[2], row[4]] == [parameters, "1.162B", flops]
    fast, slow, least, most = (float(end) for end in row[6:] if end != "to")
    assert 0 < fast < slow
    assert [least, most] == pytest.approx([2 * fast, 2 * slow], rel=0.06)  # two digits each


def test_the_grid_is_the_papers_one_axis_at_a_time(plan):
    names = set(re.findall(r"^honey\S*", plan, re.MULTILINE))
    assert len(names) == 40
    largest = dict(item.split("=") for item in LARGEST.split("+")[1:])
    values = {name: set() for name in largest}
    for name in names:
        shape = dict(item.split("=") for item in name.split("+")[1:])
        for setting, value in shape.items():
            values[setting].add(int(value))
    assert values["embedding"] == {8, 16, 64, 128, 256}  # and the scale's own 32
    assert values["width"] == {64, 128, 256}
    assert values["feed_forward"] == {32, 64, 256, 512, 1024}
    assert values["heads"] == {1, 4, 8}
    assert values["layers"] == {2, 4, 8}
    assert "Before them 40 pretrainings" in plan
