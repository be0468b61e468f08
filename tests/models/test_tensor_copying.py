"""Safetensors files written from parts of others."""

import hashlib

import pytest
import torch
from safetensors.torch import load_file, save_file

from raydistill.core.errors import DataError
from raydistill.models.huggingface.surgery.tensor_copying import (
    ChangedTensor,
    copied_tensors,
    write_tensors,
)

TENSORS = {
    "half": torch.arange(5).to(torch.bfloat16),
    "none": torch.zeros(0, 3),
    "flags": torch.tensor([True, False, True]),
    "one": torch.tensor(3.5),
    "numbers": torch.arange(7),
    "large": torch.randn(1500, 3000),  # more than a piece
}


@pytest.fixture
def file(tmp_path):
    save_file(TENSORS, tmp_path / "whole.safetensors")
    return tmp_path / "whole.safetensors"


def test_copied_tensors_keep_every_bit(file, tmp_path):
    short = tmp_path / "short.safetensors"
    sha256 = write_tensors(short, [t for t in copied_tensors(file) if t.name != "flags"])
    assert sha256 == hashlib.sha256(short.read_bytes()).hexdigest()
    written = load_file(short)
    assert written.keys() == TENSORS.keys() - {"flags"}
    for name, tensor in written.items():
        assert tensor.dtype is TENSORS[name].dtype
        assert tensor.equal(TENSORS[name])


def test_files_of_several_and_changed_tensors_are_whole(file, tmp_path):
    other, short = tmp_path / "other.safetensors", tmp_path / "short.safetensors"
    save_file({"odd": torch.arange(3, dtype=torch.uint8)}, other)
    tensors = {tensor.name: tensor for tensor in copied_tensors(file) + copied_tensors(other)}
    cut = ChangedTensor(
        name="cut", stored=tensors["large"].stored, shape=(1500, 2),
        values=lambda: TENSORS["large"][:, 1:3],
    )  # fmt: skip
    write_tensors(short, [tensors["odd"], cut, tensors["half"]])
    written = load_file(short)
    assert written["cut"].equal(TENSORS["large"][:, 1:3])
    assert written["odd"].tolist() == [0, 1, 2]
    assert written["half"].equal(TENSORS["half"])


def test_a_truncated_file_is_refused(file):
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DataError, match="truncated"):
        copied_tensors(file)
