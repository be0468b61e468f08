#!/usr/bin/env bash
# A block that was frozen before DistributedDataParallel wrapped its model, and is taken out of the model later, stays in memory.
#
# DistributedDataParallel keeps a list of all parameters of its module (`_module_parameters`), also of those that it
# averages nothing of. Whoever removes layers while it trains (pruning, early exits, adapters merged into their base) frees
# nothing by it until the wrapper itself goes. Without the wrapper the memory is back at once, and so it is if the names of
# the frozen parameters are given to `_set_params_and_buffers_to_ignore_for_model` before wrapping.
# Seen with torch 2.13.0 (nn/parallel/distributed.py, `DistributedDataParallel.__init__`), gloo, one rank.
#
# Exits 0 if it behaves so, 1 if it no longer does. Needs Python 3.11 or later.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
unset PYTHONPATH
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cd "$folder"
cat > removed.py <<'PYTHON'
import gc
import os
import sys
import weakref

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel


class Stack(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(8, 8) for _ in range(3))

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x


def is_kept(wrap):
    """Whether a frozen block's weights are in memory after the block was removed in mid-training."""
    model = Stack()
    model.blocks[1].requires_grad_(False)
    wrapped = wrap(model)
    for _ in range(2):
        wrapped(torch.ones(1, 8)).sum().backward()
    weight = weakref.ref(model.blocks[1].weight)
    model.blocks = nn.ModuleList([model.blocks[0], model.blocks[2]])
    wrapped(torch.ones(1, 8)).sum().backward()
    gc.collect()
    return weight() is not None


def ignoring_frozen(model):
    names = [name for name, p in model.named_parameters() if not p.requires_grad]
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(model, names)
    return DistributedDataParallel(model)


dist.init_process_group("gloo", init_method="file://" + os.path.abspath("meeting"), rank=0, world_size=1)
found = {"alone": is_kept(lambda model: model), "wrapped": is_kept(DistributedDataParallel),
         "wrapped, frozen ones ignored": is_kept(ignoring_frozen)}
for name, kept in found.items():
    print(f"{name:29} the removed block is {'still in memory' if kept else 'freed'}")
sys.exit(0 if list(found.values()) == [False, True, False] else 1)
PYTHON
OMP_NUM_THREADS=1 venv/bin/python removed.py
