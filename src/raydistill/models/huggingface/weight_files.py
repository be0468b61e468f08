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
    files = [folder / name for name in _indexed(folder) if name == Path(name).name] or folder.glob(
        "*.safetensors"
    )
    return sorted(filter(Path.is_file, files))


def patterns_to_download(folder: Path) -> list[str]:
    """The names of a hub repository's files of weights, its JSON files being in `folder`.

    A second set beside them, as `consolidated.safetensors` of Mistral's releases, is none.

    Raises:
        DataError: if the index is not one.
    """
    return [WEIGHTS, *sorted(_indexed(folder))]


def _indexed(folder: Path) -> set[str]:
    """The files that a folder's index names; none if it has no index."""
    index = folder / INDEX
    if not index.is_file():
        return set()
    try:
        return set(map(str, json.loads(index.read_text("utf-8"))["weight_map"].values()))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise DataError(f"{index} has no weight_map from tensors to files") from None
