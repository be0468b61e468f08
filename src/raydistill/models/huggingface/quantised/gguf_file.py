"""A GGUF file as a stock folder in bfloat16, whole in memory, by transformers' own reading."""

import contextlib
import io
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from raydistill.core.errors import DataError, SetupError
from raydistill.core.paths import resolve_path
from raydistill.models.families.hub import be_quiet
from raydistill.models.huggingface.checkpoint import PICKLES
from raydistill.models.huggingface.loading import check_tensors, first_words
from raydistill.models.huggingface.saving import LARGEST_FILE, model_write_errors

BF16 = torch.bfloat16


def gguf_at(name: str) -> Path | None:
    """The GGUF file that a user means by its path, or by a folder with nothing else; else None.

    Raises:
        DataError: if there are several, or it is a part of one.
    """
    path = resolve_path(name)
    others = ("*.safetensors", *PICKLES)
    if path.is_dir() and not any(file for pattern in others for file in path.glob(pattern)):
        files = sorted(path.glob("*.gguf"))
        if len(files) > 1:
            names = ", ".join(file.name for file in files[:5])
            raise DataError(f"{path.absolute()} has {len(files)} GGUF files: name one of {names}")
        path = files[0] if files else path
    if not path.is_file() or path.suffix != ".gguf":
        return None
    if re.search(r"-\d{5}-of-\d{5}$", path.stem):
        raise DataError(
            f"{path.absolute()} is a part of a GGUF, and transformers reads whole ones: join them "
            "with llama.cpp's llama-gguf-split --merge"
        )
    return path.absolute()


def read_gguf(file: Path) -> Any:
    """The stock model in a GGUF file, in bfloat16.

    Raises:
        SetupError: if a package is missing.
        DataError: if transformers does not read it, or its tensors are not the model's.
    """
    from transformers import AutoModelForCausalLM, GgufConfig  # noqa: PLC0415  (seconds)

    try:
        with _silent():
            model, info = AutoModelForCausalLM.from_pretrained(
                file.parent,
                gguf_file=file.name,
                quantization_config=GgufConfig(dequantize=True),
                dtype=_read_in(file),
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
    except Exception as error:
        if isinstance(error, ImportError) or "accelerate" in str(error):
            raise SetupError(
                f"{file} is GGUF, which transformers reads with gguf and accelerate: "
                "pip install 'raydistill[quantised]'"
            ) from None
        raise DataError(f"transformers cannot read {file}: {first_words(error)}") from error
    check_tensors(file, model, info)
    model.config.dtype = BF16
    for parameter in model.parameters():  # no buffers: angles of positions stay in float32
        parameter.data = parameter.data.to(BF16)
    return model


def write_gguf(model: Any, file: Path, folder: Path) -> str:
    """Fill an empty folder with the model of a GGUF file, and its tokenizer; what was lost.

    Raises:
        SetupError: if writing fails.
    """
    with model_write_errors(folder):
        model.save_pretrained(folder, max_shard_size=LARGEST_FILE)
        tokenizer = _write_tokenizer(file, folder)
    return (
        f"The weights were GGUF{_types(file)}: they are bfloat16, each value rounded once, to 8 "
        f"significant bits. {tokenizer}"
    )


def _read_in(file: Path) -> torch.dtype:
    """The dtype in which each value is rounded to bfloat16 once.

    Of some architectures transformers multiplies a block's numbers in the dtype of the model: in
    bfloat16 the scale is rounded, and the product again. Of others it does so in float32.
    """
    try:
        from transformers.integrations.gguf.reader import read_gguf_metadata  # noqa: PLC0415
        from transformers.integrations.gguf.utils import is_gguf_arch_supported  # noqa: PLC0415

        fields, _ = read_gguf_metadata(str(file))
        return torch.float32 if is_gguf_arch_supported(fields["general.architecture"]) else BF16
    except Exception:  # noqa: BLE001  (an older transformers, or no GGUF, which it says when it reads)
        return BF16


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep what transformers logs, and a bar that it draws in any case, off the terminal."""
    from transformers.utils import logging  # noqa: PLC0415  (seconds)

    be_quiet()
    logging.set_verbosity(logging.CRITICAL)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        be_quiet()


def _write_tokenizer(file: Path, folder: Path) -> str:
    from transformers import AutoTokenizer  # noqa: PLC0415  (seconds)

    try:
        with _silent():
            tokenizer = AutoTokenizer.from_pretrained(
                file.parent, gguf_file=file.name, local_files_only=True, trust_remote_code=False
            )
        tokenizer.save_pretrained(folder)
    except Exception as error:  # noqa: BLE001  (of any kind, from two libraries)
        return (
            f"transformers makes no tokenizer of it ({first_words(error)}): put the "
            "tokenizer.json of the model that it was made of there."
        )
    return "transformers made tokenizer.json of the file's own tokens and merges."


def _types(file: Path) -> str:
    """How many tensors a file has of which type, where this transformers tells."""
    try:
        from transformers.integrations.gguf.dequant import GGML_NAME  # noqa: PLC0415
        from transformers.integrations.gguf.reader import GgufHeader  # noqa: PLC0415

        types = GgufHeader.from_file(str(file)).ggml_types.values()
    except (ImportError, ValueError):
        return ""
    names = {0: "F32", 1: "F16", 30: "BF16", **GGML_NAME}
    counts = Counter(names[number] for number in types).most_common()
    return f" ({', '.join(f'{count} {name}' for name, count in counts)})"
