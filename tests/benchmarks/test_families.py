"""Decoders of transformers lose blocks rightly, one for each way that a config speaks of layers."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from families import outcome_of, page
from tiny_decoders import TYPES

ONE_OF_EACH = {  # type → the fields that change
    "llama": "`num_hidden_layers`",
    "glm4_moe": "`first_k_dense_replace`",  # dense layers first
    "ernie4_5_moe": "`moe_layer_end_index`",
    "qwen2_moe": "`decoder_sparse_step`",
    "qwen3_next": "`mlp_only_layers`",  # numbers of layers, and two kinds of attention
    "llama4_text": "`moe_layers`",
    "gpt_neo": "`attention_types`",
    "recurrent_gemma": "`block_types`",
    "gemma3n_text": "`num_kv_shared_layers`",  # and tables beside the blocks
    "gemma3": "`text_config.layer_types`",  # a language model within
    "mamba": "`num_hidden_layers`",  # no heads
    "bart": "`decoder_layers`",
    "granite": "`num_hidden_layers`",  # its head scales
    "diffllama": "weights: lambda_q1 and o_proj",  # blocks compute with their number
    "gpt-sw3": "weights: the queries' part of c_attn",
}

NOT_POSSIBLE = {
    "beam": "layers weigh what they add by their number",
    "hy_v4": "must stay; 2,3 or 2,4 or 3,4 can leave (tried: 2,3, equal)",
}


@pytest.mark.parametrize("model_type", ONE_OF_EACH)
def test_without_two_blocks_it_is_the_whole_whose_blocks_pass(model_type, tmp_path):
    outcome = outcome_of(model_type, tmp_path)
    assert (outcome.verdict, outcome.model_type) == ("equal", model_type), outcome.why
    assert ONE_OF_EACH[model_type] in outcome.why


@pytest.mark.parametrize("model_type", NOT_POSSIBLE)
def test_what_cannot_be_is_refused_with_the_reason_and_leaves_nothing(model_type, tmp_path):
    outcome = outcome_of(model_type, tmp_path)
    assert outcome.verdict == "refused"
    assert NOT_POSSIBLE[model_type] in outcome.why
    assert model_type in page([outcome])
    assert not (tmp_path / "short").exists()


@pytest.mark.soak
@pytest.mark.parametrize("model_type", TYPES)
def test_no_decoder_ends_in_a_traceback_or_is_refused_after_it_was_written(model_type, tmp_path):
    outcome = outcome_of(model_type, tmp_path)
    assert outcome.verdict != "error"
    if outcome.verdict != "no model":  # else the words are transformers'
        assert "but" not in outcome.why
        assert "without those layers" not in outcome.why
