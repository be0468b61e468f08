"""How many positions a checkpoint has, where its `config.json` may not say, as `HFLM` counts them.

That is the default of its class in transformers, else the `model_max_length` of its tokenizer.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raydistill.models.huggingface.safetensors_header import is_count
from raydistill.specs.model import max_positions, text_fields

_ALIASES = {"rwkv": "context_length", "kimi_linear": "model_max_length"}
_ENDLESS = int(1e30)  # as a tokenizer's length: none

_BY_NUMBER = {
    256: ("ctrl "),
    512: (
        "bert bert-generation camembert data2vec-text electra ernie megatron-bert openai-gpt "
        "rembert roberta roberta-prelayernorm roc_bert xlm-roberta xmod "
    ),
    514: ("xlm-roberta-xl "),
    1_024: ("biogpt git gpt-sw3 gpt2 gpt_bigcode "),
    1_536: ("roformer "),
    2_048: (
        "aria_text bitnet codegen deepseek_v2 diffllama doge dots1 exaone4 exaone_moe falcon "
        "gpt_neox gpt_neox_japanese gptj granite granitemoe granitemoe_swa granitemoehybrid "
        "granitemoeshared hrm_text hunyuan_v1_dense hunyuan_v1_moe hyperclovax llama nanochat "
        "olmo olmo2 olmo3 opt phi "
    ),
    3_000: ("moshi "),
    4_096: (
        "arcee big_bird deepseek_v3 flex_olmo helium jetmoe nemotron olmoe phi3 reformer "
        "stablelm starcoder2 zamba zamba2 "
    ),
    8_192: (
        "beam cohere cohere2 cohere2_moe cohere_compass_text falcon_h1 gemma gemma2 "
        "granite_swa jais2 modernbert-decoder vaultgemma "
    ),
    16_384: ("afmoe persimmon "),
    32_768: (
        "axk1 gemma3n_text internlm3 minicpm3 qwen2 qwen2_moe qwen3 qwen3_5_moe_text "
        "qwen3_5_text qwen3_moe qwen3_next qwen4_exp_text smollm3 "
    ),
    65_536: ("apertus olmo_hybrid "),
    128_000: ("lfm2 lfm2_moe lfm3 "),
    131_072: (
        "axk2 cwm ernie4_5 ernie4_5_moe gemma3_text gemma4_text glm glm4 glm4_moe gpt_oss "
        "hy_v3 inkling_text iquestcoder laguna llama4_text mellum mimo_v2_flash minimax "
        "ministral mistral mixtral phi4_multimodal phimoe solar_open youtu zaya "
    ),
    163_840: ("deepseek_v32 "),
    196_608: ("minimax_m2 "),
    202_752: ("glm4_moe_lite glm_moe_dsa "),
    262_144: ("bailing_hybrid bamba flint gemma4_unified_text hy_v4 jamba kolibri1 ministral3 "),
    524_288: ("dots3_note_text minimax_m3_vl_text seed_oss "),
    1_048_576: ("deepseek_v4 inkling2_text "),
}

CLASS_POSITIONS = {  # by `model_type`, of decoders with a number of layers
    model_type: positions
    for positions, model_types in _BY_NUMBER.items()
    for model_type in model_types.split()
}


def positions_of(folder: Path, fields: Mapping[str, Any]) -> int:
    """The positions of the checkpoint in a folder, by its config.json; 0 if nothing says."""
    text = text_fields(fields)
    given = {**fields, **text}
    if not {"n_positions", "max_position_embeddings"} & set(given):
        of_type = str(fields["model_type"])
        own_type = str(text.get("model_type", f"{of_type}_text"))
        alias = _ALIASES.get(own_type, "")
        default = CLASS_POSITIONS.get(own_type, 0)
        given["max_position_embeddings"] = text.get(alias, default)
    return max_positions(given) or _of_tokenizer(folder)


def _of_tokenizer(folder: Path) -> int:
    try:
        settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        length = settings["model_max_length"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return 0
    return int(length) if is_count(length) and length != _ENDLESS else 0
