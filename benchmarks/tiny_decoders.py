"""A tiny random model of every causal-LM type of transformers, from the defaults of its config."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PreTrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

LAYERS, VOCABULARY = 6, 64
TYPES = tuple(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)

_VOCABULARIES = r"(.*_)?vocab_size(_per_layer_input)?|n_token|n_words"
_SIZES = {  # by what a field's whole name matches
    r"num_hidden_layers|n_layers?|num_layers|(num_)?decoder_layers|num_blocks": LAYERS,
    r"(num_)?encoder_layers": 2,
    _VOCABULARIES: VOCABULARY,
    r"(cross_attention_|attention_)?hidden_size(_global)?|n_embd|d_model|(output_|.*em(b|bed)(ding)?_)?"
    r"dim|embedding_size|projection_dim|lru_width|.*hidden_dim": 32,
    r"(swa_)?num_(.*_)?(key_value|kv)_heads|kv_n_heads|num_query_groups": 2,
    r"(.*_)?num(_attention|_lightning)?_heads|n_heads?|.*attention_heads|mamba_n_heads|"
    r"n_mamba_heads|linear_num_.*heads|index_n_heads": 4,
    r"(moe_|shared_expert_|.*_)?intermediate_size(_mlp)?|n_inner|d_inner|.*ffn_dim|inner_dim|"
    r".*ffn_hidden_size|d_ff": 64,
    r"(?!attention_|qk_).*head_dim|d_kv|d_head|kv_channels|qk_(rope|nope)_head_dim|rotary_dim|"
    r"mamba_d_head|mamba_headdim": 8,
    r"hidden_size_per_layer_input|.*rank": 8,
    r"num(_local|_routed|_total)?_experts|(moe_)?n(um)?_routed_experts|moe_num_experts": 4,
    r"n_group|topk_group|num_expert_group": 1,
    r"num_experts_per_tok(en)?|moe_top_?k|moe_k|top_k_experts": 2,
    r"n_shared_experts|(moe_)?num_shared_experts?": 1,
    r"sliding_window(_size)?|local_attention.*|(attention_)?window_size|attention_chunk_size": 8,
    r"(mamba_|ssm_)?(d_state|state_size|state_dim|chunk_size)": 8,
    r"index_topk|index_block_size|compress_ratio": 4,
    r"(original_)?max_position_embeddings|n_positions|model_max_length|context_length|max_seq_len|"
    r"max_(source|target)_positions": 64,
    r"num_kv_shared_layers": 2,
    r"router_hidden_size|projection_size|conv_dim": 16,
    r"num_nextn_predict_layers|num_mtp_layers|mtp_num_hidden_layers": 0,
}
_PLAIN = ["linear_attention"]
_KINDS = ("sliding", "full", "full")
_WINDOWS = [
    f"{kind}_attention" for kind in ["sliding", "full", "full", "sliding", "sliding", "full"]
]
_SHARED = {"layer_types": _WINDOWS, "num_kv_shared_layers": 3}
_TWO_KINDS = ["linear_attention", "full_attention"] * 3
SETTINGS: Mapping[str, Mapping[str, Any]] = {  # that a type needs beside, or that matter to layers
    "bamba": {"mamba_n_heads": 8, "attn_layer_indices": [2, 4]},
    "dbrx": {"attn_config": {"rope_theta": 1e4, "kv_n_heads": 2, "clip_qkv": 8.0}},
    "dots3_note": {"text_config": {"num_key_value_heads": 4}},
    "dots3_note_text": {"num_key_value_heads": 4},
    "gemma3n_text": _SHARED,
    "gemma4": {"text_config": _SHARED},
    "gemma4_text": _SHARED,
    "gemma4_unified": {"text_config": _SHARED},
    "gemma4_unified_text": _SHARED,
    "olmo_hybrid": {"layer_types": _TWO_KINDS},
    "qwen3_5": {"text_config": {"layer_types": _TWO_KINDS}},
    "qwen3_5_text": {"layer_types": _TWO_KINDS},
    "qwen3_5_moe": {"text_config": {"layer_types": _TWO_KINDS}},
    "qwen3_5_moe_text": {"layer_types": _TWO_KINDS},
    "dots1": {"n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2},
    "falcon_h1": {"mamba_d_ssm": 32, "mamba_n_heads": 4},
    "glm4_moe": {"first_k_dense_replace": 2},
    "deepseek_v3": {"first_k_dense_replace": 2},
    "cohere_compass_text": {
        "layer_types": ["sliding_attention", "full_attention"] * 3,
        "rope_parameters": {
            kind: {"rope_type": "default", "rope_theta": 1e4}
            for kind in ("sliding_attention", "full_attention")
        },
    },
    "deepseek_v2": {"first_k_dense_replace": 2, "num_experts_per_tok": 2},
    "gpt-sw3": {"scale_attn_by_inverse_layer_idx": True},
    "gpt_neo": {"attention_types": [[["global", "local"], 3]]},
    "granitemoehybrid": {"mamba_n_heads": 8, "layer_types": ["mamba", "attention"] * 3},
    "hunyuan_v1_dense": {"head_dim": 8},
    "hunyuan_v1_moe": {"head_dim": 8},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 3},
    "mamba2": {"num_heads": 8},
    "ministral": {"head_dim": 8},
    "nemotron": {"num_key_value_heads": 2},
    "nemotron_h": {
        "layers_block_type": ["linear_attention", "mlp", "full_attention"] * 2,
        "n_groups": 1,
    },
    "qwen2_moe": {"decoder_sparse_step": 2, "mlp_only_layers": [1]},
    "qwen3_moe": {"decoder_sparse_step": 1, "mlp_only_layers": [0, 1, 4]},
    "qwen3_next": {"mlp_only_layers": [0, 1], "layer_types": _TWO_KINDS},
    "reformer": {"hash_seed": 0, "axial_pos_embds_dim": [16, 16], "axial_pos_shape": [8, 8]},
    "xmod": {"default_language": "en_XX"},
    "zamba": {
        "attention_hidden_size": 64, "attention_head_dim": 16,
        "layers_block_type": [*["linear_attention", "linear_attention", "hybrid"] * 2],
    },
    "zamba2": {
        "attention_hidden_size": 64, "attention_head_dim": 16,
        "mamba_headdim": 8, "n_mamba_heads": 8, "hybrid_layer_ids": [2, 4],
        "layers_block_type": [*_PLAIN, *["linear_attention", "hybrid"] * 2, *_PLAIN],
    },
    "zaya": {"num_experts_per_tok": 1},
}  # fmt: skip
_LATENT = (  # attention, with as many keys as queries
    "axk1", "axk2", "bailing_hybrid", "deepseek_v2", "deepseek_v3", "deepseek_v32",
    "glm4_moe_lite", "glm_moe_dsa", "kimi_linear", "longcat_flash", "minicpm3", "youtu",
)  # fmt: skip


def tiny_decoder(model_type: str, seed: int = 0, vocabulary: int = VOCABULARY) -> Any:
    """A model of that type with random weights, in float32.

    Raises:
        Exception: of any kind, where transformers makes none of these settings.
    """
    config = tiny_config(model_type, vocabulary)
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    _randomise(model)
    return model


def tiny_config(model_type: str, vocabulary: int = VOCABULARY) -> PreTrainedConfig:
    """The config of such a model, as a release of that type has it."""
    more = dict(SETTINGS.get(model_type, {}))
    if model_type in _LATENT:
        more["num_key_value_heads"] = 4
    fields = _small(CONFIG_MAPPING[model_type], {**_SIZES, _VOCABULARIES: vocabulary})
    for name, value in more.items():
        fields[name] = fields.get(name, {}) | value if isinstance(value, dict) else value
    config = CONFIG_MAPPING[model_type](**fields)
    if getattr(config, "is_decoder", None) is False:
        config.is_decoder = True
    return config


def _small(kind: type[PreTrainedConfig], sizes: Mapping[str, int]) -> dict[str, Any]:
    """The fields of a config, its parts' too, that make its model small."""
    default = kind()
    fields: dict[str, Any] = {}
    for name, value in default.to_dict().items():
        part = vars(default).get(name)
        if isinstance(part, PreTrainedConfig):
            fields[name] = _small(type(part), sizes)
        elif name.endswith("_token_id") and isinstance(value, int):
            fields[name] = min(value, sizes[_VOCABULARIES] - 1)
        elif isinstance(value, float) and "drop" in name:
            fields[name] = 0.0
        elif isinstance(value, int) and not isinstance(value, bool):
            fit = (size for form, size in sizes.items() if re.fullmatch(form, name))
            if (size := next(fit, None)) is not None:
                fields[name] = size
    return fields


@torch.no_grad()
def _randomise(model: nn.Module) -> None:
    """Weights large enough that every block matters."""
    for name, parameter in model.named_parameters():
        if not parameter.is_floating_point():
            continue
        if parameter.ndim > 1:
            parameter.normal_(0, 0.15)
        elif "norm" not in name and not parameter.any():
            parameter.normal_(0, 0.05)
