#!/usr/bin/env bash
# chinchilla fits another law, without a word, when the keys of the same grid stand in another order.
#
# `Chinchilla(param_grid={"E": ..., "a": ..., "b": ..., "alpha": ..., "beta": ...})` takes the starts of a scaling law's
# parameters by name, and checks the names (a missing or unknown one is an error). The fit then goes by position: the
# first list is E, the second a, and so on. With "alpha" before "b", the starts of alpha become those of b; points that
# lie exactly on L = 1.8169 + 482.01/N^0.3478 + 2085.43/D^0.3658 are fitted with alpha 5, which says "7.8 parameters" for
# 1e21 FLOPs instead of 2.8e9. Nothing warns; `fit` reports success.
# Seen with chinchilla 0.2.0 (core.py, `fit` and `_evaluate_params`; _validator.py, `ParamGrid`), numpy 2.4.6, scipy 1.17.1.
#
# Exits 0 if it behaves so, 1 if it no longer does. Needs Python 3.11 or later.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
unset PYTHONPATH
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --quiet --disable-pip-version-check \
  chinchilla==0.2.0 numpy==2.4.6 scipy==1.17.1 pandas==3.1.1
cd "$folder"
cat > fit.py <<'PYTHON'
import sys
import tempfile

import numpy as np
from chinchilla import Chinchilla
from chinchilla._metrics import log_huber

LAW = {"E": 1.8169, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658}
STARTS = {
    "E": (1.5, 1.8, 2.1), "a": (4.0, 6.0, 8.0), "b": (5.0, 7.0, 9.0),
    "alpha": (0.2, 0.35, 0.5), "beta": (0.2, 0.35, 0.5),
}


def fitted(order):
    """What is fitted to points on the law, with the grid's keys in this order."""
    law = Chinchilla(
        tempfile.mkdtemp(),
        param_grid={name: STARTS[name] for name in order},
        loss_fn=lambda true, fit: log_huber(true, fit, 1e-3),
        log_level=40,
    )
    for size in np.logspace(7.5, 10, 6):
        for tokens in np.logspace(9, 11.5, 6):
            loss = float(Chinchilla.predict_loss(size, tokens, LAW))
            law.append(N=size, D=tokens, C=6 * size * tokens, loss=loss)
    law.fit()
    shown = ", ".join(f"{name} {value:.4g}" for name, value in law.get_params().items())
    best = float(law.allocate_compute(1e21)[0])
    print(f"{' '.join(order):22} {shown}; best size for 1e21 FLOPs {best:.3g}")
    return law.get_params()["alpha"], best


documented = fitted(["E", "a", "b", "alpha", "beta"])
other = fitted(["E", "a", "alpha", "b", "beta"])
is_right = abs(documented[0] - LAW["alpha"]) < 0.01 and 2e9 < documented[1] < 4e9
is_wrong = other[0] > 1 and other[1] < 1e6
sys.exit(0 if is_right and is_wrong else 1)
PYTHON
OMP_NUM_THREADS=1 venv/bin/python fit.py
