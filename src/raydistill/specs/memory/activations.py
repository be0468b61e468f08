"""The bytes of activations that a token keeps in a block for the backward pass.

Sums over the tensors that autograd saves, each storage once (`torch.autograd.graph.
saved_tensors_hooks` counts the same, and a test compares). With d the width, H the heads, F the
units of a feed-forward, in float32 numbers a token:

    palm     x d, norm d, fused projection 7d, rotated q and k 2d, attended d, silu 2d, both
             halves 3d: 17d
    encoder  x d, q k v 3d, attended d, sums and norms 3d, feed-forward 2F: 8d + 2F
    hub      residual, norm and its product twice 6d, q and attended 2q, k and v 2k, and of a gated
             feed-forward gate, up, silu and their product 4F: Llama's; about the same elsewhere

besides one number a head and two a norm. It is the count of Korthikanti et al. (2022, section 4),
without dropout, and without a matrix of attention, which flash kernels do not keep. A frozen block
keeps no inputs of products. Under autocast to bfloat16 the residual stays float32, and on a GPU
norms read float32 copies.
"""

import json
from dataclasses import dataclass

from raydistill.specs.flops import block_sizes
from raydistill.specs.model import BlockSizes, FactorisedConfig, HubConfig, ModelConfig, text_fields

FLOAT, HALF = 4, 2  # bytes
_UNGATED = (
    "bloom", "codegen", "falcon", "gpt2", "gpt_bigcode", "gpt_neo", "gpt_neox", "gptj", "mpt",
    "opt", "phi", "starcoder2", "xglm",
)  # fmt: skip
_NORMED_QUERIES = "gemma3", "olmo2", "olmo3", "qwen3"  # and keys
_CAPPED = 3  # matrices of attention whose scores have a cap: those, capped, their softmax


@dataclass(frozen=True, kw_only=True, slots=True)
class Numerics:
    """In what numbers a trial computes, and where."""

    precision: str  # of the recipe
    on_cpu: bool
    half_weights: bool = False  # in bfloat16: then the residual is, which norms on a GPU copy

    @property
    def is_mixed(self) -> bool:
        """Whether products are in bfloat16."""
        return self.precision == "bfloat16"

    @property
    def residual_size(self) -> int:
        """Bytes of a number between blocks."""
        return HALF if self.half_weights and self.on_cpu else FLOAT

    @property
    def size(self) -> int:
        """Bytes of a number that a product gives, such as a logit."""
        return HALF if self.is_mixed else FLOAT


def block_bytes(model: ModelConfig, layer: int, numerics: Numerics, *, frozen: bool = False) -> int:
    """What a token keeps in a block until its backward pass, in bytes."""
    d, statistics = model.dim, FLOAT * (model.num_heads + 6)
    if isinstance(model, HubConfig):
        return _hub_bytes(model, block_sizes(model)[layer], numerics, frozen) + statistics
    on_gpu = not numerics.on_cpu
    if isinstance(model, FactorisedConfig):
        numbers = 8 * d + 2 * model.feed_forward - frozen * (2 * d + model.feed_forward)
        floats = numerics.is_mixed and on_gpu and 2 * d  # the sums that norms read
        return numerics.size * (numbers + floats) + statistics
    numbers = 17 * d - frozen * 4 * d
    floats = numerics.is_mixed and on_gpu and 4 * d  # what norms of q, k read
    residual = (numerics.residual_size - numerics.size) * d
    return numerics.size * (numbers + floats) + residual + statistics


def _hub_bytes(model: HubConfig, block: BlockSizes, numerics: Numerics, frozen: bool) -> int:
    width, d = block.attention_width, model.dim
    fields = text_fields(json.loads(model.config))
    kind = str(fields.get("model_type"))
    heads, shared = (fields.get(n) for n in ("num_attention_heads", "num_key_value_heads"))
    is_shared = isinstance(heads, int) and isinstance(shared, int) and 0 < shared < heads
    keys = width * shared // heads if is_shared else width  # type: ignore[operator]
    inner = max(0, block.products - 2 * d * (width + keys)) // d  # 3F of a gated one, else 2F
    is_gated = kind not in _UNGATED
    fed = inner * 4 // 3 if is_gated else inner
    activations = fields.get("hidden_act"), fields.get("activation_function")
    if "gelu_new" in activations:
        fed = inner * 9 // 4  # written out in products and powers
    elif "relu" in activations and not is_gated:
        fed = inner // 2  # what it gives is what it keeps
    residual = (3 if not is_gated else 8 if kind.startswith("gemma") else 4) * d
    attended = 2 * (width + keys) * (2 if kind.startswith(_NORMED_QUERIES) else 1)
    if fields.get("attn_logit_softcapping"):  # no flash kernel
        attended += _CAPPED * model.num_heads * model.context
    less = frozen * (2 * d + inner // (3 if is_gated else 2))
    return numerics.residual_size * residual + numerics.size * (2 * d + attended + fed - less)


def ends_bytes(model: ModelConfig, numerics: Numerics, read_share: float = 1.0) -> int:
    """What a token keeps before the blocks and after them, without logits.

    Args:
        model: its shape.
        numerics: of the trial.
        read_share: of a window's tokens, those that the head reads.
    """
    d, size = model.dim, numerics.size
    if isinstance(model, FactorisedConfig):
        before = (FLOAT + size) * model.embedding + FLOAT * d
        return before + round(read_share * 4 * size * d)
    norms = 2 if isinstance(model, HubConfig) else 1
    return FLOAT * norms * d + round(read_share * size * d) + 2 * FLOAT + 8


def passing_bytes(model: ModelConfig, numerics: Numerics) -> int:
    """What a token holds in a block without gradients, at the most: about half of what it keeps."""
    return max(block_bytes(model, n, numerics) for n in range(model.num_layers)) * 3 // 4


def cast_bytes(parameters_in_products: int, numerics: Numerics) -> int:
    """The copies of weights in bfloat16 that autocast makes, kept for the backward pass."""
    return HALF * parameters_in_products if numerics.is_mixed else 0
