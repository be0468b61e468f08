"""Our own decoder in transformers: a config, a model class, and folders written and read.

    import raydistill.hf
    model = AutoModelForCausalLM.from_pretrained(folder)

Importing this registers the class; a folder holds no code. The shapes are those of
`models/families/palm.py`, and so are the logits, to the bit.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    DynamicCache,
    GenerationMixin,
    PretrainedConfig,
    PreTrainedModel,
    initialization,
)
from transformers.modeling_outputs import CausalLMOutputWithPast

from raydistill.core.errors import DataError
from raydistill.models.families.palm import JoinCache, Palm, rotary, without_cache
from raydistill.models.student import Student
from raydistill.specs.model import ModelConfig

MODEL_TYPE = "raydistill_palm"
_FIELDS = {  # ours → those of transformers
    "vocab_size": "vocab_size", "dim": "hidden_size", "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads", "context": "max_position_embeddings",
}  # fmt: skip


class PalmConfig(PretrainedConfig):  # type: ignore[misc]
    """The shape of a PaLM-style decoder (METHOD 2)."""

    model_type = MODEL_TYPE
    keys_to_ignore_at_inference: ClassVar[list[str]] = ["past_key_values"]

    vocab_size: int = 50_304
    hidden_size: int = 1024
    num_hidden_layers: int = 24
    num_attention_heads: int = 16
    max_position_embeddings: int = 2048
    tie_word_embeddings: bool = True
    use_cache: bool = True
    bos_token_id: int | None = None
    eos_token_id: int | None = 0
    pad_token_id: int | None = None

    @property
    def shape(self) -> ModelConfig:
        """The same as our own config."""
        fields = {ours: getattr(self, theirs) for ours, theirs in _FIELDS.items()}
        return ModelConfig(family="palm", **fields)


class PalmForCausalLM(PreTrainedModel, GenerationMixin):  # type: ignore[misc]
    """`Palm` with the interface of a causal language model in transformers."""

    config_class = PalmConfig
    base_model_prefix = "model"
    _no_split_modules: ClassVar[list[str]] = ["Block"]
    _supports_sdpa = True

    def __init__(self, config: PalmConfig) -> None:
        super().__init__(config)
        self.model = Palm(config.shape)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, Palm):  # its buffers are in no file
            shape = module.config
            tables = rotary(shape.context, shape.dim // shape.num_heads)
            for name, table_TK in zip(("cos_TK", "sin_TK"), tables, strict=True):
                initialization.copy_(module.get_buffer(name), table_TK)

    def get_input_embeddings(self) -> nn.Module:
        """The embedding, tied with the head."""
        return self.model.embedding

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """Use that embedding, also as the head."""
        self.model.embedding = value

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: DynamicCache | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int = 0,
        **_kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Logits [B, T, V], of the last `logits_to_keep` positions unless that is 0.

        Args:
            input_ids: int64 [B, T], following the tokens in the cache.
            attention_mask: [B, S], 0 where a token is padding; S includes the cached tokens.
            position_ids: int64 [B, T] in [0, context); by default consecutive.
            past_key_values: keys and values of earlier tokens, to which these are added.
            labels: int64 [B, T], the same tokens, −100 where none counts; gives a loss.
            use_cache: whether to start a cache if none is given.
            logits_to_keep: 0 for all.
        """
        if past_key_values is None and (self.config.use_cache if use_cache is None else use_cache):
            past_key_values = DynamicCache(config=self.config)
        past = past_key_values.get_seq_length() if past_key_values is not None else 0
        visible_BTS = _visible(input_ids, attention_mask, past)
        if position_ids is None:
            position_ids = torch.arange(past, past + input_ids.shape[1], device=input_ids.device)
        rotary_TK = tuple(
            self.model.get_buffer(name)[position_ids] for name in ("cos_TK", "sin_TK")
        )
        x_BTD = self.model.embedding(input_ids)
        for position, block in enumerate(self.model.blocks):
            x_BTD = block(x_BTD, rotary_TK, visible_BTS, _join(past_key_values, position))
        hidden_BTD = self.model.final_norm(x_BTD)[:, -logits_to_keep:]
        logits_BTV = self.model.head(hidden_BTD)
        loss = None
        if labels is not None:
            targets = labels[:, 1:].flatten()
            loss = F.cross_entropy(logits_BTV[:, :-1].flatten(0, 1).float(), targets)
        return CausalLMOutputWithPast(loss, logits_BTV, past_key_values)


def _visible(tokens_BT: Tensor, mask_BS: Tensor | None, past: int) -> Tensor | None:
    """Whether position t sees s, bool [B, T, S]; None where attention is plainly causal."""
    no_padding = mask_BS is None or bool(mask_BS.all())
    if no_padding and not past:
        return None
    batch, length = tokens_BT.shape
    total = past + length
    causal_TS = torch.ones(length, total, dtype=torch.bool, device=tokens_BT.device).tril(past)
    if no_padding or mask_BS is None:
        return causal_TS.expand(batch, -1, -1)
    own_TS = torch.eye(total, dtype=torch.bool, device=tokens_BT.device)[past:]
    return causal_TS & mask_BS[:, None].bool() | own_TS


def _join(cache: DynamicCache | None, position: int) -> JoinCache:
    """Adds a block's keys and values to the cache, which has heads before positions."""
    if cache is None:
        return without_cache

    def join(key_BTHK: Tensor, value_BTHK: Tensor) -> tuple[Tensor, Tensor]:
        pair = cache.update(key_BTHK.transpose(1, 2), value_BTHK.transpose(1, 2), position)
        key_BHTK, value_BHTK = pair
        return key_BHTK.transpose(1, 2), value_BHTK.transpose(1, 2)

    return join


def stock_model(student: Student, end_of_text_id: int) -> PalmForCausalLM:
    """A student of our own family in transformers, its blocks renumbered from 0."""
    palm = student.model
    assert isinstance(palm, Palm), palm
    shape = replace(palm.config, num_layers=len(palm.blocks))
    fields = {theirs: getattr(shape, ours) for ours, theirs in _FIELDS.items()}
    model = PalmForCausalLM(PalmConfig(**fields, eos_token_id=end_of_text_id)).eval()
    model.model.load_state_dict(palm.state_dict())
    return cast(PalmForCausalLM, model)


def read_palm(folder: Path) -> tuple[Palm, Mapping[str, Any]]:
    """The decoder in a folder that a `stock_model` was saved to, and transformers' loading info.

    Raises:
        DataError: if transformers cannot load it.
    """
    try:
        stock, loading_info = PalmForCausalLM.from_pretrained(
            folder,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
        )
    except Exception as error:  # transformers raises OSError, ValueError, RuntimeError and more
        why = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise DataError(f"{folder} cannot be loaded: {why}") from error
    palm: Palm = stock.model
    return palm, loading_info


AutoConfig.register(MODEL_TYPE, PalmConfig)

AutoModelForCausalLM.register(PalmConfig, PalmForCausalLM)
