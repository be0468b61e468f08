"""What a family's file says of causality, read without torch."""

import subprocess
import sys

import pytest

from raydistill.core.errors import UsageError
from raydistill.core.parts import PARTS_VARIABLE
from raydistill.specs.shape.families import is_causal

READING = """
import sys
from raydistill.specs.shape.families import is_causal
print(is_causal("encoder"), is_causal("post-norm"), "torch" in sys.modules)
"""


def test_the_encoder_alone_is_not_causal_and_torch_is_not_asked():
    run = subprocess.run([sys.executable, "-c", READING], capture_output=True, text=True)
    assert run.stdout.split() == ["False", "True", "False"], run.stderr
    assert is_causal("palm")
    assert is_causal("hub")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("CAUSAL = not True", r"mine\.py:1: CAUSAL is read, not run: True or False"),
        ("CAUSAL = (", r"mine\.py:1: SyntaxError"),
    ],
)
def test_a_file_that_does_not_say_it_plainly_is_refused(code, message, tmp_path, monkeypatch):
    monkeypatch.setenv(PARTS_VARIABLE, str(tmp_path))
    (tmp_path / "families").mkdir()
    (tmp_path / "families" / "mine.py").write_text(code)
    with pytest.raises(UsageError, match=message):
        is_causal("mine")


def test_one_of_ones_own_says_it_too(tmp_path, monkeypatch):
    monkeypatch.setenv(PARTS_VARIABLE, str(tmp_path))
    (tmp_path / "families").mkdir()
    (tmp_path / "families" / "mine.py").write_text("CAUSAL = False\n")
    assert not is_causal("mine")
    with pytest.raises(UsageError, match="no model 'other'"):
        is_causal("other")
