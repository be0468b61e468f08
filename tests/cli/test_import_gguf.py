"""`raydistill import` of a GGUF file: what its blocks mean, with a tokenizer of its tokens."""

import json

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from raydistill.data.tokenizer import shipped_tokenizer
from support import sweeping
from support.hub_models import fresh
from support.printed import commands_in, run_printed
from support.quantised_models import SIZES, write_gguf

ENDS = {"model.embed_tokens": "token_embd", "lm_head": "output"}
FIELDS = {
    "context_length": 64, "embedding_length": 128, "feed_forward_length": 256, "block_count": 4,
    "attention.head_count": 4, "attention.layer_norm_rms_epsilon": 1e-5, "rope.freq_base": 10000.0,
    "vocab_size": 2048,
}  # fmt: skip
LFM2 = {
    "operator_norm": "attn_norm", "ffn_norm": "ffn_norm", "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.out_proj": "attn_output",
    "self_attn.q_layernorm": "attn_q_norm", "self_attn.k_layernorm": "attn_k_norm",
    "feed_forward.w1": "ffn_gate", "feed_forward.w2": "ffn_down", "feed_forward.w3": "ffn_up",
    "conv.in_proj": "shortconv.in_proj", "conv.out_proj": "shortconv.out_proj",
    "conv.conv": "shortconv.conv", "model.embedding_norm": "token_embd_norm",
}  # fmt: skip
LLAMA = {
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "model.norm": "output_norm",
}  # fmt: skip
SENTENCE = "In the beginning God created the heaven and the earth, 1234 don't."


def names_in_gguf(model, names):
    """llama.cpp's names of a model's weights, by transformers'."""
    found = {}
    for name in model.state_dict():
        stem = name.removesuffix(".weight")
        block, _, part = stem.removeprefix("model.layers.").partition(".")
        inner = names.get(part) if stem.startswith("model.layers.") else None
        outer = (ENDS | names).get(stem)
        found[name] = f"blk.{block}.{inner}.weight" if inner else f"{outer}.weight"
    return found


def save_lfm2(file):
    """An LFM2, which transformers reads without another package; what it means, by name."""
    types = ["conv", "full_attention", "conv", "full_attention"]
    sizes = SIZES | {"num_key_value_heads": 2, "layer_types": types, "conv_L_cache": 3}
    more = {"block_auto_adjust_ff_dim": False, "tie_word_embeddings": False}
    model = fresh("lfm2", **sizes, **more)
    fields = FIELDS | {"attention.head_count_kv": [0, 2, 0, 2], "shortconv.l_cache": 3}
    names = names_in_gguf(model, LFM2)
    weights = {names[name]: weight for name, weight in model.state_dict().items()}
    weights = {n: w.squeeze(1) if "shortconv.conv" in n else w for n, w in weights.items()}
    meant = write_gguf(file, "lfm2", fields, weights)
    shapes = {name: weight.shape for name, weight in model.state_dict().items()}
    return {name: meant[there].reshape(shapes[name]) for name, there in names.items()}


def import_model(source, to, *words):
    return sweeping.command(to.parent / "storage", "import", source, "--to", to, *words)


def test_its_blocks_become_bfloat16_and_its_tokens_a_tokenizer(tmp_path):
    (tmp_path / "my model").mkdir()
    meant = save_lfm2(tmp_path / "my model/tiny-Q8_0.gguf")
    refused = sweeping.command(tmp_path / "storage", "rank", tmp_path / "my model")
    assert refused.returncode == 3
    (command,) = commands_in(refused.stderr)
    done = run_printed(command, "--storage", str(tmp_path / "storage"))
    assert done.returncode == 0, done.stderr
    assert "it/s" not in done.stderr  # transformers' own bars
    assert "Q8_0" in done.stdout
    assert "Every tensor is to the bit" in done.stdout
    to = tmp_path / "my model/tiny-Q8_0-bf16"
    written = load_file(to / "model.safetensors")
    assert written.keys() == meant.keys()
    assert all(torch.equal(written[n], tensor.to(torch.bfloat16)) for n, tensor in meant.items())
    assert json.loads((to / "config.json").read_text("utf-8"))["dtype"] == "bfloat16"
    ids = Tokenizer.from_file(str(to / "tokenizer.json")).encode(SENTENCE).ids
    assert ids == Tokenizer.from_file(str(shipped_tokenizer())).encode(SENTENCE).ids
    words = ("prune", "--model", to, "--layers", "2", "--to", tmp_path / "shorter")
    pruned = sweeping.command(tmp_path / "storage", *words)
    assert pruned.returncode == 0, pruned.stderr


def test_a_type_that_needs_the_package_is_read_with_it(tmp_path):
    pytest.importorskip("gguf", reason="needs the quantised extra")
    model = fresh("llama", **SIZES, tie_word_embeddings=False)
    names = names_in_gguf(model, LLAMA)

    def paired(name, weight):
        """Rows as llama.cpp has them: halves of a head alternate."""
        if "q_proj" not in name and "k_proj" not in name:
            return weight
        return weight.view(4, 2, 16, -1).swapaxes(1, 2).reshape(weight.shape)

    weights = {names[name]: paired(name, w) for name, w in model.state_dict().items()}
    fields = FIELDS | {"attention.head_count_kv": 4, "rope.dimension_count": 32}
    meant = write_gguf(tmp_path / "llama.gguf", "llama", fields, weights)
    done = import_model(tmp_path / "llama.gguf", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "it/s" not in done.stderr  # transformers' own bars
    written = load_file(tmp_path / "out/model.safetensors")
    for name, tensor in written.items():
        assert torch.equal(paired(name, tensor), meant[names[name]].to(torch.bfloat16))


def test_which_file_is_meant_must_be_clear(tmp_path):
    for name in ("a-Q4_K_M.gguf", "b-Q8_0.gguf", "c-00001-of-00002.gguf"):
        (tmp_path / name).write_bytes(b"GGUF")
    several = import_model(tmp_path, tmp_path / "out")
    assert (several.returncode, "name one of a-Q4_K_M.gguf, b-Q8_0" in several.stderr) == (3, True)
    part = import_model(tmp_path / "c-00001-of-00002.gguf", tmp_path / "out")
    assert (part.returncode, "llama-gguf-split --merge" in part.stderr) == (3, True)
    broken = import_model(tmp_path / "b-Q8_0.gguf", tmp_path / "out")
    assert (broken.returncode, "transformers cannot read" in broken.stderr) == (3, True)
    assert not (tmp_path / "out").exists()
