"""Parts of one's own, from a folder or an installed package, stand beside the package's."""

import sys

import pytest

from raydistill.core.errors import OwnCodeError, UsageError
from raydistill.core.parts import (
    KINDS,
    LOSS,
    SCORE,
    SENT_FOLDER,
    TASK,
    defines,
    load_part,
    own_errors_named,
    part_file,
    part_names,
)
from raydistill.evaluation.lm_harness.catalogue import GROUPS
from raydistill.evaluation.lm_harness.paper13 import PAPER13
from raydistill.specs.locations import LOCATIONS, NONE
from raydistill.specs.part_identity import code_digest, part_identity


def test_a_file_in_the_folder_is_a_part_of_its_kind(own_parts):
    folder = own_parts({"scores/last_first.py": "score = 1", "losses/flat.py": "loss = 2"})
    assert "last-first" in part_names(SCORE)
    assert "flat" in part_names(LOSS)
    assert "flat" not in part_names(SCORE)
    assert load_part(SCORE, "last-first", "score") == 1
    assert part_file(LOSS, "flat") == folder / "losses" / "flat.py"
    assert "kd" in part_names(LOSS)


def test_a_folder_has_a_place_for_every_kind(own_parts):
    own_parts({f"{kind.folder}/own_{kind.name}.py": "ok = True" for kind in KINDS})
    assert all(defines(kind, f"own-{kind.name}", "ok") for kind in KINDS)


def test_own_parts_import_each_other_those_of_the_package_and_what_lies_beside(own_parts):
    own_parts(
        {
            "losses/near.py": """
                from near_shared import SHARED
                from raydistill.distillation.losses import kd
                from raydistill.distillation.losses._near_inner import INNER
                from ._near_inner import INNER as SAME
                loss = [kd.__name__, INNER + SAME, SHARED]""",
            "losses/_near_inner.py": "INNER = 1",
            "near_shared.py": "SHARED = 3",
        }
    )
    assert load_part(LOSS, "near", "loss") == ["raydistill.distillation.losses.kd", 2, 3]
    assert "near" in part_names(LOSS)
    assert not [name for name in part_names(LOSS) if "inner" in name]


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("losses/kd.py", r"losses/kd\.py: there is another loss 'kd', rename yours"),
        ("losses/logits_only.py", "there is another loss 'logits-only'"),
        ("losses/my-loss.py", r"my-loss\.py: a loss's file is named with letters, digits and _"),
    ],
)
def test_a_name_that_the_package_has_or_python_cannot_have_is_refused(own_parts, file, message):
    own_parts({file: "loss = 1"})
    with pytest.raises(UsageError, match=message):
        part_names(LOSS)


@pytest.mark.parametrize("name", ["all", NONE, *LOCATIONS, "random-1"])
def test_a_score_is_not_called_as_another_location(own_parts, name):
    own_parts({f"scores/{name.replace('-', '_')}.py": "def score(model, batches_BT): ..."})
    with pytest.raises(UsageError, match=rf"\.py: '{name}' means something else already, rename"):
        part_names(SCORE)


@pytest.mark.parametrize("name", [*PAPER13, *GROUPS])
def test_a_task_is_not_called_as_one_of_the_papers(own_parts, name):
    own_parts({f"tasks/{name.replace('-', '_')}.py": "CHOICES = 2"})
    with pytest.raises(UsageError, match="means something else already, rename yours"):
        part_names(TASK)


def test_a_part_that_lacks_what_its_kind_needs_is_told_with_its_file(own_parts):
    folder = own_parts({"scores/nameless.py": "def scores(model): ..."})
    with pytest.raises(OwnCodeError, match=f"{folder}/scores/nameless.py defines no score"):
        load_part(SCORE, "nameless", "score")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\nimport no_such_module", r"losses/bad1\.py:2: ModuleNotFoundError: No module"),
        ("x = 1\n\ndef loss(:", r"losses/bad1\.py:3: SyntaxError: "),
        ("def f():\n    return {}['a']\nf()", r"losses/bad1\.py:2: KeyError: 'a'"),
        ("import json\njson.loads('{')", r"losses/bad1\.py:2: JSONDecodeError: "),
    ],
)
def test_an_error_of_ones_own_names_its_file_and_line(own_parts, text, message):
    own_parts({"losses/bad1.py": text})
    with pytest.raises(OwnCodeError, match=message):
        load_part(LOSS, "bad1", "loss")


@pytest.mark.parametrize("error", [OSError, MemoryError])
def test_what_another_attempt_may_not_meet_stays_what_it_is(own_parts, error):
    own_parts({"losses/fails.py": "def loss(error): raise error('why')"})
    with pytest.raises(error) as raised, own_errors_named():
        load_part(LOSS, "fails", "loss")(error)
    assert raised.type is error


def test_an_error_of_the_package_stays_what_it_is(own_parts):
    own_parts({"losses/fine.py": "loss = dict"})
    with pytest.raises(KeyError), own_errors_named():
        load_part(LOSS, "fine", "loss")()["a"]


def test_a_worker_finds_the_folder_where_ray_has_put_it(own_parts, tmp_path, monkeypatch):
    folder = own_parts({"losses/sent.py": "loss = 5"})
    folder.rename(folder.parent / SENT_FOLDER)
    monkeypatch.setenv("RAYDISTILL_PARTS", SENT_FOLDER)
    assert "sent" not in part_names(LOSS)
    monkeypatch.syspath_prepend(tmp_path)
    assert load_part(LOSS, "sent", "loss") == 5


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Installs a package with these files, and entry points of these groups."""

    def install(files, entry_points):
        for name, text in files.items():
            path = tmp_path / "site" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        info = tmp_path / "site" / "plugin-1.0.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(entry_points)
        monkeypatch.syspath_prepend(tmp_path / "site")

    yield install
    for name in [name for name in sys.modules if name.split(".")[0] == "plugin"]:
        del sys.modules[name]


PLUGIN = {
    "plugin/__init__.py": "raise RuntimeError('imported')",
    "plugin/losses.py": "from . import inner\nloss = inner.ONE",
    "plugin/inner.py": "ONE = 1",
}
"""A package that fails when it is imported: planning does not."""


def test_an_installed_package_names_its_parts_as_entry_points(installed):
    installed(PLUGIN, "[raydistill.losses]\nplugged_in = plugin.losses\n")
    assert "plugged-in" in part_names(LOSS)
    assert part_file(LOSS, "plugged-in").name == "losses.py"
    code_digest(LOSS, "plugged-in")
    with pytest.raises(OwnCodeError, match=r"plugin/__init__\.py:1: RuntimeError: imported"):
        load_part(LOSS, "plugged-in", "loss")


def test_an_installed_part_is_used_as_any_other(installed):
    installed(PLUGIN | {"plugin/__init__.py": ""}, "[raydistill.losses]\nplugged = plugin.losses\n")
    assert load_part(LOSS, "plugged", "loss") == 1


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("kd = plugin.losses", "entry point kd = plugin.losses of plugin: there is another loss"),
        ("x = plugin.losses:loss", "of plugin: a loss is a module, without 'loss'"),
        ("x = plugin.gone", "loss 'x': there is no module plugin.gone"),
    ],
)
def test_an_entry_point_that_is_no_part_is_refused(installed, entry, message):
    installed(PLUGIN, f"[raydistill.losses]\n{entry}\n")
    with pytest.raises(UsageError, match=message):
        part_file(LOSS, entry.partition(" ")[0])


def test_the_identity_of_an_installed_part_is_its_code_and_what_it_imports_of_its_package(
    installed,
):
    def digest(**changed):
        files = {f"plugin/{name}.py": text for name, text in changed.items()}
        installed(PLUGIN | files, "[raydistill.losses]\nplugged = plugin.losses\n")
        return code_digest(LOSS, "plugged")

    assert digest(inner="ONE = 1  # one") == digest(other="TWO = 2") == digest()
    assert len({digest(), digest(inner="ONE = 2"), digest(losses="loss = 1")}) == 3


def test_the_identity_of_a_part_is_its_code_and_what_it_imports_of_its_folder(own_parts):
    files = {
        "losses/known.py": "import known_shared\nfrom ._known import ONE\nloss = ONE",
        "losses/_known.py": "ONE = 1",
        "known_shared/__init__.py": "",
        "known_shared/inner.py": "TWO = 2",
        "scores/known.py": "ONE = 1",
        "known_other.py": "",
    }
    own_parts(files)
    plain = code_digest(LOSS, "known")
    assert part_identity(LOSS, "known") == plain
    own_parts({"scores/known.py": "ONE = 2", "known_other.py": "a = 1"})
    assert code_digest(LOSS, "known") == plain
    for file in ("losses/known.py", "losses/_known.py", "known_shared/inner.py"):
        own_parts({file: f"{files[file]}\nTHREE = 3"})
        assert code_digest(LOSS, "known") != plain, file
        own_parts({file: files[file]})
