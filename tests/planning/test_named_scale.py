"""A scale whose name carries settings, where a sweep names it; one without is what it was."""

import re
import runpy
from pathlib import Path

from raydistill.core.units import B
from raydistill.planning.artifacts import find_artifacts
from raydistill.planning.resolve import distinct
from raydistill.planning.sweep import Sweep
from raydistill.specs.scale import load_scale
from raydistill.storage.store import Store

ROOT = Path(__file__).parents[2]
SMOKE = load_scale("smoke")


def shipped_sweep(name):
    return runpy.run_path(str(ROOT / f"sweeps/{name}.py"))["sweep"]


def test_a_size_and_a_teacher_have_one_name():
    def trial(scale, size):
        return scale.trial(age=80 * B, location="none", count=0, loss="kd")

    sizes = {"size": ("smoke+width=16+layers=4", "smoke+layers=4+width=16", "smoke+width=32")}
    teachers = {"teacher": ("own", "smoke+width=48+heads=4@80B")}
    sweep = Sweep(name="sizes", question="Which?", axes=sizes, trial=trial)
    cells = sweep.cells(SMOKE, teachers)
    small, teacher = "smoke+layers=4+width=16", "smoke+heads=4+width=48"
    assert [tuple(cell.values.values()) for cell in cells] == [
        (small, "own"), (small, f"{teacher}@80B"), ("smoke", "own"), ("smoke", f"{teacher}@80B"),
    ]  # fmt: skip
    assert [cell.base.key[0] for cell in cells] == [small, small, "smoke", "smoke"]
    assert [cell.teacher.key[0] for cell in cells] == [small, teacher, "smoke", teacher]


def test_a_size_written_with_a_dash_is_the_same_cell():
    def trial(scale, size):
        return scale.trial(age=80 * B, location="none", count=0, loss="kd")

    sizes = {"size": ("smoke_family", "smoke-family")}
    sweep = Sweep(name="sizes", question="Which?", axes=sizes, trial=trial)
    cells = sweep.cells(SMOKE, {"teacher": ("smoke-family@80B",)})
    assert {cell.values["size"] for cell in cells} == {"smoke_family"}


def test_what_a_sweep_has_for_a_scale_holds_with_settings_too():
    sweep = shipped_sweep("when_to_drop")
    cells = sweep.cells(load_scale("smoke+width=16"), {"count": (2,)})
    assert {cell.request.gap for cell in cells} == {0, 1 * B, 2 * B}


def test_trials_of_the_shipped_bases_keep_the_ids_that_the_readme_shows(tmp_path):
    laptop = load_scale("laptop")
    cells = shipped_sweep("where_to_drop").cells(
        laptop, {"location": ("none", "input", "middle", "max-gap")}
    )
    planned = distinct(cells, find_artifacts(laptop, cells, Store(tmp_path)))
    ids = {trial.trial.trial_id for trial in planned}
    shown = re.findall(r"[■□]+ .* ([0-9a-f]{16})$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert len(shown) == 6
    assert set(shown) < ids
