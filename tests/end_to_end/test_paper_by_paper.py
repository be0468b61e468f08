"""docs/paper-by-paper.md: its commands are planned, and its costs are what the plans print."""

import re
import shlex
from pathlib import Path

import pytest

from raydistill.reports.results.paper_numbers import TABLE_3, TABLE_4, TABLE_5
from support import sweeping

PAGE = (sweeping.ROOT / "docs/paper-by-paper.md").read_text("utf-8")
COSTS = re.findall(r"^\| `(python sweeps/.+?)` \| (\d.+) \|$", PAGE, re.MULTILINE)
COMMANDS = sorted(set(re.findall(r"`(python sweeps/.+?)`", PAGE)) - {row[0] for row in COSTS})
(PRICED,) = re.findall(r"`(--dry-run --device .+?)`", PAGE)


def planned(command, storage, flags):
    _python, script, *words = shlex.split(command)
    done = sweeping.here(Path(script).stem, storage, *words, *flags, RAYDISTILL_SCALE="laptop")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_the_sweep_of_a_claim_is_planned(command, tmp_path):
    assert "distinct trials" in planned(command, tmp_path, ["--dry-run"])


@pytest.mark.parametrize(("command", "row"), COSTS)
def test_a_cost_is_what_the_plan_prints(command, row, tmp_path):
    plan = planned(command, tmp_path, shlex.split(PRICED))
    (trials,) = re.findall(r"distinct trials (\d+)", plan)
    parts = {
        part: re.split(r" {2,}", numbers)
        for part, numbers in re.findall(r"^(bases|all) {2,}(.+)$", plan, re.MULTILINE)
    }
    _runs, _flops, bases_hours, _money = parts["bases"]
    _flops, hours, money = parts["all"]
    assert row.split(" | ") == [trials, bases_hours, hours, money]


def test_the_papers_hours_lie_in_the_plans(tmp_path):
    """Table 4, at 20 to 45 % of an A100's peak."""
    for model, name in (("300M", "paper_300m"), ("1.1B", "paper_1b")):
        command = f"python sweeps/teacher_free_vs_kd.py --scale {name} --arm teacher-free,kd"
        plan = planned(command, tmp_path, [*shlex.split(PRICED), "--seed", "1"])
        spans = re.findall(r"■  (\S+) .* (\d+)h–(\d+)h$", plan, re.MULTILINE)
        assert len(spans) == 2
        for arm, fast_h, slow_h in spans:
            (cost,) = [c for c in TABLE_4 if (c.method, c.model) == (arm, model)]
            assert int(fast_h) < cost.wall_clock_hours < int(slow_h)
            assert f"{cost.wall_clock_hours:g} in {fast_h} to {slow_h}" in " ".join(PAGE.split())


def test_the_papers_numbers_are_those_of_the_tables():
    for model in ("300M-320B", "1.1B-160B"):
        base, kd, ours = (row for row in TABLE_3 if row.model == model)
        drops = [100 * (1 - row.downstream / base.downstream) for row in (ours, kd)]
        assert "{:.2f} % against {:.2f} %".format(*drops) in PAGE
        assert f"{ours.perplexity:.2f} against {kd.perplexity:.2f}" in PAGE
    early, late, large = (row.downstream_drop_pct for row in TABLE_5)
    for drops in (early, late):
        others = sorted(drop for location, drop in drops.items() if location != "output")
        span = f"{others[0]:.2f} to {others[-1]:.2f}"
        assert f"{drops['output']:.2f} % where others cost {span}" in PAGE
    assert f"{early['input']:.2f} % (300M, 80B), {large['input']:.2f} % (1.1B" in PAGE
    assert f"{late['input']:.2f} % against {late['alt-input']:.2f} of `alt-input`" in PAGE
