"""What a sweep prints at its end is run, from another directory and without its environment."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from raydistill.cli.arguments.given_flags import given_flags
from raydistill.cli.arguments.sweep_parser import sweep_parser
from raydistill.cli.next_commands import next_commands
from raydistill.core.errors import UsageError
from raydistill.core.text.commands import parts_flag
from raydistill.storage.store import Store
from support import finished, sweeping, trained_here
from support.hub_models import save_model
from support.printed import commands_in, run_printed
from support.texts import essays, write_txt

SWEEPS = {
    "where_to_drop": ("--location", "input", "--age", "320B", "--set", "lr=1e-3,2e-3"),
    "when_to_drop": ("--gap", "0,1B", "--age", "320B", "--location", "input"),
    "how_many_to_drop": ("--size", "smoke", "--count", "1,2", "--age=320B"),
    "teacher_free_vs_kd": ("--arms", "control,kd", "--seed", "1"),
    "capacity_gap": ("--size", "smoke", "--teacher=none,smoke@80B", "--start=own", "--loss=kd"),
    "search": (
        *("--search", "grid", "--location", "input,3-4", "--count", "2", "--gap", "0"),
        *("--loss", "lm", "--lr_factor", "1,0.5"),
    ),
}


def trials_of(plan):
    return tuple(map(int, re.search(r"distinct trials (\d+) · done (\d+)", plan).groups()))


def assert_they_run(printed, trials, started="python"):
    """All begin as it was started, and are planned; one is the same again, others train more."""
    commands = commands_in(printed)
    *others, same = [command for command in commands if "sweeps/" in command]
    assert len(others) >= 2
    assert same.startswith(f"ray job submit -- {started} /")
    assert all(command.startswith(f"{started} /") for command in others)
    plan = run_printed(same, "--dry-run")
    assert (plan.returncode, plan.stderr) == (0, "")
    assert trials_of(plan.stdout) == (trials, trials)
    for command in others:
        plan = run_printed(command, "--dry-run")
        assert (plan.returncode, plan.stderr) == (0, "")
        num_trials, done = trials_of(plan.stdout)
        assert f", new trials: {num_trials - done}" in command
        assert (num_trials > trials and done == trials) or "healing" in command
    return commands


IN_SOAK = ("when_to_drop", "how_many_to_drop", "teacher_free_vs_kd")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.soak] * (n in IN_SOAK)) for n in SWEEPS]
)
def test_every_sweep_says_how_to_go_on_with_its_flags(name, prepared, tmp_path):
    storage = prepared(tmp_path / "my storage")
    trained_here.train(storage, *SWEEPS[name], script=name)
    done = sweeping.here(name, storage, *SWEEPS[name])
    assert done.returncode == 0, done.stderr
    assert "nothing is trained" in done.stdout
    commands = assert_they_run(done.stdout, trials=2 + 2 * (name == "search"))
    for command in commands:
        words = shlex.split(command, comments=True)
        assert str(storage) in words
        if "sweeps/" in command:
            assert "smoke" in words


def test_a_file_of_ones_own_goes_on_by_its_path(prepared, tmp_path):
    """Here with the table that an ablation ends with."""
    storage, flags = prepared(tmp_path), ("--set", "lr=2e-3", "--seed", "1")
    trained_here.train(storage, *flags, script="ablate")
    done = sweeping.command(storage, "sweep", "sweeps/ablate.py", *flags)
    assert done.returncode == 0, done.stderr
    assert "nothing is trained" in done.stdout
    assert "Effect of each change" in done.stdout
    assert_they_run(done.stdout, trials=2, started="raydistill sweep")


def test_the_flags_of_a_model_of_ones_own_are_repeated(prepared, tmp_path, monkeypatch):
    folder, storage = save_model(tmp_path / "my model"), prepared(tmp_path / "storage")
    write_txt(tmp_path / "notes.txt", essays(64))
    flags = (
        *("--model", "my model", "--corpus", "notes.txt", "--tasks", "continuation", "--count=2"),
        *("--location", "none,input", "--budget", "8192", "--set", "lr=1e-4", "--allow-ends"),
    )
    monkeypatch.setattr(sweeping, "ROOT", tmp_path)  # where it runs
    (tmp_path / "sweeps").symlink_to(trained_here.SWEEPS)
    monkeypatch.chdir(tmp_path)
    trained_here.train(storage, *flags)
    done = sweeping.here("where_to_drop", storage, *flags)
    assert done.returncode == 0, done.stderr
    for command in assert_they_run(done.stdout, trials=2):
        words = shlex.split(command, comments=True)
        assert {str(storage), *(("--allow-ends",) if "sweeps/" in command else ())} <= set(words)
        if "sweeps/" in command:
            assert {str(folder), str(tmp_path / "notes.txt"), "continuation", "lr=1e-4"} <= {*words}


def test_a_password_is_not_printed(prepared, tmp_path):
    storage = prepared(tmp_path)
    flags = (*SWEEPS["where_to_drop"], "--location", "input")
    trained_here.train(storage, *flags)
    done = sweeping.here("where_to_drop", storage, *flags, HF_TOKEN="secret-of-mine")
    assert "secret-of-mine" not in done.stdout


def job_line(tmp_path, launcher, *flags):
    """The last of what is printed, where nothing else can be planned."""

    def nothing_more(*_):
        raise UsageError("planned elsewhere")

    plan = finished.plan("where_to_drop", Store(tmp_path))
    given = given_flags(sweep_parser(plan.sweep), launcher, flags)
    (line,) = next_commands(given, plan, nothing_more, nothing_more)
    return line


def test_a_head_on_another_port_is_named_where_jobs_are_submitted(tmp_path, monkeypatch):
    asked = tmp_path, ("python", "/sweeps/where_to_drop.py"), "--age", "320B"
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:8266")
    line = job_line(*asked)
    assert line.startswith("ray job submit --address http://127.0.0.1:8266 -- python /")
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS")
    assert job_line(*asked).startswith("ray job submit -- python /")


@pytest.mark.parametrize(
    ("launcher", "expected"),
    [
        (("raydistill", "sweep", "decay"), "{0}/my -- raydistill sweep decay --parts ."),
        (("python", "{0}/my/sweeps/x.py"), "{0}/my -- python sweeps/x.py --parts ."),
        (("python", "{0}/mine.py"), "{0} -- python mine.py --parts my"),
    ],
)
def test_a_job_brings_the_folder_of_ones_own_parts(launcher, expected, tmp_path):
    (tmp_path / "my").mkdir()
    words = tuple(word.format(tmp_path) for word in launcher)
    line = job_line(tmp_path, words, "--parts", str(tmp_path / "my"))
    assert line.startswith(f"ray job submit --working-dir {expected.format(tmp_path)}")


@pytest.mark.parametrize("started", [("python",), ("raydistill", "sweep")])
def test_a_job_brings_a_file_of_ones_own(started, tmp_path):
    """And the modules beside it; the command is run in a copy of the folder, as Ray makes one."""
    folder = tmp_path / "my sweeps"
    folder.mkdir()
    (folder / "places.py").write_text("PLACES = ('none', 'middle')\n")
    (folder / "mine.py").write_text(
        "from places import PLACES\n"
        "from raydistill.api import B, Sweep, main\n"
        "def trial(scale, location):\n"
        "    return scale.trial(age=320 * B, location=location, count=1)\n"
        'AXES = {"location": PLACES}\n'
        'sweep = Sweep(name="mine", question="Where?", axes=AXES, trial=trial)\n'
        'if __name__ == "__main__":\n'
        "    main(sweep)\n"
    )
    line = job_line(tmp_path, (*started, str(folder / "mine.py")), "--scale", "smoke")
    words = shlex.split(line, comments=True)
    assert words[:5] == ["ray", "job", "submit", "--working-dir", str(folder)]
    job = words[words.index("--") + 1 :]
    assert job[: len(started) + 1] == [*started, "mine.py"]
    folder.rename(tmp_path / "elsewhere")
    plan = subprocess.run(
        [str(Path(sys.executable).parent / job[0]), *job[1:], "--dry-run"],
        cwd=tmp_path / "elsewhere", text=True, capture_output=True, check=False,
        env=os.environ | {"RAYDISTILL_STORAGE": str(tmp_path / "storage")},
    )  # fmt: skip
    assert (plan.returncode, plan.stderr) == (0, "")
    assert "  middle  " in plan.stdout


def test_a_job_names_its_files_as_they_were_submitted(tmp_path, monkeypatch):
    """Ray's copy of its folder goes with the session."""
    sent = tmp_path / "session_1/_ray_pkg_0a1f"
    (sent / "my").mkdir(parents=True)
    monkeypatch.chdir(sent)
    monkeypatch.setenv("RAYDISTILL_PARTS", str(sent / "my"))
    line = job_line(tmp_path, ("python", str(sent / "mine.py")), "--age", "320B")
    assert line.startswith(
        "ray job submit --working-dir . -- python mine.py --age 320B --parts my "
    )
    assert parts_flag() == ("--parts", "my")
