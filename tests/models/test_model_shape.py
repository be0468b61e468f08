"""A checkpoint is counted, cut and stored as transformers loads it, whatever lies beside it."""

import json
from contextlib import suppress

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors.torch import load_file, save_file
from transformers import CONFIG_MAPPING, AutoModelForCausalLM
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from raydistill.core.errors import DataError
from raydistill.models.huggingface.checkpoint import read_checkpoint
from raydistill.models.huggingface.loading import load_pretrained, read_base
from raydistill.models.huggingface.tied_head import says_tied
from raydistill.models.weights import load_weights
from raydistill.specs.flops import parameters
from raydistill.storage.store import Store
from support.hub_models import fresh, save_model, save_tokenizer, write_folder

TOKENS_BT = torch.arange(40)[None]


def count(folder):
    return parameters(read_checkpoint(str(folder), "main").model)


def stock(folder):
    return AutoModelForCausalLM.from_pretrained(folder)


def told(folder, **changes):
    """The folder with other fields in its config.json; None: without the field."""
    fields = json.loads((folder / "config.json").read_text()) | changes
    kept = {key: value for key, value in fields.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(kept))
    return folder


def test_only_files_of_the_index_count(tmp_path):
    model = fresh("llama")
    model.save_pretrained(tmp_path, max_shard_size="60KB")
    assert (tmp_path / "model.safetensors.index.json").is_file()
    alone = read_checkpoint(str(tmp_path), "main")
    second = {f"second.{name}": tensor.clone() for name, tensor in model.state_dict().items()}
    save_file(second, tmp_path / "consolidated.safetensors")
    both = read_checkpoint(str(tmp_path), "main")
    assert (both.model, both.key) == (alone.model, alone.key)
    assert parameters(both.model) == sum(p.numel() for p in model.parameters())


def test_an_adapter_beside_the_weights_is_no_part_of_them(tmp_path):
    folder = save_model(tmp_path)
    alone = count(folder)
    adapter = {"model.layers.0.self_attn.q_proj.lora_A.weight": torch.randn(4, 32)}
    save_file(adapter, folder / "adapter_model.safetensors")
    assert count(folder) == alone
    load_pretrained(read_checkpoint(str(folder), "main"))


@pytest.mark.parametrize("text", ["", "[]", '{"weight_map": 3}', "{}"])
def test_an_index_that_is_none_is_refused(tmp_path, text):
    fresh("llama").save_pretrained(tmp_path, max_shard_size="60KB")
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(DataError, match=r"index\.json has no weight_map"):
        count(tmp_path)


@torch.no_grad()
def test_a_head_of_its_own_stays_whatever_the_config_says(tmp_path):
    folder = save_model(tmp_path / "own", tie_word_embeddings=False)
    expected = stock(folder)(TOKENS_BT).logits
    size = sum(p.numel() for p in stock(folder).parameters())
    told(folder, tie_word_embeddings=True)
    assert torch.equal(stock(folder)(TOKENS_BT).logits, expected)
    assert count(folder) == size
    store = Store(tmp_path / "storage")
    base = load_weights(store.path("bases", read_base(str(folder), "main", 0, store)))
    assert torch.allclose(base.model(TOKENS_BT), expected, atol=1e-5)
    base.remove((2,))
    write_folder(base.model, folder, tmp_path / "cut")
    assert json.loads((tmp_path / "cut/config.json").read_text())["tie_word_embeddings"] is False
    shorter = stock(folder)
    del shorter.model.layers[2]
    for position, block in enumerate(shorter.model.layers):
        block.self_attn.layer_idx = position
    shorter.config.num_hidden_layers = 5
    logits = stock(tmp_path / "cut")(TOKENS_BT).logits
    assert torch.allclose(logits, shorter(TOKENS_BT, use_cache=False).logits, atol=1e-5)


def test_a_head_that_is_the_embedding_once_more_counts_once(tmp_path):
    """As older exports wrote it, with a config that leaves the tie to its type."""
    model = fresh("gpt2")
    model.save_pretrained(tmp_path)
    save_tokenizer(tmp_path)
    told(tmp_path, tie_word_embeddings=None)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["lm_head.weight"] = tensors["transformer.wte.weight"].clone()
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert count(tmp_path) == sum(p.numel() for p in model.parameters())
    decoder = load_pretrained(read_checkpoint(str(tmp_path), "main"))
    write_folder(decoder, tmp_path, tmp_path / "cut")
    assert "tie_word_embeddings" not in json.loads((tmp_path / "cut/config.json").read_text())


def assert_default(family):
    assert says_tied({"model_type": family}) == CONFIG_MAPPING[family]().tie_word_embeddings, family


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma3_text", "opt", "smollm3", "gpt_neox"])
def test_without_a_field_the_tie_is_the_default_of_the_type(family):
    assert_default(family)


@pytest.mark.soak
def test_without_a_field_the_tie_is_the_default_of_every_type():
    for family in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.keys() & CONFIG_MAPPING.keys():
        with suppress(AttributeError, StrictDataclassError):  # made with arguments alone
            assert_default(family)
