#!/usr/bin/env bash
# transformers 4 loads a config.json that transformers 5 wrote, and holds a dict where infinity was.
#
# Models with a state space (Mamba-2, Falcon-H1, Bamba; Granite 4 and Nemotron-H likewise) clamp their time
# step by `time_step_limit`, whose upper end is infinity by default. JSON has no infinity: transformers 5 writes
# {"__float__": "Infinity"} and reads it back; transformers 4 takes the dict for the number, and AutoConfig says
# nothing: so it is where one environment trains and another serves. Readers that use json.load see the dict too.
# Seen with transformers 5.23.0 (configuration_utils.py, the encoding of special floats) and 4.57.6.
#
# Exits 0 if it behaves so, 1 if it no longer does. Needs Python 3.10 or later, 1 GB of disk; no torch.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
unset PYTHONPATH
export TRANSFORMERS_VERBOSITY=error
for version in 5.23.0 4.57.6; do
  "${PYTHON:-python3}" -m venv "$folder/$version"
  "$folder/$version/bin/pip" install --quiet --quiet --disable-pip-version-check "transformers==$version" numpy
done
cd "$folder"
5.23.0/bin/python - <<'PYTHON'
from transformers import BambaConfig, FalconH1Config, Mamba2Config

for config in (BambaConfig(), FalconH1Config(), Mamba2Config()):
    config.save_pretrained(config.model_type)
PYTHON
cat > read.py <<'PYTHON'
import sys
import warnings

import transformers

warnings.simplefilter("error")  # nothing warns
expected = {"5": [0.0, float("inf")], "4": [0.0, {"__float__": "Infinity"}]}
is_same = True
for model_type in ("bamba", "falcon_h1", "mamba2"):
    limit = list(transformers.AutoConfig.from_pretrained(model_type).time_step_limit)
    print(f"transformers {transformers.__version__} reads {model_type}: time_step_limit {limit}")
    is_same &= limit == expected[transformers.__version__[0]]
sys.exit(not is_same)
PYTHON
5.23.0/bin/python read.py
4.57.6/bin/python read.py
