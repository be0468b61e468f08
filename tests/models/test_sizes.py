"""The size of every block from config.json and the headers of the files, without the model."""

import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM

from raydistill.core.serialization import from_dict
from raydistill.models.huggingface.checkpoint import read_checkpoint
from raydistill.specs.flops import (
    active_parameters,
    block_sizes,
    forward_flops_per_token,
    parameters,
)
from raydistill.specs.model import BlockSizes, HubConfig, MixedHubConfig, Model
from support.hub_models import save_model

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from tiny_decoders import TYPES, tiny_decoder

ONE_OF_EACH = {  # type → its list of blocks
    "deepseek_v3": "model.layers",  # dense blocks first, then experts, one of them shared
    "ernie4_5_moe": "model.layers",
    "qwen3_next": "model.layers",  # two kinds of attention, and numbers of dense blocks
    "lfm2_moe": "model.layers",  # convolutions
    "granitemoehybrid": "model.layers",  # Mamba and attention
    "nemotron_h": "model.layers",
    "jamba": "model.layers",  # periods
    "gemma3": "model.language_model.layers",  # a language model within
    "qwen3_5": "model.layers",
    "gemma3n_text": "model.layers",  # tables beside the blocks
    "gemma4": "model.language_model.layers",  # heads of two widths, shared keys and values
    "mamba": "backbone.layers",  # no heads
    "mpt": "transformer.blocks",  # `n_layers`
    "gpt_neo": "transformer.h",  # `num_layers`
    "bart": "model.decoder.layers",  # `decoder_layers`
    "xlstm": "backbone.blocks",  # `num_blocks`
    "gpt_oss": "model.layers",
    "minimax_m2": "model.layers",  # a routers' buffer in the file
}


def saved(folder, model_type):
    model = tiny_decoder(model_type)
    model.save_pretrained(folder)
    return model, read_checkpoint(str(folder), "main").model


def assert_sizes(model, config, blocks):
    own = [sum(p.numel() for p in b.parameters()) for b in model.get_submodule(blocks).children()]
    assert [block.parameters for block in block_sizes(config)] == own
    assert config.num_layers == len(own)
    assert parameters(config) == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("model_type", ONE_OF_EACH)
def test_the_sizes_are_those_of_the_stock_model(model_type, tmp_path):
    model, config = saved(tmp_path, model_type)
    assert_sizes(model, config, ONE_OF_EACH[model_type])
    text = model.config.get_text_config(decoder=True)
    embedding = model.get_input_embeddings().weight
    assert (config.vocab_size, config.dim) == tuple(embedding.shape)
    if model_type not in ("mamba", "xlstm", "mpt"):
        assert config.max_length == getattr(text, "max_position_embeddings", 64)
    assert from_dict(Model, json.loads(json.dumps(asdict(config)))) == config


UNTOLD = (
    *("hrm_text", "inkling2_text", "xlm", "blt", "zamba", "zamba2", "cpmant", "apertus"),
    *("emu3", "mllama"),
)
"""Whose blocks share a stack or are no list, whose files hold more or less than the model, or of
which transformers makes no decoder without weights."""


@pytest.mark.soak
@pytest.mark.parametrize("model_type", TYPES)
def test_the_sizes_of_every_type(model_type, tmp_path):
    from raydistill.models.huggingface.surgery.anatomy import read_anatomy

    if model_type in UNTOLD:
        pytest.skip("see UNTOLD")
    try:
        model = tiny_decoder(model_type)
    except Exception as error:  # noqa: BLE001  (of any kind, from transformers)
        pytest.skip(f"the settings make none: {error}")
    model.save_pretrained(tmp_path)
    config = read_checkpoint(str(tmp_path), "main").model
    assert_sizes(model, config, read_anatomy(tmp_path).blocks)


@pytest.mark.parametrize(
    "model_type",
    ["glm4_moe", "qwen3_moe", "mixtral", "gpt_oss", "mimo_v2_flash", "ernie4_5_moe", "deepseek_v3"],
)
def test_torch_counts_the_same_where_tokens_go_to_some_experts(model_type, tmp_path):
    """Each token to its experts; the stock model's other ways compute some for nothing."""
    _, config = saved(tmp_path, model_type)
    model = AutoModelForCausalLM.from_pretrained(tmp_path, experts_implementation="eager")
    ids = torch.arange(1, 33)[None]
    with (
        torch.no_grad(),
        sdpa_kernel(SDPBackend.MATH),
        FlopCounterMode(display=False) as counter,
    ):
        model(ids, use_cache=False)
    flops = 32 * forward_flops_per_token(replace(config, context=32))
    assert counter.get_total_flops() == flops


def test_of_experts_the_active_ones_count(tmp_path):
    """Of four experts a token goes to two; shared ones and the router are always used."""
    model, config = saved(tmp_path, "deepseek_v3")
    dense, sparse = config.blocks[0], config.blocks[2]
    assert dense.active == dense.parameters
    (experts,) = (m for n, m in model.named_modules() if n == "model.layers.2.mlp.experts")
    routed = sum(p.numel() for p in experts.parameters())
    assert sparse.parameters - sparse.active == routed // 2
    left = active_parameters(config, removed=(0, 3))
    assert left == active_parameters(config) - dense.active - sparse.active


def test_the_share_of_a_table_leaves_with_its_layer(tmp_path):
    model, config = saved(tmp_path, "gemma3n_text")
    table = model.model.embed_tokens_per_layer.weight
    projection = model.model.per_layer_model_projection.weight
    (share,) = {block.tables for block in config.blocks}
    assert share * 6 == table.numel() + projection.numel()
    assert parameters(config) - parameters(config, removed=(1,)) == (
        config.blocks[1].parameters + share
    )


def test_a_count_of_blocks_that_differ_is_of_mean_ones():
    sizes = [
        BlockSizes(parameters=n, active=n, products=n, attention_width=8) for n in (100, 300, 200)
    ]
    config = MixedHubConfig(
        family="hub",
        num_layers=3,
        dim=8,
        num_heads=1,
        vocab_size=10,
        context=4,
        config="{}",
        block_parameters=200,
        block_products=200,
        other_parameters=1000,
        attention_width=8,
        blocks=tuple(sizes),
    )
    assert parameters(config) == 1600
    assert parameters(config, removed=1) == 1400
    assert parameters(config, removed=(1,)) == 1300


def test_blocks_alike_are_kept_as_before(tmp_path):
    """What bases and trials are named by: the fields and their order, nothing more."""
    for model_type in ("llama", "mixtral"):
        save_model(tmp_path / model_type, model_type, **_small(model_type))
        config = read_checkpoint(str(tmp_path / model_type), "main").model
        assert type(config) is HubConfig
        assert list(asdict(config)) == [
            *("family", "num_layers", "dim", "num_heads", "vocab_size", "context", "config"),
            *("block_parameters", "block_products", "other_parameters", "attention_width"),
        ]


def _small(model_type):
    if model_type != "mixtral":
        return {}
    return {
        "hidden_size": 32,
        "num_hidden_layers": 6,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 64,
        "vocab_size": 2048,
        "num_local_experts": 4,
        "max_position_embeddings": 64,
    }


def test_a_config_that_leaves_out_the_defaults_of_its_class_is_enough(tmp_path):
    """As Gemma 3's of the hub: the heads and the vocabulary are in no field."""
    model, whole = saved(tmp_path, "gemma3")
    path = tmp_path / "config.json"
    fields = json.loads(path.read_text())
    known = ("hidden_size", "num_hidden_layers", "model_type")
    fields["text_config"] = {name: fields["text_config"][name] for name in known}
    path.write_text(json.dumps(fields))
    config = read_checkpoint(str(tmp_path), "main").model
    assert parameters(config) == sum(p.numel() for p in model.parameters())
    assert (config.vocab_size, config.dim) == (whole.vocab_size, whole.dim)
    assert block_sizes(config) == block_sizes(whole)
    assert config.max_length == 131_072


def test_layers_that_predict_more_tokens_are_no_blocks(tmp_path):
    """GLM-4.5's files have one behind the last; transformers leaves it unread."""
    from safetensors.torch import load_file, save_file

    _, whole = saved(tmp_path, "glm4_moe")
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    tensors["model.layers.6.eh_proj.weight"] = torch.zeros(32, 64)
    save_file(tensors, path, metadata={"format": "pt"})
    fields = json.loads((tmp_path / "config.json").read_text()) | {"num_nextn_predict_layers": 1}
    (tmp_path / "config.json").write_text(json.dumps(fields))
    config = read_checkpoint(str(tmp_path), "main").model
    assert (config.blocks, parameters(config)) == (whole.blocks, parameters(whole))


def test_neither_torch_nor_transformers_is_needed(tmp_path):
    saved(tmp_path, "gemma4")
    code = (
        "import sys; from raydistill.models.huggingface.checkpoint import read_checkpoint; "
        f"read_checkpoint({str(tmp_path)!r}, 'main'); "
        "print(sorted({'torch', 'transformers', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
