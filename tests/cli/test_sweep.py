"""`raydistill sweep`: the project's sweeps by name, one's own by file, mistakes by their line."""

import re

import pytest

from raydistill.core.sweep_files import sweep_files
from support import sweeping

OWN = """from raydistill.api import NONE, Age, B, Scale, Sweep, TrialRequest


def trial(scale: Scale, age: Age, location: str) -> TrialRequest:
    return scale.trial(age=age, location=location, count=scale.count)


AXES = {"age": (320 * B,), "location": (NONE, "input")}
sweep = Sweep(name="mine", question="Where?", axes=AXES, trial=trial)
"""
TO_DO = ("--scale", "smoke", "--dry-run")


@pytest.fixture
def own(tmp_path):
    file = tmp_path / "my sweeps" / "where_to_drop.py"  # the name of one of ours
    file.parent.mkdir()
    file.write_text(OWN)
    return file


def test_without_a_name_every_sweep_is_listed_with_its_question(tmp_path):
    done = sweeping.command(tmp_path / "storage", "sweep")
    assert (done.returncode, done.stderr) == (0, "")
    for name in sweep_files():
        assert re.search(rf"^{name} +[A-Z].*\?$", done.stdout, re.MULTILINE)
    assert len(sweep_files()) >= 5
    assert not (tmp_path / "storage").exists()


@pytest.mark.parametrize("name", ["where_to_drop", "search"])
def test_a_name_takes_every_flag_of_the_script(name, tmp_path):
    flags = ("--dry-run", "--age", "320B", "--location", "none,input")
    ours = sweeping.command(tmp_path, "sweep", name, *flags)
    assert (ours.returncode, ours.stderr) == (0, "")
    assert ours.stdout == sweeping.here(name, tmp_path, *flags).stdout
    listed = sweeping.command(tmp_path, "sweep", name, "--help")
    assert listed.stdout.startswith(f"usage: raydistill sweep {name} [-h] [--location")


def test_a_wrong_flag_is_told_as_by_the_script(tmp_path):
    done = sweeping.command(tmp_path, "sweep", "where_to_drop", "--locaton", "input")
    assert (done.returncode, done.stdout) == (2, "")
    assert "did you mean --location?" in done.stderr


def test_an_unknown_name_is_told_with_the_names_there_are(tmp_path):
    done = sweeping.command(tmp_path, "sweep", "where_to_dorp")
    assert done.returncode == 2
    assert "Did you mean 'where_to_drop'? There are: ablate, capacity_gap, " in done.stderr
    assert done.stderr.endswith("or a file of yours: ./where_to_dorp.py\n")


def test_a_file_of_ones_own_runs_by_its_path_alone(own, monkeypatch):
    monkeypatch.setattr(sweeping, "ROOT", own.parent)  # where it runs
    storage = own.parents[1] / "storage"
    for path in ("where_to_drop.py", "./where_to_drop.py", str(own)):
        done = sweeping.command(storage, "sweep", path, *TO_DO)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("mine: Where?\n")
    by_name = sweeping.command(storage, "sweep", "where_to_drop", *TO_DO)
    assert by_name.stdout.startswith("where_to_drop: ")


def test_a_file_of_ones_own_has_a_name_of_its_own(own, tmp_path):
    own.write_text(OWN.replace('"mine"', '"search"'))
    done = sweeping.command(tmp_path / "storage", "sweep", own, *TO_DO)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{own}: there is another sweep 'search': give yours another `name`" in done.stderr
    own.write_bytes(sweep_files()["search"].read_bytes())  # ours, elsewhere
    assert sweeping.command(tmp_path / "storage", "sweep", own, *TO_DO).returncode == 0


def test_what_lies_beside_a_file_is_found(own, tmp_path):
    (own.parent / "places_of_mine.py").write_text("PLACES = ('none', 'middle')\n")
    own.write_text("from places_of_mine import PLACES\n" + OWN.replace('(NONE, "input")', "PLACES"))
    done = sweeping.command(tmp_path / "storage", "sweep", own, *TO_DO)
    assert (done.returncode, done.stderr) == (0, "")
    assert "  middle  " in done.stdout


MISTAKES = {
    "syntax": ("def trial(", "def trial((", "4: SyntaxError: "),
    "import": ("import NONE", "import NOON", "1: ImportError: cannot import name 'NOON'"),
    "an older form": ("raydistill.api", "raydistill.spec", "1: there is no raydistill.spec any"),
    "a name": ("Scale, Sweep", "Sweep", "4: NameError: name 'Scale' is not defined"),
    "a constructor": ("trial=trial", "trail=trial", "9: TypeError: "),
    "a sweep's name": ('"mine"', '"Mine"', "9: sweep name 'Mine': a small letter"),
    "axes": ("(320 * B,)", "320", "9: sweep 'mine': axis 'age' is 320, not several values:"),
    "another name": ("\nsweep = ", "\nquestion = ", "1: there is no `sweep`, but it is to"),
    "another type": ("sweep = Sweep(", "sweep = dict(", "9: `sweep` is a dict, but it is to be"),
    "the trial": (
        "scale.count", "scale.cuont",
        "5: AttributeError: 'Scale' object has no attribute 'cuont' "
        "(sweep 'mine' at age=320B, location=none)",
    ),
    "what it returns": (
        "return scale.trial", "return dict",
        "4: the trial function of sweep 'mine' returned {'age': ",
    ),
    "a field": (
        "scale.count)", "scale.count, weight_dekay=0)",
        "5: no recipe field 'weight_dekay'. Did you mean 'weight_decay'?",
    ),
    "a location": ('"input"', '"inptu"', "4: no location 'inptu'. Did you mean 'input'?"),
    "a loss's setting": (
        "scale.count)", 'scale.count, loss="kd+x=1")', "4: loss 'kd+x=1': no setting 'x'."
    ),
    "a range": (
        "scale.count)", "scale.count, weight_decay=7)",
        "4: weight_decay is 7.0: it must be a number, at least 0 and below 1 (sweep 'mine' at ",
    ),
    "a count": (
        "scale.count)", "99)",
        "4: count 99 at location 'input': this model has 6 layers; the first and last stay: 1 to 4 "
        "(sweep 'mine' at age=320B, location=input)",
    ),
    "an age": ("320 * B", "321 * B", "4: no age 321B: scale 'smoke' has 80B, 320B"),
    "no return": (
        "return scale", "scale",
        "4: the trial function of sweep 'mine' returned None for every cell: it is to return",
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_ones_own_file_is_one_line_with_file_and_line(mistake, own, tmp_path):
    right, wrong, message = MISTAKES[mistake]
    assert right in OWN
    own.write_text(OWN.replace(right, wrong, 1))
    done = sweeping.command(tmp_path / "storage", "sweep", own, *TO_DO)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {own}:{message}")
    assert done.stderr.count("\n") == 1
    in_full = sweeping.command(tmp_path / "storage", "sweep", own, *TO_DO, "--debug")
    assert in_full.returncode == 2
    assert "Traceback" in in_full.stderr
    assert not (tmp_path / "storage").exists()


def test_a_flag_s_mistake_is_not_the_file_s(own, tmp_path):
    done = sweeping.command(tmp_path / "storage", "sweep", own, *TO_DO, "--location", "inptu")
    assert done.stderr.startswith("error: no location 'inptu'. Did you mean 'input'?")


def test_a_file_leaves_nothing_beside_it(own, tmp_path):
    assert sweeping.command(tmp_path / "storage", "sweep", own, *TO_DO).returncode == 0
    assert [path.name for path in own.parent.iterdir()] == [own.name]


def test_a_file_that_is_not_there(tmp_path):
    for path in ("mine.py", tmp_path):
        done = sweeping.command(tmp_path / "storage", "sweep", path)
        assert done.returncode == 2
        assert "is no file here" in done.stderr


def test_a_file_that_ends_the_program_is_told_by_its_line(own, tmp_path):
    own.write_text("raise SystemExit(3)\n")
    done = sweeping.command(tmp_path / "storage", "sweep", str(own), *TO_DO)
    assert done.returncode == 2
    assert f"{own}:1: SystemExit: 3" in done.stderr


def test_a_value_given_twice_is_told_once(tmp_path, caplog):
    flags = ("--dry-run", "--age", "320B", "--location", "both,both")
    sweeping.command(tmp_path, "sweep", "where_to_drop", *flags)
    assert caplog.text.count("repeats both: taken once") == 1
