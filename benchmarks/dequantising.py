"""`raydistill import` of an fp8 checkpoint beside transformers' own load: memory and time.

    python benchmarks/dequantising.py                  # 8 shards of 64 MB
    python benchmarks/dequantising.py --shards 4 --layers-per-shard 6

The checkpoint is a Llama with random weights in 8-bit floats, a scale for each 128x128 block, in
shards of equal size. Each reader is a process of its own. Memory is the largest resident set less
what the process had after its imports; it counts pages of files that are mapped, which the system
may take back. `import` runs with `--no-check`: the check is two loads like transformers'.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

from raydistill.models.huggingface.checkpoint import read_fields
from raydistill.models.huggingface.quantised.folder import plan_dequantising, write_dequantised
from raydistill.models.huggingface.quantised.forms import form_of

HIDDEN, INNER, VOCABULARY = 1024, 2048, 2048
MB = 10**6


def main() -> None:
    """Measure and print."""
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("--shards", type=int, default=8)
    flags.add_argument("--layers-per-shard", type=int, default=6)
    flags.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    args = flags.parse_args()
    if args.child:
        print(json.dumps(measured(*args.child)))
        return
    with tempfile.TemporaryDirectory() as name:
        source = Path(name) / "fp8"
        shard = write_checkpoint(source, args.shards, args.layers_per_shard)
        print(f"{args.shards} shards of {shard / MB:.0f} MB in 8 bits, {2 * shard / MB:.0f} in 16")
        print("reader          memory MB  times a shard  seconds")
        for reader in ("import", "transformers"):
            words = [sys.executable, __file__, "--child", reader, str(source)]
            done = subprocess.run(words, check=True, capture_output=True, text=True)  # noqa: S603  (ourselves)
            found = json.loads(done.stdout.splitlines()[-1])
            memory, seconds = found["bytes"] / MB, found["seconds"]
            print(f"{reader:<14}{memory:>11.0f}{found['bytes'] / shard:>15.2f}{seconds:>9.1f}")


def write_checkpoint(folder: Path, shards: int, layers: int) -> int:
    """Write the checkpoint; bytes of one shard."""
    folder.mkdir()
    generator = torch.Generator().manual_seed(0)
    inner = {"gate": (INNER, HIDDEN), "up": (INNER, HIDDEN), "down": (HIDDEN, INNER)}
    weights = {f"mlp.{name}_proj": shape for name, shape in inner.items()}
    weights |= {f"self_attn.{name}_proj": (HIDDEN, HIDDEN) for name in "qkvo"}
    weight_map: dict[str, str] = {}
    for shard in range(shards):
        tensors = {} if shard else ends()
        for layer in range(shard * layers, (shard + 1) * layers):
            prefix = f"model.layers.{layer}"
            for name, (rows, columns) in weights.items():
                values = torch.randn(rows, columns, generator=generator)
                tensors[f"{prefix}.{name}.weight"] = values.to(torch.float8_e4m3fn)
                scale = 0.01 + 0.01 * torch.rand(rows // 128, columns // 128, generator=generator)
                tensors[f"{prefix}.{name}.weight_scale_inv"] = scale
            for name in ("input_layernorm", "post_attention_layernorm"):
                tensors[f"{prefix}.{name}.weight"] = torch.ones(HIDDEN, dtype=torch.bfloat16)
        file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        save_file(tensors, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(tensors, file)
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    config = {
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "dtype": "bfloat16",
        "vocab_size": VOCABULARY, "hidden_size": HIDDEN, "intermediate_size": INNER,
        "num_hidden_layers": shards * layers, "num_attention_heads": 16,
        "num_key_value_heads": 16, "tie_word_embeddings": False,
        "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]},
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    return (folder / file).stat().st_size


def ends() -> dict[str, torch.Tensor]:
    """What is beside the blocks."""
    table = torch.zeros(VOCABULARY, HIDDEN, dtype=torch.bfloat16)
    norm = torch.ones(HIDDEN, dtype=torch.bfloat16)
    tables = {"model.embed_tokens.weight": table, "lm_head.weight": table.clone()}
    return {**tables, "model.norm.weight": norm}


def measured(reader: str, source: str) -> dict[str, float]:
    """Memory and time of one reader, in this process."""
    torch.set_num_threads(1)
    with torch.device("meta"):  # its modules are imported before memory is counted
        AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", num_hidden_layers=1))
    before, start = peak_bytes(), time.perf_counter()
    if reader == "import":
        fields = read_fields(Path(source))
        form = form_of(fields)
        assert form is not None
        draft = Path(source).with_name("written")
        draft.mkdir()
        write_dequantised(plan_dequantising(Path(source), fields, form), draft)
    else:
        AutoModelForCausalLM.from_pretrained(source, dtype=torch.bfloat16)
    return {"bytes": peak_bytes() - before, "seconds": time.perf_counter() - start}


def peak_bytes() -> int:
    """The largest resident set of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
