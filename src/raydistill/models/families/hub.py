"""Decoders of the Hugging Face world: any of transformers that is a plain list of equal blocks.

The stock model does the work. What is added here is what removing blocks has to mend: every
module's `layer_idx`, `num_hidden_layers`, and whatever the config keeps per layer.
"""

import copy
import difflib
import functools
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from raydistill.core.errors import DataError
from raydistill.models.attention import has_flash_attn
from raydistill.models.decoder import Decoder, WatchBlock
from raydistill.specs.model import HubConfig, ModelConfig

_log = logging.getLogger(__name__)

_TINY = 1e-30  # below any share of attention that float32 can tell from none


class HubDecoder(Decoder):
    """A transformers model behind the names that everything here calls a decoder by.

    Attributes:
        inner: the stock model, always one that `save_pretrained` writes as it stands.
    """

    config: HubConfig

    def __init__(self, config: HubConfig, inner: nn.Module) -> None:
        super().__init__(config)
        self.inner: Any = inner
        self._list = _block_list(inner, config.num_layers)
        self._base: tuple[nn.Module, ...] = tuple(inner.get_submodule(self._list).children())
        self._per_layer = _per_layer(inner.config, config.num_layers)
        self._called_with: dict[int, dict[str, Any]] = {}
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
        """What the config keeps for each layer, of those that are left."""
        layers = [self._base.index(block) for block in self.blocks]
        return {key: [values[layer] for layer in layers] for key, values in self._per_layer.items()}

    def hidden(
        self,
        tokens_BT: Tensor,
        positions_BT: Tensor | None = None,
        visible_BTT: Tensor | None = None,
    ) -> Tensor:
        told: dict[str, Tensor] = {}
        if positions_BT is not None:
            told["position_ids"] = positions_BT
        if visible_BTT is not None:
            mask = visible_BTT[:, None]
            adds = self.inner.config._attn_implementation == "eager"  # Gemma 2
            told["attention_mask"] = _added(mask, self.inner.dtype) if adds else mask
        found: Tensor = self.inner.base_model(tokens_BT, use_cache=False, **told)[0]
        return found

    @property
    def mask_reach(self) -> int:
        window = getattr(self.inner.config, "sliding_window", None) or self.config.context
        return min(int(window), self.config.context)

    @torch.inference_mode()
    def generate(
        self, tokens_BT: Tensor, max_new_tokens: int, ended: Callable[[list[int]], bool]
    ) -> list[list[int]]:
        """As every decoder; keys and values of what was read are kept."""
        new: list[list[int]] = [[] for _ in tokens_BT]
        over = [False] * len(new)
        kept, feed_BT = None, tokens_BT
        with self.evaluating():
            for _ in range(max_new_tokens):
                read = self.inner.base_model(feed_BT, past_key_values=kept, use_cache=True)
                kept = read.past_key_values
                feed_BT = self.head(read[0][:, -1]).argmax(dim=-1, keepdim=True)
                for row, token in enumerate(feed_BT.flatten().tolist()):
                    if not over[row]:
                        new[row].append(token)
                        over[row] = ended(new[row])
                if all(over):
                    break
        return new

    def head(self, hidden_D: Tensor) -> Tensor:
        logits: Tensor = self.inner.get_output_embeddings()(hidden_D)
        cap = getattr(self.inner.config, "final_logit_softcapping", None)
        return logits if cap is None else cap * torch.tanh(logits / cap)

    @contextmanager
    def watching_blocks(self, watch: WatchBlock) -> Iterator[None]:
        """As every decoder; what a block is called with besides is kept for `attention`."""

        def hook(position: int) -> Callable[..., None]:
            def seen(
                _block: nn.Module, inputs: tuple[Tensor, ...], named: dict[str, Any], output: Any
            ) -> None:
                self._called_with[position] = named
                out_BTD = output if isinstance(output, Tensor) else output[0]
                watch(position, inputs[0] if inputs else named["hidden_states"], out_BTD)

            return seen

        handles = [
            block.register_forward_hook(hook(i), with_kwargs=True)
            for i, block in enumerate(self.blocks)
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def attention(self, position: int, inputs_BTD: Tensor) -> Tensor:
        """See `Decoder`; after a forward pass that was watched, at the same length."""
        block, named = self.blocks[position], dict(self._called_with[position])
        named.pop("hidden_states", None)
        named["attention_mask"] = _additive(named.get("attention_mask"), inputs_BTD)
        (attention,) = (m for m in block.modules() if type(m).__name__.endswith("Attention"))
        found: list[Tensor] = []
        handle = attention.register_forward_hook(lambda _m, _i, output: found.append(output[1]))
        settings = self.inner.config
        usual, settings._attn_implementation = settings._attn_implementation, "eager"
        try:
            block(inputs_BTD, **named)
        finally:
            settings._attn_implementation = usual
            handle.remove()
        shares_BHTT = found[0].float()
        future_TT = torch.ones(shares_BHTT.shape[-2:], device=shares_BHTT.device).triu(1) > 0
        return shares_BHTT.clamp_min(_TINY).log().masked_fill(future_TT, 0.0)


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
    """That model's config as transformers has it: so many layers, and no dropout.

    flash-attn that is not installed is done without, and that is said.

    Raises:
        DataError: if transformers has no such family.
    """
    from transformers import CONFIG_MAPPING, AutoConfig  # noqa: PLC0415  (seconds)

    fields = json.loads(config.config)
    for key, value in fields.items():
        if isinstance(value, float) and ("drop" in key):
            fields[key] = 0.0
    for key in ("attn_implementation", "_attn_implementation"):
        if str(fields.get(key)).startswith("flash") and not has_flash_attn():
            _say_no_flash(fields.pop(key))
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


@functools.cache
def _say_no_flash(wanted: str) -> None:
    """Once."""
    _log.warning(
        '%s is not installed (pip install "raydistill[gpu]"): torch\'s own attention', wanted
    )


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
    """Where the blocks are, such as `model.layers`.

    Raises:
        DataError: if there is not exactly one list of so many blocks.
    """
    found = [
        name
        for name, module in inner.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == num_layers
    ]
    if len(found) != 1:
        raise DataError(
            f"{type(inner).__name__} has {len(found)} lists of {num_layers} blocks, not one: "
            "layers cannot be taken out of it"
        )
    return str(found[0])


def _per_layer(settings: Any, num_layers: int) -> dict[str, list[Any]]:
    """What a config keeps for each layer."""
    return {
        key: list(values)
        for key, values in copy.copy(vars(settings)).items()
        if isinstance(values, list) and len(values) == num_layers and key != "architectures"
    }


def _additive(mask: Tensor | None, inputs_BTD: Tensor) -> Tensor:
    """A mask that eager attention adds: what a block was told, or plain causal, [·, 1, T, T]."""
    length = inputs_BTD.shape[1]
    if mask is None:
        mask = inputs_BTD.new_ones(length, length, dtype=torch.bool).tril()[None, None]
    return mask if mask.dtype != torch.bool else _added(mask, inputs_BTD.dtype)


def _added(visible: Tensor, dtype: torch.dtype) -> Tensor:
    """What is added to scores so that only the visible count."""
    unseen = torch.zeros_like(visible, dtype=dtype)
    return unseen.masked_fill(~visible, torch.finfo(dtype).min)
