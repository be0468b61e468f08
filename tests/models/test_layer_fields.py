"""What the fields of a config become without some layers."""

import pytest

from raydistill.models.huggingface.surgery.layer_fields import (
    CannotLeaveError,
    fields_without,
)

KEPT = (0, 2, 4, 5)  # of 6
KINDS = ["a", "b", "c", "d", "e", "f"]
SCALE = {"scale_depth": 3.0 * (4 / 6) ** 0.5}
CASES = [
    # what it is, before, after
    ("a value per layer", {"layer_types": KINDS}, {"layer_types": ["a", "c", "e", "f"]}),
    ("a text", {"hybrid_override_pattern": "M-M*ME"}, {"hybrid_override_pattern": "MMME"}),
    ("numbers", {"mlp_only_layers": [0, 1, 4]}, {"mlp_only_layers": [0, 2]}),
    (
        "as many numbers as layers",
        {"moe_layers": [0, 1, 2, 3, 4, 5]},
        {"moe_layers": [0, 1, 2, 3]},
    ),
    ("numbers from 1", {"ple_layer_ids": [1, 2, 5]}, {"ple_layer_ids": [1, 3]}),
    ("a scale", {"model_type": "minicpm3", "scale_depth": 3.0}, SCALE),
    ("a count", {"first_k_dense_replace": 3}, {"first_k_dense_replace": 2}),
    ("by number", {"per_layer_config": {"1": {}, "4": {}}}, {"per_layer_config": {2: {}}}),
    ("other lists", {"eos_token_id": [1, 2, 3, 4, 5, 6], "languages": KINDS}, {}),
    ("one value for all", {"intermediate_size": 64, "num_experts": 4}, {}),
    (
        "a sparse step",
        {"decoder_sparse_step": 2, "mlp_only_layers": [5]},
        {"decoder_sparse_step": 1, "mlp_only_layers": [0, 1, 2, 3]},
    ),
    ("a cycle", {"block_types": ["r", "r", "a"]}, {"block_types": ["r", "a", "r", "a"]}),
    (
        "runs",
        {"attention_types": [[["g", "l"], 3]]},
        {"attention_types": [[["g"], 1], [["g"], 1], [["g"], 1], [["l"], 1]]},
    ),
    (
        "a period",
        {"attn_layer_period": 6, "attn_layer_offset": 4},
        {"attn_layer_period": 6, "attn_layer_offset": 2},
    ),
    (
        "an interval",
        {"moe_layer_interval": 1, "moe_layer_start_index": 1, "moe_layer_end_index": -1},
        {"moe_layer_interval": 1, "moe_layer_start_index": 1, "moe_layer_end_index": 3},
    ),
    (
        "shared keys and values",
        {"num_kv_shared_layers": 3, "layer_types": ["s", "f", "f", "s", "f", "f"]},
        {"num_kv_shared_layers": 2, "layer_types": ["s", "f", "f", "f"]},
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_each_field_that_speaks_of_layers_is_known_by_name(before, after):
    assert fields_without(before, 6, KEPT) == after


REFUSED = [
    ({"model_type": "lfm2", "full_attn_idxs": [1, 3]}, "full_attn_idxs: a layer of full_attention"),
    ({"attn_layer_period": 2, "attn_layer_offset": 0}, "attn_layer_period"),
    ({"num_kv_shared_layers": 2, "layer_types": ["s", "f", "s", "f", "s", "f"]}, "layer 3 has"),
    ({"indexer_types": ["full", "full", "shared"] * 2}, "layer 2 shares the indexer of 1"),
    ({"model_type": "qwen3_5_text", "layer_types": ["l", "full_attention", *"llll"]}, "must stay"),
    ({"model_type": "gemma4_text", "layer_types": ["full_attention"] * 5 + ["s"]}, "must be full"),
]


@pytest.mark.parametrize(("fields", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_what_no_value_can_say_is_refused_with_the_field(fields, message):
    with pytest.raises(CannotLeaveError, match=message):
        fields_without(fields, 6, KEPT)
