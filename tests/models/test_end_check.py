"""A folder that was written is compared with the model that it was written of."""

import json

import pytest

from raydistill.core.errors import DataError
from raydistill.models.huggingface.checkpoint import read_checkpoint
from raydistill.models.huggingface.loading import load_pretrained
from raydistill.models.huggingface.surgery.end_check import check_written
from raydistill.models.student import Student
from support.hub_models import save_model, write_folder


@pytest.mark.parametrize(
    ("family", "spoilt", "message"),
    [
        ("llama", {}, ""),
        ("llama", {"rms_norm_eps": 0.1}, "is not the one that was written: without a cache"),
        ("llama", {"num_hidden_layers": 4}, "1 unexpected|cannot be loaded|unexpected tensors"),
        ("diffllama", {}, ""),  # its blocks compute with their number: weights change
    ],
)
def test_only_the_same_model_passes(tmp_path, family, spoilt, message):
    folder = save_model(tmp_path / "whole", family, **SIZES)
    decoder = load_pretrained(read_checkpoint(str(folder), "main"))
    Student(decoder).remove((1,))
    write_folder(decoder, folder, tmp_path / "short")
    config = tmp_path / "short/config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | spoilt))
    if not message:
        check_written(decoder.inner, tmp_path / "short")
        return
    with pytest.raises(DataError, match=message):
        check_written(decoder.inner, tmp_path / "short")


SIZES = {
    "hidden_size": 32, "num_hidden_layers": 6, "num_attention_heads": 4, "intermediate_size": 64,
    "num_key_value_heads": 2, "vocab_size": 2048, "max_position_embeddings": 64,
}  # fmt: skip
