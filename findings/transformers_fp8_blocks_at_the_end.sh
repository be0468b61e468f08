#!/usr/bin/env bash
# transformers dequantises fp8 weights wrongly, or not at all, where a size is no multiple of its block's.
#
# Checkpoints in fp8 (`quant_method: fp8`, as DeepSeek-V3) have a scale for each 128x128 block, and one for the
# smaller blocks at the end: 321 rows have 3 scales, for rows 0-127, 128-255 and 256-320. On a machine without a GPU,
# or with `dequantize=True`, transformers takes the block's size from the number of scales instead of from
# `weight_block_size`: 321 / 3 = 107, so that rows 107-127 and 214-255 get the next block's scale. Nothing warns. Where
# the division leaves a remainder (576 rows with 5 scales: DeepSeek-V3's own `kv_a_proj_with_mqa`) it does not load.
# Seen with transformers 5.23.0 (integrations/finegrained_fp8.py, `Fp8Dequantize._dequantize_one`), torch on a CPU.
#
# Exits 0 if it behaves so, 1 if it no longer does. Needs Python 3.10 or later, 7 GB of disk.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
unset PYTHONPATH
export TRANSFORMERS_VERBOSITY=error
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --quiet --disable-pip-version-check \
  torch==2.13.0 transformers==5.23.0 accelerate==1.15.0
cd "$folder"
cat > load.py <<'PYTHON'
import json
import sys
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

NAME, BLOCK = "model.layers.0.mlp.up_proj.weight", 128


def load(rows):
    """Load a Llama whose up_proj has so many rows, of ones, in fp8; the values, or the error."""
    folder, scales = Path(str(rows)), -(-rows // BLOCK)
    config = LlamaConfig(
        vocab_size=32, hidden_size=BLOCK, intermediate_size=rows, num_hidden_layers=1,
        num_attention_heads=1, num_key_value_heads=1, dtype="bfloat16",
    )
    LlamaForCausalLM(config).bfloat16().save_pretrained(folder)
    tensors = load_file(folder / "model.safetensors")
    tensors[NAME] = torch.ones(rows, BLOCK).to(torch.float8_e4m3fn)
    tensors[f"{NAME}_scale_inv"] = torch.arange(1.0, scales + 1)[:, None]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    fields = json.loads((folder / "config.json").read_text())
    fields["quantization_config"] = {
        "quant_method": "fp8", "weight_block_size": [BLOCK, BLOCK],
        "modules_to_not_convert": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "down_proj"],
    }
    (folder / "config.json").write_text(json.dumps(fields))
    try:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    weight = model.state_dict()[NAME][:, 0].float()
    _, counts = weight.unique_consecutive(return_counts=True)
    return counts.tolist()


print(f"transformers {transformers.__version__}: rows under each scale, in blocks of {BLOCK}")
seen = {rows: load(rows) for rows in (256, 321, 576)}
for rows, found in seen.items():
    print(f"{rows} rows: {found}")
is_same = seen[256] == [128, 128] and seen[321] == [107, 107, 107]  # right: [128, 128, 65]
sys.exit(not (is_same and str(seen[576]).startswith("RuntimeError")))  # right: [128] * 4 + [64]
PYTHON
venv/bin/python load.py 2> >(grep -v "it/s" >&2)
