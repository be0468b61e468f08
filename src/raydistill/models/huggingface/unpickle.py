"""Pickled weights converted to safetensors, in a process of its own: `python -m` this module.

torch reads them with `weights_only`: a pickle that refers to anything but tensors is refused, and
that code does not run. A separate process keeps crashes away from the command.
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
_NESTED = ("state_dict", "model_state_dict", "model")  # keys that trainers put weights under


def convert(folder: Path, draft: Path) -> None:
    """Write each file of pickled weights in `folder` as one of safetensors in `draft`.

    Raises:
        DataError: if there are none, or they hold anything but tensors.
    """
    files = pickles_in(folder)
    weight_map: dict[str, str] = {}
    for number, file in enumerate(files, 1):
        part = f"-{number:05d}-of-{len(files):05d}" if len(files) > 1 else ""
        name = f"model{part}.safetensors"
        tensors = {key: t.clone().contiguous() for key, t in _tensors(file).items()}
        if duplicates := sorted(set(weight_map) & set(tensors)):
            raise DataError(f"{file} has the tensor {duplicates[0]} once more")
        weight_map |= dict.fromkeys(tensors, name)
        save_file(tensors, draft / name, metadata={"format": "pt"})
    if len(files) > 1:
        index = {"metadata": {}, "weight_map": weight_map}
        (draft / "model.safetensors.index.json").write_text(json.dumps(index, indent=1), "utf-8")


def pickles_in(folder: Path) -> list[Path]:
    """The files of weights: `pytorch_model*.bin` if there are such, else the only one.

    Raises:
        DataError: if there is none, or nobody can tell which.
    """
    shards = sorted(folder.glob("pytorch_model*.bin"))
    if shards:
        return shards
    files = sorted(
        file
        for pattern in PICKLES
        for file in folder.glob(pattern)
        if not _NO_WEIGHTS.fullmatch(file.name)
    )
    if len(files) != 1:
        names = ", ".join(file.name for file in files[:5]) or "none"
        raise DataError(
            f"{folder} must have pytorch_model*.bin, or one of {', '.join(PICKLES)}; it has {names}"
        )
    return files


def _tensors(file: Path) -> dict[str, Tensor]:
    try:
        content: Any = torch.load(
            file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file)
        )
    except Exception as error:  # noqa: BLE001  (torch and pickle raise a dozen kinds)
        code = re.search(r"GLOBAL (\S+)", str(error))
        why = f"it asks for {code[1]}" if code else next(iter(str(error).splitlines()), "")
        raise DataError(f"{file} is not weights alone, and was not run: {why}") from None
    while isinstance(content, dict) and (key := next(filter(content.get, _NESTED), None)):
        content = content[key]
    others = ["no tensors by name"]
    if isinstance(content, dict):
        others = [str(key) for key, value in content.items() if not isinstance(value, Tensor)]
    if others:
        raise DataError(f"{file} holds more than tensors: {', '.join(others[:5])}")
    return dict(content)


if __name__ == "__main__":
    try:
        convert(Path(sys.argv[1]), Path(sys.argv[2]))
    except DataError as refusal:
        print(refusal, file=sys.stderr)
        sys.exit(refusal.exit_code)
