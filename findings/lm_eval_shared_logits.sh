#!/usr/bin/env bash
# lm-eval's HFLM gives a wrong log-likelihood to one of two requests that are the same text, split elsewhere.
#
# With logits_cache=True, the default, requests whose context and continuation without its last token are
# the same tokens share one forward pass. Of the shared rows, the request with the shorter continuation is
# given the first ones for its sum, and the last ones, which are right, for `is_greedy`. So its number
# depends on which other requests are asked with it. Winogrande has such pairs: contexts that differ in the
# option, and sentences that are repeated with another gap.
# Seen with lm-eval 0.4.13 in lm_eval/models/huggingface.py, `_loglikelihood_tokens`, torch.gather.
#
# Exits 0 if it behaves so, 1 if it no longer does. Needs Python 3.10 or later, 4 GB of disk.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
unset PYTHONPATH
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --quiet --disable-pip-version-check \
  torch==2.13.0 lm-eval==0.4.13 transformers==5.23.0 tokenizers==0.23.3 accelerate==1.15.0
cat > "$folder/ask.py" <<'PYTHON'
import sys

import lm_eval.models.huggingface as source
import torch
from lm_eval.api.instance import Instance
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

WORDS = "[UNK] <end> the boat went down river in morning".split()
words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
words.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<end>", unk_token="[UNK]")
torch.manual_seed(0)
config = GPT2Config(vocab_size=len(WORDS), n_positions=32, n_embd=16, n_layer=2, n_head=2)
model = GPT2LMHeadModel(config).eval()
with torch.no_grad():
    model.transformer.wte.weight.mul_(20)  # so that tokens differ in likelihood
PAIRS = [("the boat", " went down the river"), ("the boat went", " down the river")]


def ask(pairs, **settings):
    lm = source.HFLM(pretrained=model, tokenizer=tokenizer, batch_size=1, device="cpu", **settings)
    requests = [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(pairs)]
    return [round(nats, 4) for nats, _ in lm.loglikelihood(requests, disable_tqdm=True)]


import lm_eval, transformers

print(f"lm-eval {lm_eval.__version__}, transformers {transformers.__version__}, torch {torch.__version__}")
alone = [ask([pair])[0] for pair in PAIRS]
together, uncached = ask(PAIRS), ask(PAIRS, logits_cache=False)
print(f"each alone                   {alone}")
print(f"together, logits_cache=False {uncached}")
print(f"together, by default         {together}")
same = uncached == alone and together[0] == alone[0] and together[1] != alone[1]
print("as described" if same else "no longer as described")
sys.exit(0 if same else 1)
PYTHON
"$folder/venv/bin/python" "$folder/ask.py" 2> "$folder/err" || { code=$?; tail -3 "$folder/err"; exit "$code"; }
