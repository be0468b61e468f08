"""Files of safetensors that are written tensor by tensor."""

import json

import torch
from safetensors.torch import load_file

from raydistill.models.huggingface.quantised.dequantise import Written
from raydistill.models.huggingface.quantised.files import write_files
from raydistill.models.huggingface.safetensors_header import tensor_shapes


def written(name, tensor):
    def pieces():
        yield from tensor.split(2) if tensor.ndim else [tensor]

    return Written(name, tensor.dtype, tuple(tensor.shape), pieces)


TENSORS = {
    "odd": torch.arange(3).to(torch.bfloat16),
    "table": torch.arange(10).view(5, 2),
    "number": torch.tensor(2.5),
    "turned": torch.rand(4, 6).T,
    "flags": torch.tensor([True, False, True]),
    "empty": torch.empty(0, 4),
}


def test_they_are_read_as_they_were(tmp_path):
    write_files([written(*each) for each in TENSORS.items()], tmp_path)
    read = load_file(tmp_path / "model.safetensors")
    assert read.keys() == TENSORS.keys()
    assert all(torch.equal(read[name], tensor) for name, tensor in TENSORS.items())
    assert tensor_shapes(tmp_path / "model.safetensors")["turned"] == (6, 4)


def test_they_are_split_where_a_file_would_be_too_large(tmp_path):
    write_files([written(*each) for each in TENSORS.items()], tmp_path, largest=100)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text("utf-8"))
    names = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    assert sorted(path.name for path in tmp_path.glob("*.safetensors")) == names
    firsts = [name for name, file in index["weight_map"].items() if file == names[0]]
    assert firsts == ["odd", "table", "number"]
    assert index["weight_map"].keys() == TENSORS.keys()
    assert index["metadata"]["total_size"] == sum(t.nbytes for t in TENSORS.values())
    for file in names:
        read = load_file(tmp_path / file)
        assert all(torch.equal(tensor, TENSORS[name]) for name, tensor in read.items())
