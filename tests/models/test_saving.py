"""A folder that a model is written into."""

import json
import stat

import pytest
import torch

from raydistill.core.errors import UsageError
from raydistill.models.huggingface.checkpoint import read_checkpoint
from raydistill.models.huggingface.loading import load_pretrained
from raydistill.models.student import Student
from support.hub_models import save_model, write_folder


@pytest.fixture
def checkpoint(tmp_path):
    """A folder in half precision, with dropout and a chat template, and its decoder."""
    folder = save_model(tmp_path / "came", attention_dropout=0.1, tie_word_embeddings=True)
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    (folder / "README.md").write_text("a card of the base")
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"dtype": "bfloat16"}))
    return folder, load_pretrained(read_checkpoint(str(folder), "main"))


def test_it_keeps_dtype_dropout_and_what_lies_beside(checkpoint, tmp_path):
    folder, decoder = checkpoint
    Student(decoder).remove((1, 4))
    weights = {n: p.clone() for n, p in decoder.float().named_parameters()}
    write_folder(decoder, folder, tmp_path / "out", **{"mergekit.yml": "slices: []"})
    came, went = (json.loads((at / "config.json").read_text()) for at in (folder, tmp_path / "out"))
    assert {k for k in came | went if came.get(k) != went.get(k)} == {
        "num_hidden_layers", "transformers_version",
    }  # fmt: skip
    assert (went["num_hidden_layers"], went["attention_dropout"]) == (4, 0.1)
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
        "chat_template.jinja", "generation_config.json", "mergekit.yml",
        "manifest.json",
    }  # fmt: skip
    again = load_pretrained(read_checkpoint(str(tmp_path / "out"), "main"))
    assert again.inner.dtype == torch.bfloat16
    for name, p in decoder.named_parameters():  # itself unchanged
        assert torch.equal(p, weights[name])
    mode = (tmp_path / "out/model.safetensors").stat().st_mode
    assert mode & stat.S_IROTH
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_row_45_what_is_there_is_replaced_only_when_asked(checkpoint, tmp_path):
    folder, decoder = checkpoint
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not empty: --overwrite"):
        write_folder(decoder, folder, tmp_path / "out")
    for _ in range(2):
        write_folder(decoder, folder, tmp_path / "out", overwrite=True)
    assert (tmp_path / "out/mine.txt").read_text() == "mine"
    (tmp_path / "out/model-00001-of-00002.safetensors").touch()
    with pytest.raises(UsageError, match="weights of another model"):
        write_folder(decoder, folder, tmp_path / "out", overwrite=True)


def test_row_45_neither_a_file_nor_the_base_is_written_over(checkpoint, tmp_path):
    folder, decoder = checkpoint
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is a file"):
        write_folder(decoder, folder, tmp_path / "file", overwrite=True)
    with pytest.raises(UsageError, match="the folder that the model comes from"):
        write_folder(decoder, folder, folder, overwrite=True)
