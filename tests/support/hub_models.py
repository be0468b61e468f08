"""Tiny models of the real classes with random weights, and their folders with a tokenizer."""

import json

from raydistill.data.tokenizer import shipped_tokenizer

VOCABULARY, CONTEXT, LAYERS = 2048, 64, 6

_LLAMA = {
    "hidden_size": 32, "num_hidden_layers": LAYERS, "num_attention_heads": 4,
    "intermediate_size": 64, "vocab_size": VOCABULARY, "max_position_embeddings": CONTEXT,
    "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0,
}  # fmt: skip
_GROUPED = _LLAMA | {"num_key_value_heads": 2}
_OPT = {k: v for k, v in _LLAMA.items() if k != "intermediate_size"}

FAMILIES = {
    "llama": _GROUPED,
    "mistral": _GROUPED,
    "qwen2": _GROUPED | {"use_sliding_window": True, "max_window_layers": 2, "sliding_window": 16},
    "qwen3": _GROUPED | {"head_dim": 8},
    "gpt_neox": _LLAMA,
    "olmo": _GROUPED,
    "olmo2": _GROUPED,
    "olmo3": _GROUPED | {"sliding_window": 16},
    "gpt2": _LLAMA,
    "opt": _OPT | {"ffn_dim": 64, "word_embed_proj_dim": 32},
    "gemma2": _GROUPED | {"head_dim": 8, "sliding_window": 16},
    "gemma3_text": _GROUPED | {"head_dim": 8, "sliding_window": 16},
}
"""What `AutoConfig.for_model` is told of each."""


def fresh(family, seed=0, **more):
    """A stock model with random weights."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(family, **(FAMILIES.get(family, {}) | more))
    torch.manual_seed(seed)
    return AutoModelForCausalLM.from_config(config)


def save_model(folder, family="llama", seed=0, **more):
    """A folder as people bring it: config, weights, tokenizer."""
    fresh(family, seed, **more).save_pretrained(folder)
    save_tokenizer(folder)
    return folder


def save_tokenizer(folder):
    """The tokenizer of the embedded corpus, as transformers keeps one."""
    (folder / "tokenizer.json").write_text(shipped_tokenizer().read_text("utf-8"), "utf-8")
    about = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(about), "utf-8")


def write_folder(decoder, checkpoint_folder, to, overwrite=False, **notes):
    """A decoder in a folder, as `raydistill prune` writes it."""
    from raydistill.models.huggingface.saving import fill_folder, model_folder

    source, storage = checkpoint_folder, to.with_name("storage")
    with model_folder(to, overwrite=overwrite, source=source, storage=storage) as draft:
        fill_folder(decoder, checkpoint_folder, draft, notes)
