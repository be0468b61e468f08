"""Decoders of transformers: any model that is a list of blocks.

The stock model does the work. What removing blocks must correct in it is in
`models/huggingface/surgery/`.
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
from raydistill.models.huggingface.surgery.finding import WINDOWS, depth_fields, language_part
from raydistill.models.huggingface.surgery.layer_fields import fields_without
from raydistill.models.huggingface.surgery.live_model import LiveModel, handing_over
from raydistill.specs.model import HubConfig, ModelConfig

_MIN_WEIGHT = 1e-30  # of attention, below which float32 cannot tell it from none

_LARGE_LOGIT = 100.0


class HubDecoder(Decoder):
    """A transformers model as a `Decoder`.

    Attributes:
        inner: the stock model, always in a state that `save_pretrained` can write.
    """

    config: HubConfig

    def __init__(self, config: HubConfig, inner: nn.Module) -> None:
        super().__init__(config)
        self.inner: Any = inner
        self.layers = LiveModel(inner, config.num_layers)
        self._block_arguments: dict[int, dict[str, Any]] = {}
        self.use_blocks(self.layers.blocks)
        self._head_is_product = self._is_product()
        if self.layers.part:
            self._freeze_what_is_no_text()

    def use_blocks(self, blocks: Sequence[nn.Module] | nn.ModuleList) -> None:
        super().use_blocks(blocks)
        self.layers.keep(self.blocks)

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
            eager = self.layers.settings._attn_implementation == "eager"  # Gemma 2
            arguments["attention_mask"] = _additive(mask, self.inner.dtype) if eager else mask
        hidden_BTD: Tensor = self.layers.body(tokens_BT, use_cache=False, **arguments)[0]
        return hidden_BTD

    @property
    def mask_reach(self) -> int:
        if not self._takes_masks:
            return 0
        fields = (getattr(self.layers.settings, name, None) for name in WINDOWS)
        windows = (window for window in fields if isinstance(window, int) and window > 0)
        return min([*windows, self.config.max_length])

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
            except Exception:  # noqa: BLE001  (of any kind, from transformers or torch)
                return False
        return _is_close(row_BD, expected_BD, self.inner.dtype)

    @functools.cached_property
    def _has_cache(self) -> bool:
        """Whether the model goes on from what it read before, as if it read both at once."""
        body, tokens_BT = self.layers.body, torch.tensor([[0, 1, 2, 3]])
        tokens_BT = tokens_BT.to(next(self.parameters()).device)
        with self.evaluating(), torch.inference_mode():
            expected_BD = self.hidden(tokens_BT)[:, -1].float()
            try:
                first = body(tokens_BT[:, :3], use_cache=True)
                cache = {"past_key_values": first.past_key_values, "use_cache": True}
                last_BD = body(tokens_BT[:, 3:], **cache)[0][:, -1].float()
            except Exception:  # noqa: BLE001  (of any kind, from transformers or torch)
                return False
        return _is_close(last_BD, expected_BD, self.inner.dtype)

    def _freeze_what_is_no_text(self) -> None:
        modules = self.layers.body, self.inner.get_output_embeddings()
        learning = {id(p) for module in modules for p in module.parameters()}
        for parameter in self.inner.parameters():
            parameter.requires_grad_(id(parameter) in learning)

    @functools.cached_property
    def leaves_unused(self) -> bool:
        """Whether a step may leave a parameter without a gradient, as an expert nobody asked."""
        tokens_BT = torch.zeros(1, 1, dtype=torch.long, device=next(self.parameters()).device)
        learning = [p for p in self.parameters() if p.requires_grad]
        total = self(tokens_BT).float().sum()
        return any(g is None for g in torch.autograd.grad(total, learning, allow_unused=True))

    @torch.inference_mode()
    def generate(
        self, tokens_BT: Tensor, max_new_tokens: int, ended: Callable[[list[int]], bool]
    ) -> list[list[int]]:
        """See `Decoder`; with a cache of keys and values where the model has one."""
        if not self._has_cache:
            return super().generate(tokens_BT, max_new_tokens, ended)
        new: list[list[int]] = [[] for _ in tokens_BT]
        is_open = [True] * len(new)
        cache, next_BT = None, tokens_BT
        with self.evaluating():
            for _ in range(max_new_tokens):
                output = self.layers.body(next_BT, past_key_values=cache, use_cache=True)
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
        if not self._head_is_product:
            return self._stock_head(hidden_D)
        logits: Tensor = self.inner.get_output_embeddings()(hidden_D)
        cap = getattr(self.layers.settings, "final_logit_softcapping", None)
        return logits if cap is None else cap * torch.tanh(logits / cap)

    def _stock_head(self, hidden_D: Tensor) -> Tensor:
        """What the stock model makes of hidden states that its body hands over."""
        states_BTD = hidden_D.reshape(1, -1, hidden_D.shape[-1])
        tokens_BT = torch.zeros(states_BTD.shape[:2], dtype=torch.long, device=hidden_D.device)
        with handing_over(self.layers.body, states_BTD):
            logits_BTV = self.inner(input_ids=tokens_BT, use_cache=False).logits
        logits_V: Tensor = logits_BTV.reshape(*hidden_D.shape[:-1], -1)
        return logits_V

    @torch.no_grad()
    def _is_product(self) -> bool:
        """Whether the head is a product with the hidden state, perhaps capped, and no more."""
        self._head_is_product = True
        weight_VD = getattr(self.inner.get_output_embeddings(), "weight", None)
        if weight_VD is None or weight_VD.shape[-1] != self.config.dim:
            return False
        hidden_BTD = torch.linspace(-1, 1, self.config.dim)[None, None].to(weight_VD)
        largest = (hidden_BTD @ weight_VD.T).abs().max().clamp_min(_MIN_WEIGHT)
        hidden_BTD = hidden_BTD * (_LARGE_LOGIT / largest)  # where a cap tells
        return _is_close(self.head(hidden_BTD), self._stock_head(hidden_BTD), weight_VD.dtype)

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
        named = [m for m in block.modules() if type(m).__name__.endswith("Attention")]
        if len(named) != 1:
            raise DataError(
                f"block {position} of a {self.inner.config.model_type!r} has {len(named)} "
                "attentions, not one: its weights cannot be compared"
            )
        (attention,) = named
        weights: list[Tensor] = []
        handle = attention.register_forward_hook(lambda _m, _i, output: weights.append(output[1]))
        settings = self.layers.settings
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
        DataError: if transformers has no such family, or its blocks are no list.
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
    from transformers import CONFIG_MAPPING  # noqa: PLC0415  (seconds)

    fields = _without_dropout(json.loads(config.config))
    for key in ("attn_implementation", "_attn_implementation"):
        if lacks_flash_attn(fields.get(key)):
            del fields[key]
    for key in ("num_labels", "id2label", "label2id"):  # of a classifier; a dict of all is made
        fields.pop(key, None)
    family = fields["model_type"]
    if family not in CONFIG_MAPPING:
        near = difflib.get_close_matches(family, CONFIG_MAPPING.keys(), n=1)
        hint = f". Did you mean {near[0]!r}?" if near else ""
        raise DataError(f"transformers knows no model_type {family!r}{hint}")
    try:
        settings = CONFIG_MAPPING[family].from_dict(fields)
    except Exception as error:
        why = " ".join(str(error).split())
        raise DataError(f"this config.json of a {family!r} cannot be loaded: {why}") from error
    part_name, depth = language_part(family, settings)
    part = getattr(settings, part_name) if part_name else settings
    if (count := getattr(part, depth)) != config.num_layers:
        kept = range(config.num_layers)
        changed = fields_without(part.to_dict(), count, kept)
        for key, value in (changed | depth_fields(part, depth, len(kept))).items():
            setattr(part, key, value)
    return settings


def _without_dropout(value: Any, name: str = "") -> Any:
    """A config.json's values with every probability of dropout 0, those of its parts too."""
    if isinstance(value, list):
        return [_without_dropout(more) for more in value]
    if isinstance(value, dict):
        if value.keys() == {"__float__"}:  # transformers' form of an infinite number
            return float(value["__float__"])
        return {key: _without_dropout(more, key) for key, more in value.items()}
    return 0.0 if isinstance(value, float) and "drop" in name else value


def be_quiet() -> None:
    """Keep transformers' warnings and progress bars off the terminal."""
    from transformers.utils import logging  # noqa: PLC0415  (seconds)

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def original_settings(config: HubConfig) -> Mapping[str, Any]:
    """`config.json` as it came with the checkpoint."""
    fields: dict[str, Any] = json.loads(config.config)
    return fields


def _is_close(one: Tensor, other: Tensor, dtype: torch.dtype) -> bool:
    """Whether both are the same, but for the rounding of `dtype`."""
    tolerance = max(1e-4, 8 * torch.finfo(dtype).eps) * other.float().abs().max()
    return bool((one.float() - other.float()).abs().max() <= tolerance)


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
