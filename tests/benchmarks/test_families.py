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
}
NOT_EQUAL = {  # the block's number is in its arithmetic, in no field of the config
    "diffllama": "without those layers is not the model in which they pass on their input",
}


@pytest.mark.parametrize("model_type", ONE_OF_EACH)
def test_without_two_blocks_it_is_the_whole_whose_blocks_pass(model_type, tmp_path):
    outcome = outcome_of(model_type, tmp_path)
    assert (outcome.verdict, outcome.model_type) == ("equal", model_type), outcome.why
    assert ONE_OF_EACH[model_type] in outcome.why


@pytest.mark.parametrize("model_type", NOT_EQUAL)
def test_what_is_another_model_is_refused_and_leaves_nothing(model_type, tmp_path):
    outcome = outcome_of(model_type, tmp_path)
    assert outcome.verdict == "refused"
    assert NOT_EQUAL[model_type] in outcome.why
    assert model_type in page([outcome])
    assert not (tmp_path / "short").exists()


@pytest.mark.soak
@pytest.mark.parametrize("model_type", TYPES)
def test_no_decoder_ends_in_a_traceback(model_type, tmp_path):
    assert outcome_of(model_type, tmp_path).verdict != "error"
