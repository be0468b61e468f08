"""The examples in docstrings: one process imports what they need, not each that runs tests."""

import doctest
import importlib
from pathlib import Path

import pytest

import raydistill

SRC = Path(raydistill.__file__).parents[1]
MODULES = [
    ".".join(file.relative_to(SRC).with_suffix("").parts)
    for file in sorted(SRC.glob("raydistill/**/*.py"))
    if ">>> " in file.read_text("utf-8")
]


@pytest.mark.parametrize("module", MODULES)
def test_what_a_docstring_shows_is_what_happens(module):
    failed, tried = doctest.testmod(importlib.import_module(module))
    assert failed == 0
    assert tried > 0
