"""Which safetensors files of a folder are the model's: those that transformers reads."""

import json
from pathlib import Path

from raydistill.core.errors import DataError

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


def weight_files(folder: Path) -> list[Path]:
    """The files of a model's weights, sorted; an adapter or a second set beside them is none.

    They are `model.safetensors` alone, else those that the index names, else all that there are.

    Raises:
        DataError: if the index is not one.
    """
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    names = _indexed(folder / INDEX) if (folder / INDEX).is_file() else set()
    files = [folder / name for name in names if name == Path(name).name] or folder.glob(
        "*.safetensors"
    )
    return sorted(filter(Path.is_file, files))


def _indexed(index: Path) -> set[str]:
    try:
        return set(map(str, json.loads(index.read_text("utf-8"))["weight_map"].values()))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise DataError(f"{index} has no weight_map from tensors to files") from None
