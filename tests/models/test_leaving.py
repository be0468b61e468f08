"""Which layers can leave by config.json alone, and the model that begins with those that stay."""

import sys
from pathlib import Path

import pytest
from transformers import AutoConfig, AutoModelForCausalLM

from raydistill.models.huggingface.checkpoint import read_checkpoint
from raydistill.models.huggingface.shape.leaving import check_leaving, shortened, some_layers
from raydistill.models.huggingface.surgery.layer_fields import CannotLeaveError
from raydistill.specs.flops import parameters
from support.hub_models import save_model

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from tiny_decoders import tiny_decoder


def config_of(folder, model_type):
    tiny_decoder(model_type).save_pretrained(folder)
    return read_checkpoint(str(folder), "main").model


@pytest.mark.parametrize(
    ("model_type", "layers", "why"),
    [
        (
            "qwen3_next",
            (1, 3, 5),
            "a 'qwen3_next' cannot lose layers 1,3,5: layer_types: a layer of full_attention must "
            "stay; 0,3,5 or 1,2,5 or 1,3,4 can leave",
        ),
        (
            "gemma4",  # by the fields of its language model
            (2, 1),
            "a 'gemma4_text' cannot lose layers 1,2: num_kv_shared_layers 3: layer 2 has the keys "
            "and values of every later full_attention, and must stay; 1,3 or 1,4 or 3,4 can leave",
        ),
    ],
)
def test_what_no_config_can_say_is_refused_with_the_nearest_that_can(
    model_type, layers, why, tmp_path
):
    config = config_of(tmp_path, model_type)
    with pytest.raises(CannotLeaveError) as refusal:
        check_leaving(config, layers, ends=True)
    assert str(refusal.value) == why
    check_leaving(config, (3,), ends=True)


def test_a_probe_takes_layers_that_can_leave(tmp_path):
    config = config_of(tmp_path, "gemma4")
    assert some_layers(config, 1) == range(1, 2)
    layers = some_layers(config, 2)
    assert layers == [1, 3]
    check_leaving(config, layers, ends=False)


@pytest.mark.parametrize(
    "model_type", ["deepseek_v3", "lfm2_moe", "gemma4_text", "granitemoehybrid"]
)
def test_a_shorter_model_of_its_own_has_the_blocks_that_stay(model_type, tmp_path):
    """As the stock class makes it from the shorter config."""
    config = config_of(tmp_path, model_type)
    shorter = shortened(config, (1, 3))
    assert shorter.blocks == tuple(b for n, b in enumerate(config.blocks) if n not in (1, 3))
    assert parameters(shorter) == parameters(config, removed=(1, 3))
    (tmp_path / "config.json").write_text(shorter.config)
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(tmp_path))
    assert parameters(config, removed=(1, 3)) == sum(p.numel() for p in model.parameters())


def test_a_shorter_model_of_blocks_alike_is_so_many_fewer(tmp_path):
    config = read_checkpoint(str(save_model(tmp_path, "qwen3")), "main").model
    assert shortened(config, (1, 3)).num_layers == 4
    assert shortened(config, (1, 3)).config == config.config
