"""A student in a folder, read to be measured."""

from dataclasses import replace

import pytest

from raydistill.core.errors import DataError, UsageError
from raydistill.data.tokenizer import shipped_tokenizer
from raydistill.export.student_folder import check_exportable, fill_student, read_student
from raydistill.models.decoder import build
from raydistill.models.student import Student
from raydistill.specs.scale import load_scale


def test_a_student_is_measured_in_windows_of_the_bases_length(tmp_path):
    """Also one that could read more."""
    config = replace(load_scale("smoke").model, num_layers=2)
    fill_student(
        Student(build(config, 0)), tmp_path, tokenizer=shipped_tokenizer().parent, notes={}
    )
    assert read_student(tmp_path, 64).config.context == 64
    assert read_student(tmp_path, 32).config.context == 32
    with pytest.raises(DataError, match="64"):
        read_student(tmp_path, 65)


def test_a_family_without_a_class_in_transformers_is_refused_in_one_line():
    with pytest.raises(UsageError) as refused:
        check_exportable(build(load_scale("smoke_reduced").model, seed=0))
    assert str(refused.value) == (
        "transformers has no class for models of family post-norm: those of family palm and of "
        "the hub are exported"
    )
    check_exportable(build(load_scale("smoke").model, seed=0))
