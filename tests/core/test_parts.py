"""A part is a file, found by its name."""

import sys

import pytest

from raydistill.core.errors import UsageError
from raydistill.core.parts import (
    LOSS,
    MODEL_FAMILY,
    SCALE,
    SCORE,
    TASK,
    PartKind,
    load_part,
    part_file,
    part_names,
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A part folder `outlines` with two parts, one of which fails when it is imported."""
    package = tmp_path / "outlines"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "round_one.py").write_text("corners = 0")
    (package / "broken.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    yield PartKind("outlines", "shape")
    for name in [name for name in sys.modules if name.startswith("outlines")]:
        del sys.modules[name]


def test_names_are_listed_without_importing_any(folder):
    assert part_names(folder) == ["broken", "round-one"]


def test_a_part_gives_what_its_file_defines(folder):
    assert load_part(folder, "round-one", "corners") == 0


def test_the_file_of_a_part_is_found_without_importing_it(folder, tmp_path):
    assert part_file(folder, "broken") == tmp_path / "outlines" / "broken.py"
    with pytest.raises(UsageError, match="no shape 'roundone'"):
        part_file(folder, "roundone")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (LOSS, "no loss 'lmm'. Did you mean 'lm'?"),
        (MODEL_FAMILY, "no model 'lmm'"),
        (SCALE, "no scale 'lmm'"),
        (SCORE, "no score 'lmm'"),
        (TASK, "no task 'lmm'"),
    ],
)
def test_an_unknown_name_is_told_with_its_kind(kind, message):
    with pytest.raises(UsageError, match=message.replace("?", r"\?")):
        load_part(kind, "lmm", "anything")
