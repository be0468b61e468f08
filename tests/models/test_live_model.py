"""Blocks taken out of stock models in memory, one type of transformers for each cause."""

import json
import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
from tiny_decoders import TYPES, VOCABULARY, tiny_decoder  # noqa: E402

from raydistill.core.errors import DataError  # noqa: E402
from raydistill.models.decoder import Decoder  # noqa: E402
from raydistill.models.huggingface.checkpoint import read_checkpoint  # noqa: E402
from raydistill.models.huggingface.loading import load_pretrained  # noqa: E402
from raydistill.models.huggingface.saving import fill_folder  # noqa: E402
from raydistill.models.huggingface.surgery.end_check import check_written  # noqa: E402
from raydistill.models.huggingface.surgery.live_model import passing  # noqa: E402
from raydistill.models.student import Student  # noqa: E402
from raydistill.models.weights import load_weights, save_weights  # noqa: E402
from support.hub_models import fresh  # noqa: E402

LEAVING = (1, 3)
CAUSES = {
    "deepseek_v3": "a dense prefix as a count, then experts",
    "qwen3_next": "numbers of layers in a list, two kinds of attention",
    "llama4_text": "numbers of layers, and a base_model that is the model itself",
    "granitemoehybrid": "attention and state space, an infinite number in config.json",
    "recurrent_gemma": "kinds in turn, a capped head under another name, states in modules",
    "gemma3": "a language model within another",
    "gemma4_text": "shared keys and values, tables beside the blocks, dicts by layer",
    "longcat_flash": "two attentions a block",
    "gpt_neo": "the depth and the kinds under other names",
    "mamba": "no attention, no cache of keys",
    "cohere": "a scaled head",
    "bert": "a head with layers of its own",
    "minicpm3": "residuals scaled by the depth",
    "diffllama": "blocks that compute with their number",
}
REFUSED = {
    "beam", "blt", "emu3", "hrm_text", "hy_v4", "mllama", "prophetnet", "xlm",
}  # fmt: skip


def tokens(length=24):
    return (torch.arange(length)[None] * 7 + 3) % VOCABULARY


def opened(model_type, folder):
    """The decoder that is read from a tiny model's folder."""
    tiny_decoder(model_type).save_pretrained(folder)
    return decoder_in(folder)


def decoder_in(folder):
    return load_pretrained(read_checkpoint(str(folder), "main")).eval()


@torch.no_grad()
def stock_logits(decoder):
    return decoder.inner(input_ids=tokens(), use_cache=False).logits


@torch.no_grad()
def largest_difference(decoder, expected):
    return float((decoder(tokens()) - expected).abs().max() / expected.abs().max().clamp_min(1))


def check_every_way(model_type, tmp_path):
    """Out of the model in memory, back, out for good; generated, written and stored."""
    tiny_decoder(model_type).save_pretrained(tmp_path / "whole")
    check_folder(tmp_path)


def check_folder(tmp_path):
    decoder = decoder_in(tmp_path / "whole")
    whole = stock_logits(decoder)
    assert largest_difference(decoder, whole) < 1e-5
    with passing(decoder.inner, decoder.layers.list, LEAVING):
        short = stock_logits(decoder)
    with decoder.skipping(LEAVING):
        assert largest_difference(decoder, short) < 1e-5
    assert largest_difference(decoder, whole) < 1e-5
    student = Student(decoder)
    student.remove(LEAVING)
    prompt = tokens(9)
    generated = decoder.generate(prompt, 5, lambda _: False)
    assert generated == Decoder.generate(decoder, prompt, 5, lambda _: False)
    for name in ("written", "stored"):
        (tmp_path / name).mkdir()
    fill_folder(decoder, tmp_path / "whole", tmp_path / "written", {})
    check_written(decoder.inner, tmp_path / "written")
    save_weights(tmp_path / "stored", student)
    assert largest_difference(load_weights(tmp_path / "stored").model.eval(), short) < 1e-5


@pytest.mark.parametrize("model_type", CAUSES)
def test_blocks_leave_and_come_back_and_leave_for_good(model_type, tmp_path):
    check_every_way(model_type, tmp_path)


def test_queries_scaled_by_the_number_of_their_block_keep_their_scale(tmp_path):
    model = fresh("gpt2", scale_attn_by_inverse_layer_idx=True)
    for name, parameter in model.named_parameters():
        if "c_attn" in name:
            torch.nn.init.normal_(parameter, 0, 0.5)
    model.save_pretrained(tmp_path / "whole")
    check_folder(tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("model_type", sorted(set(TYPES) - CAUSES.keys() - REFUSED))
def test_blocks_of_any_type_leave(model_type, tmp_path):
    try:
        tiny_decoder(model_type)
    except Exception as error:  # noqa: BLE001  (of any kind, from transformers)
        pytest.skip(f"transformers makes none of the tiny settings: {error}")
    check_every_way(model_type, tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("model_type", sorted(REFUSED))
def test_what_cannot_be_right_is_refused(model_type, tmp_path):
    with pytest.raises(DataError):
        check_every_way(model_type, tmp_path)


def test_a_wrapper_whose_stock_causal_model_is_its_language_model_is_written_as_that(tmp_path):
    tiny_decoder("qwen3_5").save_pretrained(tmp_path / "whole")
    path = tmp_path / "whole/config.json"
    text = json.loads(path.read_text())
    path.write_text(json.dumps({"model_type": "qwen3_5", "dtype": "float32", "text_config": text}))
    check_folder(tmp_path)
    written = json.loads((tmp_path / "written/config.json").read_text())
    assert written["model_type"] == "qwen3_5_text"
    assert len(written["layer_types"]) == written["num_hidden_layers"] == 4


def test_what_is_not_text_learns_nothing(tmp_path):
    decoder = opened("gemma3", tmp_path / "whole")
    learning = {name for name, p in decoder.inner.named_parameters() if p.requires_grad}
    assert learning
    assert not any("vision" in name or "projector" in name for name in learning)
    assert decoder.leaves_unused is False


def test_an_expert_that_no_token_asks_is_known_to_get_no_gradient(tmp_path):
    assert opened("mamba", tmp_path / "one").leaves_unused is False
    assert opened("bart", tmp_path / "other").leaves_unused is True  # attention to an encoder
