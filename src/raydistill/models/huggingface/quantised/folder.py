"""A quantised checkpoint written again in bfloat16, tensor by tensor."""

import json
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from raydistill.core.errors import DataError
from raydistill.core.progress import growing
from raydistill.models.families.hub import be_quiet
from raydistill.models.huggingface.loading import check_tensors, first_words
from raydistill.models.huggingface.quantised.dequantise import (
    Dequantised,
    Written,
    stored_tensors,
    written_tensors,
)
from raydistill.models.huggingface.quantised.files import num_bytes, write_files
from raydistill.models.huggingface.quantised.forms import Form, without_quantisation
from raydistill.models.huggingface.saving import copy_tokenizer_files, model_write_errors
from raydistill.models.huggingface.weight_files import weight_files

_LAYER = re.compile(r"(?:^|\.)layers\.(\d{1,9})\.")
_PREDICTION = re.compile(r"(?:^|\.)mtp\.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Dequantising:
    """What is written of a quantised checkpoint."""

    source: Path
    form: Form
    config: Mapping[str, Any]  # that is written
    tensors: list[Written]
    left_out: list[str]  # names of tensors that the stock class does not load
    has_code: bool  # whether the config named code of its own, which is left out
    done: Dequantised

    @property
    def size(self) -> int:
        """Bytes of weights that are written."""
        return sum(map(num_bytes, self.tensors))


def plan_dequantising(source: Path, fields: Mapping[str, Any], form: Form) -> Dequantising:
    """What becomes of the checkpoint in a folder, from its config and headers.

    Args:
        source: a folder with `*.safetensors`.
        fields: of its config.json.
        form: of these.

    Raises:
        DataError: if transformers has no such decoder, or tensors and scales do not go together.
    """
    be_quiet()
    ignored, depth = _ignored(source)
    done = Dequantised()
    tensors = list(written_tensors(stored_tensors(weight_files(source)), form, done))
    if not done.weights:
        raise DataError(f"{source} has no weights that are {form.words}, as its config says")
    left_out = [
        tensor.name
        for tensor in tensors
        if _is_beyond(tensor.name, depth) and any(re.search(p, tensor.name) for p in ignored)
    ]
    config = without_quantisation(fields)
    has_code = config.pop("auto_map", None) is not None
    config.pop("torch_dtype", None)
    return Dequantising(
        source=source,
        form=form,
        config=config | {"dtype": "bfloat16"},
        tensors=[tensor for tensor in tensors if tensor.name not in left_out],
        left_out=left_out,
        has_code=has_code,
        done=done,
    )


def write_dequantised(plan: Dequantising, folder: Path) -> None:
    """Fill an empty folder with a stock model in bfloat16, with tokenizer and generation config.

    Raises:
        SetupError: if writing fails.
    """
    with model_write_errors(folder), growing(folder, "writing weights", plan.size):
        write_files(plan.tensors, folder)
        copy_tokenizer_files(plan.source, folder)
        (folder / "config.json").write_text(json.dumps(plan.config, indent=2) + "\n", "utf-8")


def read_by_transformers(plan: Dequantising) -> Any:
    """The stock model that transformers itself dequantises of the source, in bfloat16.

    Raises:
        DataError: if it does not.
    """
    from transformers import AutoModelForCausalLM  # noqa: PLC0415  (seconds)
    from transformers.quantizers.auto import (  # noqa: PLC0415
        AUTO_QUANTIZATION_CONFIG_MAPPING as SETTINGS,
    )

    try:
        with warnings.catch_warnings(action="ignore"):  # that `dequantize` overrides the config's
            model, info = AutoModelForCausalLM.from_pretrained(
                plan.source,
                dtype=torch.bfloat16,
                quantization_config=SETTINGS[plan.form.method](dequantize=True),
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
    except Exception as error:
        raise DataError(
            f"transformers does not dequantise {plan.source} itself: {first_words(error)}; "
            "--no-check writes it without comparing"
        ) from error
    check_tensors(plan.source, model, info)
    return model


def what_was_lost(plan: Dequantising) -> str:
    """What `write_dequantised` changed, in words."""
    rounding = 100 * plan.done.rounding
    values = (
        f"the same values, rounded by at most {rounding:.2g} %"
        if rounding
        else "exactly the same values"
    )
    text = f"{plan.done.weights} weights were {plan.form.words}: they are bfloat16 of {values}."
    if plan.left_out:
        text += (
            f" Left out: what transformers does not load, {plan.left_out[0]} and "
            f"{len(plan.left_out) - 1} more."
        )
    if plan.has_code:
        text += f" Left out: auto_map, as transformers has a {plan.config['model_type']!r} itself."
    return text


def _ignored(source: Path) -> tuple[list[str], int]:
    """What the stock class passes over, as patterns, and the number of its layers."""
    from transformers import AutoConfig, AutoModelForCausalLM  # noqa: PLC0415  (seconds)

    try:
        settings = AutoConfig.from_pretrained(
            source, local_files_only=True, trust_remote_code=False
        )
        stock = AutoModelForCausalLM._model_mapping[type(settings)]
    except Exception as error:
        raise DataError(
            f"transformers has no decoder for {source}: {first_words(error)}"
        ) from error
    depth = getattr(settings.get_text_config(decoder=True), "num_hidden_layers", 0)
    return list(stock._keys_to_ignore_on_load_unexpected or []), depth


def _is_beyond(name: str, depth: int) -> bool:
    """Whether a tensor is of a layer behind the last one, as those of multi-token prediction."""
    layer = _LAYER.search(name)
    return int(layer[1]) >= depth if layer else bool(_PREDICTION.search(name))
