"""Decoders of transformers: any family that is a plain list of equal blocks.

The stock model does the work. What is added here is what removing blocks must correct: every
module's `layer_idx`, `num_hidden_layers`, and whatever the config keeps per layer.
"""

import difflib
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from raydistill.core.errors import DataError
from raydistill.models.attention import lacks_flash_attn
from raydistill.models.decoder import Decoder
from raydistill.models.huggingface.surgery.layer_fields import PER_LAYER
from raydistill.specs.model import HubConfig, ModelConfig

_MIN_WEIGHT = 1e-30  # of attention, below which float32 cannot tell it from none


class HubDecoder(Decoder):
    """A transformers model as a `Decoder`.

    Attributes:
        inner: the stock model, always in a state that `save_pretrained` can write.
    """

    config: HubConfig

    def __init__(self, config: HubConfig, inner: nn.Module) -> None:
        super().__init__(config)
        self.inner: Any = inner
        self._list = _block_list(inner, config.num_layers)
        self._base: tuple[nn.Module, ...] = tuple(inner.get_submodule(self._list).children())
        self._per_layer = _per_layer(inner.config, config.num_layers)
        self._block_arguments: dict[int, dict[str, Any]] = {}
        self.use_blocks(self._base)

    def use_blocks(self, blocks: Sequence[nn.Module] | nn.ModuleList) -> None:
        super().use_blocks(blocks)
        parent, _, name = self._list.rpartition(".")
        setattr(self.inner.get_submodule(parent), name, self.blocks)
        for position, block in enumerate(self.blocks):
            for module in block.modules():
                if isinstance(getattr(module, "layer_idx", None), int):
                    module.layer_idx = position  # type: ignore[assignment]
        settings = self.inner.config
        settings.num_hidden_layers = len(self.blocks)
        for key, values in self.per_layer().items():
            setattr(settings, key, values)

    def per_layer(self) -> dict[str, list[Any]]:
        """The config's lists with a value per layer, of the layers that stay."""
        layers = [self._base.index(block) for block in self.blocks]
        return {key: [values[layer] for layer in layers] for key, values in self._per_layer.items()}

    def hidden(
        self,
        tokens_BT: Tensor,
        positions_BT: Tensor | None = None,
        visible_BTT: Tensor | None = None,
    ) -> Tensor:
        arguments: dict[str, Tensor] = {}
        if positions_BT is not None:
            arguments["position_ids"] = positions_BT
        if visible_BTT is not None:
            mask = visible_BTT[:, None]
            eager = self.inner.config._attn_implementation == "eager"  # Gemma 2
            arguments["attention_mask"] = _additive(mask, self.inner.dtype) if eager else mask
        hidden_BTD: Tensor = self.inner.base_model(tokens_BT, use_cache=False, **arguments)[0]
        return hidden_BTD

    @property
    def mask_reach(self) -> int:
        if not self._takes_masks:
            return 0
        window = getattr(self.inner.config, "sliding_window", None) or self.config.max_length
        return min(int(window), self.config.max_length)

    @functools.cached_property
    def _takes_masks(self) -> bool:
        """Whether two texts in one row, by positions and a mask, are what they are in two rows.

        Not in families with ALiBi or a recurrence: they refuse such a mask, or pass over it.
        """
        device = next(self.parameters()).device
        texts_BT = torch.tensor([[0, 1, 2, 3], [0, 1, 4, 5]], device=device)
        row_T = torch.tensor([[0, 1, 2, 3, 4, 5]], device=device)
        positions_T = torch.tensor([[0, 1, 2, 3, 2, 3]], device=device)
        visible_TT = torch.ones(6, 6, dtype=torch.bool, device=device).tril()
        visible_TT[4:, 2:4] = False
        with self.evaluating(), torch.inference_mode():
            expected_BD = self.hidden(texts_BT)[:, -1].float()
            try:
                row_BD = self.hidden(row_T, positions_T, visible_TT[None])[0, [3, 5]].float()
            except (RuntimeError, TypeError, ValueError):
                return False
        tolerance = max(1e-4, 8 * torch.finfo(self.inner.dtype).eps) * expected_BD.abs().max()
        return bool((row_BD - expected_BD).abs().max() <= tolerance)

    @torch.inference_mode()
    def generate(
        self, tokens_BT: Tensor, max_new_tokens: int, ended: Callable[[list[int]], bool]
    ) -> list[list[int]]:
        """See `Decoder`; with a cache of keys and values."""
        new: list[list[int]] = [[] for _ in tokens_BT]
        is_open = [True] * len(new)
        cache, next_BT = None, tokens_BT
        with self.evaluating():
            for _ in range(max_new_tokens):
                output = self.inner.base_model(next_BT, past_key_values=cache, use_cache=True)
                cache = output.past_key_values
                next_BT = self.head(output[0][:, -1]).argmax(dim=-1, keepdim=True)
                for row, token in enumerate(next_BT.flatten().tolist()):
                    if is_open[row]:
                        new[row].append(token)
                        is_open[row] = not ended(new[row])
                if not any(is_open):
                    break
        return new

    def head(self, hidden_D: Tensor) -> Tensor:
        logits: Tensor = self.inner.get_output_embeddings()(hidden_D)
        cap = getattr(self.inner.config, "final_logit_softcapping", None)
        return logits if cap is None else cap * torch.tanh(logits / cap)

    def block_states(
        self, position: int, inputs: tuple[Any, ...], named: dict[str, Any], output: Any
    ) -> tuple[Tensor, Tensor]:
        """See `Decoder`; the block's other arguments are kept for `attention`."""
        self._block_arguments[position] = named
        inputs_BTD = inputs[0] if inputs else named["hidden_states"]
        return inputs_BTD, output if isinstance(output, Tensor) else output[0]

    def attention(self, position: int, inputs_BTD: Tensor) -> Tensor:
        """See `Decoder`; after a forward pass that was watched, at the same length."""
        block, arguments = self.blocks[position], dict(self._block_arguments[position])
        arguments.pop("hidden_states", None)
        arguments["attention_mask"] = _block_mask(arguments.get("attention_mask"), inputs_BTD)
        (attention,) = (m for m in block.modules() if type(m).__name__.endswith("Attention"))
        weights: list[Tensor] = []
        handle = attention.register_forward_hook(lambda _m, _i, output: weights.append(output[1]))
        settings = self.inner.config
        usual, settings._attn_implementation = settings._attn_implementation, "eager"
        try:
            block(inputs_BTD, **arguments)
        finally:
            settings._attn_implementation = usual
            handle.remove()
        return weights[0].float().clamp_min(_MIN_WEIGHT).log().tril()


def build(config: ModelConfig) -> HubDecoder:
    """A decoder with fresh weights in float32, as the family initialises them.

    Raises:
        DataError: if transformers has no such family, or its blocks are no plain list.
    """
    from transformers import AutoModelForCausalLM  # noqa: PLC0415  (seconds)

    assert isinstance(config, HubConfig), config
    settings = settings_of(config)
    fresh = AutoModelForCausalLM.from_config(settings, dtype=torch.float32, trust_remote_code=False)
    return HubDecoder(config, fresh)


def settings_of(config: HubConfig) -> Any:
    """The config of transformers for that many layers, without dropout.

    Where it names flash-attn that is not installed, torch's attention is used, with a warning.

    Raises:
        DataError: if transformers has no such family.
    """
    from transformers import CONFIG_MAPPING, AutoConfig  # noqa: PLC0415  (seconds)

    fields = json.loads(config.config)
    for key, value in fields.items():
        if isinstance(value, float) and ("drop" in key):
            fields[key] = 0.0
    for key in ("attn_implementation", "_attn_implementation"):
        if lacks_flash_attn(fields.get(key)):
            del fields[key]
    for key in ("num_labels", "id2label", "label2id"):  # of a classifier; a dict of all is made
        fields.pop(key, None)
    family = fields.pop("model_type")
    try:
        settings = AutoConfig.for_model(family, **fields)
    except ValueError:
        near = difflib.get_close_matches(family, CONFIG_MAPPING.keys(), n=1)
        hint = f". Did you mean {near[0]!r}?" if near else ""
        raise DataError(f"transformers knows no model_type {family!r}{hint}") from None
    for key, values in _per_layer(settings, settings.num_hidden_layers).items():
        setattr(settings, key, values[: config.num_layers])
    settings.num_hidden_layers = config.num_layers
    return settings


def be_quiet() -> None:
    """Keep transformers' warnings and progress bars off the terminal."""
    from transformers.utils import logging  # noqa: PLC0415  (seconds)

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def original_settings(config: HubConfig) -> Mapping[str, Any]:
    """`config.json` as it came with the checkpoint."""
    fields: dict[str, Any] = json.loads(config.config)
    return fields


def _block_list(inner: nn.Module, num_layers: int) -> str:
    """The name of the one list of that many blocks, such as `model.layers`."""
    names = [
        name
        for name, module in inner.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == num_layers
    ]
    if len(names) != 1:
        raise DataError(
            f"{type(inner).__name__} has {len(names)} lists of {num_layers} blocks, not one: "
            "layers cannot be taken out of it"
        )
    return str(names[0])


def _per_layer(settings: Any, num_layers: int) -> dict[str, list[Any]]:
    """The lists of a config that have a value per layer, by name."""
    return {
        key: list(values)
        for key, values in vars(settings).items()
        if key in PER_LAYER and isinstance(values, list) and len(values) == num_layers
    }


def _block_mask(mask: Tensor | None, inputs_BTD: Tensor) -> Tensor:
    """The additive mask [·, 1, T, T] for a block that was called with `mask`; None: causal."""
    length = inputs_BTD.shape[1]
    if mask is None:
        mask = inputs_BTD.new_ones(length, length, dtype=torch.bool).tril()[None, None]
    return mask if mask.dtype != torch.bool else _additive(mask, inputs_BTD.dtype)


def _additive(visible: Tensor, dtype: torch.dtype) -> Tensor:
    """The same mask, to be added to attention scores."""
    zeros = torch.zeros_like(visible, dtype=dtype)
    return zeros.masked_fill(~visible, torch.finfo(dtype).min)
