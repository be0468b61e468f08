"""Hugging Face checkpoints: located, and read as far as a plan needs, without torch.

A checkpoint is a folder with `config.json` and `*.safetensors`, or an id of the hub. Code that
comes with one never runs, and pickled weights are not read here (`raydistill import`).
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raydistill.core.errors import DataError
from raydistill.core.paths import resolve_path
from raydistill.core.serialization import digest
from raydistill.core.text.redaction import printed_command
from raydistill.models.huggingface.model_shape import hub_config
from raydistill.models.huggingface.quantised.forms import Form, form_of
from raydistill.models.huggingface.weight_files import patterns_to_download, weight_files
from raydistill.specs.model import HubConfig

DEFAULT_REVISION = "main"  # the revision unless one is named
TEXTS = ("*.json", "*.model", "*.txt", "*.jinja")
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


@dataclass(frozen=True, kw_only=True, slots=True)
class HubCheckpoint:
    """A checkpoint before its weights are read."""

    name: str  # folder or id, as the user gave it
    revision: str
    folder: Path
    model: HubConfig
    precision: str  # "float32", or "bfloat16" where its weights are in half precision

    @property
    def key(self) -> str:
        """A digest of the files' names, sizes and times, and of the context."""
        files = sorted([*weight_files(self.folder), self.folder / "config.json"])
        stats = [(f.name, f.stat().st_size, f.resolve().stat().st_mtime_ns) for f in files]
        return digest([stats, self.model.context])


def read_checkpoint(name: str, revision: str, seq_len: int = 0) -> HubCheckpoint:
    """Locate a checkpoint, on the hub if it is no folder, and read its config and headers.

    Args:
        name: a folder, or an id of the hub.
        revision: of the hub, or a folder within the folder; `main` is the folder itself.
        seq_len: tokens in a training window; 0: the model's own context, at most 4,096.

    Raises:
        DataError: if it is missing, incomplete, or would need code or pickles to be read.
    """
    folder = locate(name, revision)
    fields = read_config(folder)
    if not list(folder.glob("*.safetensors")):
        refuse_without_weights(folder)
    half = str(fields.get("dtype") or fields.get("torch_dtype")) in ("bfloat16", "float16")
    return HubCheckpoint(
        name=name,
        revision=revision,
        folder=folder,
        model=hub_config(folder, fields, seq_len),
        precision="bfloat16" if half else "float32",
    )


def locate(name: str, revision: str = DEFAULT_REVISION, *, pickles: bool = False) -> Path:
    """The local folder of a checkpoint; from the hub, safetensors and JSON are downloaded.

    Args:
        name: a folder, or an id of the hub.
        revision: of the hub, or a folder within the folder.
        pickles: whether pickled weights are downloaded too; nothing here reads them.

    Raises:
        DataError: if there is none, or a text file of it is a link to elsewhere.
    """
    path = resolve_path(name)
    if path.is_dir():
        folder = path if revision == DEFAULT_REVISION else path / revision
        if folder.is_dir():
            _refuse_links_out(folder, path.resolve())
            return folder.absolute()
        revisions = ", ".join(_revisions_within(path)) or "none"
        raise DataError(f"no revision {revision!r} in {path.absolute()}: it has {revisions}")
    if path.is_file() and path.suffix == ".gguf":
        raise DataError(
            f"{path.absolute()} is GGUF, which is not read as it is; once in bfloat16 it is: "
            f"{import_command(path.absolute(), path.with_suffix('').name + '-bf16')}"
        )
    if path.is_file():
        raise DataError(f"{path.absolute()} is a file: name the folder with its config.json")
    if (
        path.is_absolute()
        or name.startswith((".", "~"))
        or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name)
    ):
        raise DataError(f"no model at {path.absolute()}: name a folder with a config.json")
    return _download(name, revision, PICKLES if pickles else ())


def _refuse_links_out(folder: Path, root: Path) -> None:
    """Refuse links to files outside of `root`: a copy of one would carry a stranger's text along.

    A snapshot in the hub's cache consists of links to that cache's `blobs`.
    """
    if root.parent.name == "snapshots":
        root = root.parent.parent
    for file in sorted(file for pattern in TEXTS for file in folder.glob(pattern)):
        if file.is_symlink() and not file.resolve().is_relative_to(root):
            raise DataError(
                f"{file.absolute()} is a link out of its checkpoint, to {file.resolve()}: "
                "put the file itself there"
            )


def local_folder(name: str, revision: str) -> Path | None:
    """The folder of a checkpoint that is on this machine; None where the hub is asked."""
    path = resolve_path(name)
    folder = path if revision == DEFAULT_REVISION else path / revision
    return folder if folder.is_dir() else None


def _download(name: str, revision: str, more: Sequence[str]) -> Path:
    """The folder of a hub checkpoint in the hub's cache, downloaded if it is not there."""
    from huggingface_hub import snapshot_download  # noqa: PLC0415  (half a second)

    texts = [*TEXTS, *more]
    try:
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=texts))
        weights = patterns_to_download(folder)
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=weights))
        if not weight_files(folder):  # they have other names
            others = ["*.safetensors"]
            folder = Path(snapshot_download(name, revision=revision, allow_patterns=others))
        return folder
    except DataError:
        raise
    except Exception as error:  # the hub has a dozen kinds, of three libraries
        why = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(
            f"no folder {Path(name).absolute()}, and the hub gave no {name!r} at revision "
            f"{revision!r}: {why}"
        ) from error


def _revisions_within(folder: Path) -> list[str]:
    """The names of checkpoints in a folder, such as `checkpoint-500`, sorted."""
    return sorted(path.parent.name for path in folder.glob("*/config.json"))


def read_config(folder: Path) -> dict[str, Any]:
    """The config.json of a checkpoint.

    Raises:
        DataError: if there is none, it is not JSON, it brings code along, or it is quantised.
    """
    fields = read_fields(folder)
    path = folder / "config.json"
    if form := form_of(fields):
        helps = (
            f"once in bfloat16 it is read: {import_command(folder, f'{_name_of(folder)}-bf16')}"
            if form.is_read
            else way_around(form)
        )
        raise DataError(f"{path} is quantised ({form.words}): {helps}")
    if "auto_map" in fields:
        raise DataError(f"{path} has an auto_map: code of its own, which never runs here")
    return fields


def read_fields(folder: Path) -> dict[str, Any]:
    """The config.json in a folder, whatever it says.

    Raises:
        DataError: if there is none, it is not JSON, or it names no type of model.
    """
    path = folder / "config.json"
    if not path.is_file():
        if file := next(iter(sorted(folder.glob("*.gguf"))), None):
            locate(str(file))  # refuses it, with the way
        revisions = _revisions_within(folder)
        hint = f"; name revisions: --age {','.join(revisions[:3])}" if revisions else ""
        raise DataError(f"no config.json in {folder}{hint}")
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON: {error}") from None
    if not isinstance(fields, dict) or not isinstance(fields.get("model_type"), str):
        raise DataError(f"{path} names no model_type")
    return fields


def way_around(form: Form) -> str:
    """What helps with a quantised checkpoint that is not read."""
    named = f", {form.made_of}" if form.made_of else ""
    return f"bring the checkpoint that it was made of{named}"


def refuse_without_weights(folder: Path) -> None:
    """Say what a folder without safetensors has instead, and what helps."""
    for pattern in PICKLES:
        for pickle in sorted(folder.glob(pattern)):
            command = import_command(folder, f"{_name_of(folder)}-safetensors")
            raise DataError(
                f"{pickle} is pickled, and could run code when it is read; read it once, weights "
                f"only: {command}"
            )
    raise DataError(f"no *.safetensors in {folder}")


def import_command(source: Path, to: str) -> str:
    """The command that makes a folder of safetensors of another folder, or of a file.

    Args:
        source: a folder, which may be the hub's cache of one, or a file.
        to: the name of the new folder, beside the source; of the hub's, where one stands.
    """
    words = ["raydistill", "import", *_as_named(source)]
    beside = "" if _is_cached(source) else f"{source.absolute().parent}/"
    return printed_command([*words, "--to", f"{beside}{to}"])


def _is_cached(folder: Path) -> bool:
    """Whether a folder is a snapshot in the hub's cache: `models--ORG--NAME/snapshots/COMMIT`."""
    return folder.parent.name == "snapshots" and folder.parts[-3].startswith("models--")


def _as_named(source: Path) -> list[str]:
    if not _is_cached(source):
        return [str(source.absolute())]
    return [source.parts[-3].removeprefix("models--").replace("--", "/"), "--revision", source.name]


def _name_of(folder: Path) -> str:
    return folder.parts[-3].rpartition("--")[2] if _is_cached(folder) else folder.absolute().name


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadBase:
    """The base in the store that a checkpoint became."""

    weights_sha256: str


def stored_base_path(checkpoint: HubCheckpoint) -> tuple[str, str]:
    """Where the store keeps the `ReadBase` of a checkpoint's files."""
    return "brought", f"{checkpoint.key}.json"
