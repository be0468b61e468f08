"""Which files of a hub repository are downloaded as its weights."""

import json

import pytest
from huggingface_hub.utils import filter_repo_objects

from raydistill.core.errors import DataError
from raydistill.models.huggingface.weight_files import INDEX, patterns_to_download

SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
BESIDE = ["adapter_model.safetensors", "consolidated.safetensors",
          "consolidated-00001-of-00002.safetensors", "onnx/model.onnx"]  # fmt: skip


@pytest.mark.parametrize("weights", [["model.safetensors"], SHARDS, ["weights.safetensors"]])
def test_of_a_repository_only_what_transformers_loads_is_downloaded(tmp_path, weights):
    if len(weights) > 1 or weights == ["weights.safetensors"]:
        index = {"weight_map": {str(number): name for number, name in enumerate(weights)}}
        (tmp_path / INDEX).write_text(json.dumps(index))
    patterns = patterns_to_download(tmp_path)
    assert list(filter_repo_objects([*weights, *BESIDE], allow_patterns=patterns)) == weights


def test_an_index_without_a_map_is_refused(tmp_path):
    (tmp_path / INDEX).write_text("{}")
    with pytest.raises(DataError, match="no weight_map"):
        patterns_to_download(tmp_path)
