"""Tiny quantised checkpoints as people download them, made by hand, with what they mean."""

import json
import struct

import torch
from safetensors.torch import load_file, save_file

from raydistill.data.tokenizer import shipped_tokenizer
from support.hub_models import fresh, save_tokenizer

SIZES = {
    "vocab_size": 2048, "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 4,
    "num_attention_heads": 4, "num_key_value_heads": 4, "max_position_embeddings": 64,
    "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0,
}  # fmt: skip
DEEPSEEK = SIZES | {
    "q_lora_rank": 128, "kv_lora_rank": 64, "qk_rope_head_dim": 64, "qk_nope_head_dim": 64,
    "v_head_dim": 64, "n_routed_experts": 4, "n_group": 1, "topk_group": 1,
    "num_experts_per_tok": 2, "moe_intermediate_size": 128, "first_k_dense_replace": 1,
}  # fmt: skip
GPT_OSS = SIZES | {
    "num_key_value_heads": 2, "head_dim": 32, "num_local_experts": 4, "num_experts_per_tok": 2,
    "sliding_window": 16, "rope_scaling": None,
}  # fmt: skip
BLOCK = 128
FP8 = {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [BLOCK, BLOCK]}
MXFP4 = {"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]}


def compressed(form, **weights):
    """What a config says of weights that compressed-tensors made."""
    group = {"targets": ["Linear"], "weights": {"symmetric": True, "dynamic": False, **weights}}
    return {
        "quant_method": "compressed-tensors", "format": form, "ignore": ["lm_head"],
        "quantization_status": "compressed", "config_groups": {"group_0": group},
    }  # fmt: skip


INT4 = compressed("pack-quantized", num_bits=4, type="int", strategy="group", group_size=32)
ROWS = compressed("float-quantized", num_bits=8, type="float", strategy="channel")


def save_quantised(folder, family, quantise, settings, shards=1, **sizes):
    """A folder with a quantised model and a tokenizer; the weights that it means, by name.

    Args:
        quantise: of a name and a weight, None where it stays, or its tensors and what they mean.
        settings: its `quantization_config`.
    """
    model = fresh(family, **sizes).to(torch.bfloat16)
    model.save_pretrained(folder)
    save_tokenizer(folder)
    stored, meant = {}, {}
    for name, weight in load_file(folder / "model.safetensors").items():
        tensors, meant_ones = quantise(name, weight) or ({name: weight}, {name: weight})
        stored |= tensors
        meant |= meant_ones
    write_shards(folder, stored, shards)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config["quantization_config"] = settings
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    return meant


def write_shards(folder, tensors, shards=1):
    """Every tensor in the next file: scales lie in another than their weights."""
    for file in folder.glob("*.safetensors"):
        file.unlink()
    names = [f"model-{n + 1:05}-of-{shards:05}.safetensors" for n in range(shards)]
    weight_map = {name: names[number % shards] for number, name in enumerate(tensors)}
    for file in names:
        part = {name: t.contiguous() for name, t in tensors.items() if weight_map[name] == file}
        save_file(part, folder / file, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), "utf-8")


def fp8(name, weight):
    """Blocks of 128x128, those at the ends smaller, one scale each."""
    if not name.endswith(("proj.weight", "mqa.weight")):
        return None
    stored, meant, lines = torch.empty(weight.shape), torch.empty(weight.shape), []
    for rows, rows_meant, rows_stored in zip(
        *(tensor.split(BLOCK) for tensor in (weight.float(), meant, stored)), strict=True
    ):
        parts = [tensor.split(BLOCK, dim=1) for tensor in (rows, rows_meant, rows_stored)]
        lines.append([])
        for block, block_meant, block_stored in zip(*parts, strict=True):
            scale = block.abs().max() / 448
            lines[-1].append(scale)
            block_stored.copy_((block / scale).to(torch.float8_e4m3fn))
            block_meant.copy_(block_stored * scale)
    scales = torch.tensor(lines)
    tensors = {name: stored.to(torch.float8_e4m3fn), f"{name}_scale_inv": scales}
    return tensors, {name: meant.to(torch.bfloat16)}


def fp8_rows(name, weight):
    """As compressed-tensors writes them: a scale for each row."""
    if not name.endswith("proj.weight"):
        return None
    scales = (weight.float().abs().amax(1, keepdim=True) / 448).to(torch.bfloat16)
    stored = (weight.float() / scales.float()).to(torch.float8_e4m3fn)
    meant = (stored.float() * scales.float()).to(torch.bfloat16)
    return {name: stored, f"{name}_scale": scales}, {name: meant}


def mxfp4(name, weight):
    """Random bytes for experts [E, rows, columns], which are stored the other way round."""
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors

    if not name.endswith(("gate_up_proj", "down_proj")):
        return None
    experts, rows, columns = weight.shape
    shape = (experts, columns, rows // 32)
    drawn = torch.Generator().manual_seed(len(name))
    blocks = torch.randint(0, 256, (*shape, 16), dtype=torch.uint8, generator=drawn)
    scales = torch.randint(110, 125, shape, dtype=torch.uint8, generator=drawn)
    meant = convert_moe_packed_tensors(blocks, scales)
    return {f"{name}_blocks": blocks, f"{name}_scales": scales}, {name: meant}


def int4(name, weight):
    """As compressed-tensors packs them: eight to a word, a scale for each 32."""
    if not name.endswith("proj.weight"):
        return None
    rows, columns = weight.shape
    groups = weight.float().reshape(rows, -1, 32)
    scales = (groups.abs().amax(-1) / 7).to(torch.bfloat16)
    values = (groups / scales.float()[..., None]).round().clamp(-8, 7)
    meant = (values * scales.float()[..., None]).reshape(rows, columns).to(torch.bfloat16)
    eights = (values.reshape(rows, -1, 8) + 8).long()
    packed = sum(eights[..., place] << 4 * place for place in range(8))
    packed = torch.where(packed >= 2**31, packed - 2**32, packed).to(torch.int32)
    shape = torch.tensor([rows, columns])
    stored = {f"{name}_packed": packed, f"{name}_scale": scales, f"{name}_shape": shape}
    return stored, {name: meant}


def q8_0(weight):
    """Blocks of 32 whole numbers of 8 bits behind a scale float16, and what they mean."""
    blocks = weight.float().reshape(-1, 32)
    scales = (blocks.abs().amax(1, keepdim=True) / 127).to(torch.float16)
    values = (blocks / scales.float().clamp(min=1e-8)).round().clamp(-127, 127).to(torch.int8)
    packed = torch.cat([scales.view(torch.uint8), values.view(torch.uint8)], dim=1)
    return packed.numpy().tobytes(), (values.float() * scales.float()).reshape(weight.shape)


def write_gguf(file, architecture, fields, weights):
    """A GGUF file: matrices in blocks of Q8_0, the rest float32; what they mean, by name.

    Args:
        fields: of the architecture, without its name.
        weights: by llama.cpp's names.
    """
    vocabulary = json.loads(shipped_tokenizer().read_text("utf-8"))["model"]
    tokens = sorted(vocabulary["vocab"], key=vocabulary["vocab"].get)
    about = {"general.architecture": architecture, "general.name": "tiny"}
    about |= {f"{architecture}.{name}": value for name, value in fields.items()}
    about |= {
        "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.merges": [" ".join(pair) for pair in vocabulary["merges"]],
        "tokenizer.ggml.token_type": [3 if token == "<|endoftext|>" else 1 for token in tokens],
        "tokenizer.ggml.eos_token_id": 0, "tokenizer.ggml.bos_token_id": 0,
    }  # fmt: skip
    head = b"GGUF" + struct.pack("<IQQ", 3, len(weights), len(about))
    head += b"".join(_text(name) + _value(value) for name, value in about.items())
    data, meant = b"", {}
    for name, weight in weights.items():
        is_matrix = weight.ndim == 2 and weight.shape[1] % 32 == 0
        packed, meant[name] = q8_0(weight) if is_matrix else (weight.numpy().tobytes(), weight)
        head += _text(name) + struct.pack("<I", weight.ndim)
        head += b"".join(struct.pack("<Q", size) for size in reversed(weight.shape))
        head += struct.pack("<IQ", 8 if is_matrix else 0, len(data))
        data += packed + b"\0" * (-len(packed) % 32)
    file.write_bytes(head + b"\0" * (-len(head) % 32) + data)
    return meant


def _text(text):
    return struct.pack("<Q", len(text.encode())) + text.encode()


def _value(value):
    """A value with its type before it."""
    if isinstance(value, str):
        return struct.pack("<I", 8) + _text(value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    kind = _value(value[0])[:4]
    return struct.pack("<I", 9) + kind + struct.pack("<Q", len(value)) + b"".join(
        _value(each)[4:] for each in value
    )  # fmt: skip
