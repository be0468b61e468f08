#!/usr/bin/env bash
# An untied masked language model of transformers has a second output bias that no forward pass reads.
#
# BERT's head has a matrix with a bias, and `cls.predictions.bias` beside it: with tied embeddings both are one tensor.
# `_tied_weights_keys` ties weight and bias together, so `tie_word_embeddings=False`, which is meant for the matrix, also
# parts the bias: the model has as many parameters more as its vocabulary has words, they get no gradient, are saved,
# loaded and counted, and DistributedDataParallel, which waits for their gradients, stops at the second step. So do
# ALBERT, DeBERTa, RoBERTa and others written alike; ELECTRA and ModernBERT, whose heads have one bias, do not.
# Seen with transformers 5.23.0 (models/bert/modeling_bert.py, `BertLMPredictionHead` and `BertForMaskedLM`), torch 2.13.0.
#
# Exits 0 if it behaves so, 1 if it no longer does. Needs Python 3.11 or later.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
unset PYTHONPATH
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --quiet --disable-pip-version-check \
  transformers==5.23.0 torch==2.13.0 numpy==2.4.6
cd "$folder"
cat > bias.py <<'PYTHON'
import os
import sys

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from transformers import AutoConfig, AutoModelForMaskedLM

WORDS = 60
SIZES = {
    "vocab_size": WORDS, "hidden_size": 16, "embedding_size": 16, "num_hidden_layers": 1,
    "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 40, "pad_token_id": 1,
}
PARTED, ONE_BIAS = ("bert", "albert", "deberta-v2", "roberta"), ("electra", "modernbert")


def masked_lm(kind, tied):
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **SIZES, tie_word_embeddings=tied)
    return AutoModelForMaskedLM.from_config(config)


def idle(model):
    """The parameters that a step does not reach."""
    ids = torch.randint(3, WORDS, (2, 16))
    model(input_ids=ids, labels=ids).loss.backward()
    return {name: p.numel() for name, p in model.named_parameters() if p.grad is None}


def second_step():
    """What two steps of two processes end in."""
    dist.init_process_group("gloo", init_method="file://" + os.path.abspath("meeting"),
                            rank=int(os.environ["RANK"]), world_size=2)
    model = DistributedDataParallel(masked_lm("bert", tied=False))
    ids = torch.randint(3, WORDS, (2, 16))
    try:
        for _ in range(2):
            model(input_ids=ids, labels=ids).loss.backward()
    except RuntimeError as error:
        print("rank", os.environ["RANK"], "at the second step:", str(error).split(".")[0])
        sys.exit(0)
    sys.exit(1)


if "RANK" in os.environ:
    second_step()
found = {kind: (idle(masked_lm(kind, True)), idle(masked_lm(kind, False))) for kind in (*PARTED, *ONE_BIAS)}
for kind, (tied, untied) in found.items():
    print(f"{kind:11} without a gradient: tied {tied or 'none'}, untied {untied or 'none'}")
parted = all(not found[k][0] and [*found[k][1].values()] == [WORDS] for k in PARTED)
sys.exit(0 if parted and not any(any(found[k]) for k in ONE_BIAS) else 1)
PYTHON
export OMP_NUM_THREADS=1 TRANSFORMERS_VERBOSITY=error
venv/bin/python bias.py
RANK=0 venv/bin/python bias.py & first=$!
RANK=1 venv/bin/python bias.py
wait "$first"
