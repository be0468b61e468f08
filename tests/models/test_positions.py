"""The positions of a config.json that names none, beside lm-eval's `HFLM` on the same folder."""

import json

import pytest

from raydistill.models.huggingface.positions import _ALIASES, CLASS_POSITIONS, positions_of
from support.hub_models import save_tokenizer

CASES = {
    "named": ("llama", {"max_position_embeddings": 96}, None),
    "of the class": ("llama", {}, None),
    "of another class": ("qwen2", {}, 512),
    "of the class, not n_ctx": ("llama", {"n_ctx": 64}, None),
    "of GPT-2's class, not n_ctx": ("gpt2", {"n_ctx": 64}, None),
    "n_positions first": ("llama", {"n_positions": 70, "max_position_embeddings": 96}, None),
    "null, n_ctx": ("bloom", {"max_position_embeddings": None, "n_ctx": 64}, None),
    "by another name": ("gpt2", {"max_position_embeddings": 96}, None),
    "by a name of its own": ("rwkv", {"context_length": 77}, None),
    "of a class without": ("bloom", {}, None),
    "of the tokenizer": ("bloom", {}, 512),
    "of a tokenizer without end": ("bloom", {}, int(1e30)),
}


@pytest.mark.parametrize("case", CASES)
def test_positions_are_those_that_hflm_resolves(case, tmp_path):
    from lm_eval.models.utils import resolve_max_length
    from transformers import AutoConfig, AutoTokenizer

    model_type, fields, length = CASES[case]
    fields = {"model_type": model_type, **fields}
    save_tokenizer(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(fields))
    if length:
        about = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": length}
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(about))
    stock = AutoConfig.from_pretrained(tmp_path)
    expected = resolve_max_length(stock, AutoTokenizer.from_pretrained(tmp_path))
    assert (positions_of(tmp_path, fields) or 2048) == expected


def test_every_class_has_the_positions_of_transformers():
    from transformers import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    for name in set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES) - {*_ALIASES, "xlnet"}:  # xlnet: -1
        try:
            stock = CONFIG_MAPPING[name]()
        except Exception:  # noqa: BLE001, S112  (it needs parts, or was renamed)
            continue
        if {"num_hidden_layers", "n_layer"} & set(stock.to_dict()) and not hasattr(
            stock, "text_config"
        ):
            named = ("n_positions", "max_position_embeddings", "n_ctx")
            values = (getattr(stock, attribute, None) for attribute in named)
            assert CLASS_POSITIONS.get(name) == next(filter(None, values), None), name
