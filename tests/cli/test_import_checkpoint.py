"""`raydistill import`: pickled weights are read once, in another process, and run nothing."""

import json
import pickle
import zipfile

import pytest
import torch

from raydistill.core.errors import DataError
from raydistill.models.huggingface.checkpoint import read_checkpoint
from raydistill.models.huggingface.loading import load_pretrained
from raydistill.models.huggingface.unpickle import convert, pickles_in
from support import sweeping
from support.hub_models import fresh, save_tokenizer


@pytest.fixture
def pickled(tmp_path):
    """A folder as older ones are: config, tokenizer, `pytorch_model.bin`; and its model."""
    folder, model = tmp_path / "old", fresh("gpt_neox", tie_word_embeddings=True)
    model.config.save_pretrained(folder)
    save_tokenizer(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    return folder, model


def import_model(folder, to, *words):
    return sweeping.command(to.parent / "storage", "import", folder, "--to", to, *words)


def test_it_comes_out_as_a_folder_that_everything_reads(pickled, tmp_path):
    folder, model = pickled
    done = import_model(folder, tmp_path / "new")
    assert done.returncode == 0, done.stderr
    assert "new: 6 layers, " in done.stdout
    decoder = load_pretrained(read_checkpoint(str(tmp_path / "new"), "main")).eval()
    x_BT = torch.arange(8)[None]
    assert torch.equal(decoder(x_BT), model.eval()(x_BT).logits)
    assert (tmp_path / "new/tokenizer.json").is_file()
    again = import_model(folder, tmp_path / "new")
    assert (again.returncode, "is not empty" in again.stderr) == (2, True)
    twice = import_model(tmp_path / "new", tmp_path / "newer")
    assert (twice.returncode, "has safetensors already" in twice.stderr) == (3, True)


def test_where_it_may_not_be_written_is_told_before_anything_is_read_or_downloaded(tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new/mine.txt").touch()
    done = import_model("org/no-such-model", tmp_path / "new")
    assert (done.returncode, "is not empty" in done.stderr) == (2, True)


class Payload:
    def __reduce__(self):
        import os

        return os.system, ("touch payload",)


def plain_pickle(path):
    path.write_bytes(pickle.dumps({"w": Payload()}))


def pickle_in_a_zip(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps({"w": Payload()}, protocol=2))
        file.writestr("archive/version", "3")


@pytest.mark.parametrize("malicious", [plain_pickle, pickle_in_a_zip])
def test_a_payload_does_not_run(pickled, tmp_path, monkeypatch, malicious):
    folder, _ = pickled
    malicious(folder / "pytorch_model.bin")
    monkeypatch.setattr(sweeping, "ROOT", tmp_path)  # where it would run
    done = import_model(folder, tmp_path / "new")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.count("\n") == 1
    assert "pytorch_model.bin is not weights alone, and was not run" in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["old"]
    assert not list(tmp_path.rglob("payload"))


def test_shards_become_shards_with_an_index(tmp_path):
    model = fresh("llama")
    state = list(model.state_dict().items())
    for number, part in enumerate((state[:9], state[9:]), 1):
        torch.save(dict(part), tmp_path / f"pytorch_model-0000{number}-of-00002.bin")
    draft = tmp_path / "draft"
    draft.mkdir()
    convert(tmp_path, draft)
    model.config.save_pretrained(draft)
    index = json.loads((draft / "model.safetensors.index.json").read_text())
    assert set(index["weight_map"]) == set(dict(state))
    assert len(load_pretrained(read_checkpoint(str(draft), "main")).blocks) == 6


def test_one_file_of_any_name_will_do_and_what_is_no_weights_is_told(tmp_path):
    with pytest.raises(DataError, match="it has none"):
        pickles_in(tmp_path)
    torch.save({"state_dict": {"a": torch.ones(2)}}, tmp_path / "best.pt")
    torch.save({}, tmp_path / "optimizer.pt")
    assert [file.name for file in pickles_in(tmp_path)] == ["best.pt"]
    convert(tmp_path, tmp_path)
    assert (tmp_path / "model.safetensors").is_file()
    torch.save({"a": torch.ones(2), "step": 3}, tmp_path / "best.pt")
    with pytest.raises(DataError, match="holds more than tensors: step"):
        convert(tmp_path, tmp_path)
    (tmp_path / "other.pth").touch()
    with pytest.raises(DataError, match=r"it has best.pt, other.pth"):
        pickles_in(tmp_path)
