"""Pickled weights become safetensors, in a process of its own: `python -m` and this module.

torch reads them with `weights_only`: a pickle that asks for anything but tensors is refused, and
what it asks for does not run. A process of its own keeps what goes wrong away from the command.
"""

import json
import re
import sys
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from raydistill.core.errors import DataError
from raydistill.models.huggingface.checkpoint import PICKLES

_NO_WEIGHTS = re.compile(r"(training_args|optimizer|scheduler|rng_state|scaler).*")

_WITHIN = ("state_dict", "model_state_dict", "model")


def convert(folder: Path, draft: Path) -> None:
    """Write the pickled weights in `folder` into `draft`, each file as one of safetensors.

    Raises:
        DataError: if there are none, or they hold anything but tensors.
    """
    files = pickles_in(folder)
    where: dict[str, str] = {}
    for number, file in enumerate(files, 1):
        part = f"-{number:05d}-of-{len(files):05d}" if len(files) > 1 else ""
        name = f"model{part}.safetensors"
        tensors = {key: t.clone().contiguous() for key, t in _tensors(file).items()}
        if twice := sorted(set(where) & set(tensors)):
            raise DataError(f"{file} has the tensor {twice[0]} once more")
        where |= dict.fromkeys(tensors, name)
        save_file(tensors, draft / name, metadata={"format": "pt"})
    if len(files) > 1:
        index = {"metadata": {}, "weight_map": where}
        (draft / "model.safetensors.index.json").write_text(json.dumps(index, indent=1), "utf-8")


def pickles_in(folder: Path) -> list[Path]:
    """The files of weights: `pytorch_model*.bin` if there are such, else the only one.

    Raises:
        DataError: if there is none, or nobody can tell which.
    """
    shards = sorted(folder.glob("pytorch_model*.bin"))
    if shards:
        return shards
    found = sorted(
        file
        for pattern in PICKLES
        for file in folder.glob(pattern)
        if not _NO_WEIGHTS.fullmatch(file.name)
    )
    if len(found) != 1:
        names = ", ".join(file.name for file in found[:5]) or "none"
        raise DataError(
            f"{folder} must have pytorch_model*.bin, or one of {', '.join(PICKLES)}; it has {names}"
        )
    return found


def _tensors(file: Path) -> dict[str, Tensor]:
    try:
        found: Any = torch.load(
            file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file)
        )
    except Exception as error:  # noqa: BLE001  (torch and pickle raise a dozen kinds)
        asked = re.search(r"GLOBAL (\S+)", str(error))
        why = f"it asks for {asked[1]}" if asked else next(iter(str(error).splitlines()), "")
        raise DataError(f"{file} is not weights alone, and was not run: {why}") from None
    while isinstance(found, dict) and (inner := next(filter(found.get, _WITHIN), None)):
        found = found[inner]
    others = [] if isinstance(found, dict) else ["no tensors by name"]
    others = others or [str(key) for key, value in found.items() if not isinstance(value, Tensor)]
    if others:
        raise DataError(f"{file} holds more than tensors: {', '.join(others[:5])}")
    return dict(found)


if __name__ == "__main__":
    try:
        convert(Path(sys.argv[1]), Path(sys.argv[2]))
    except DataError as refusal:
        print(refusal, file=sys.stderr)
        sys.exit(refusal.exit_code)
