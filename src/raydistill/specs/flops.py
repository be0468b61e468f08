"""Parameters and FLOPs of a decoder in closed form (METHOD 2).

Two rules. The paper's: 6 FLOPs a parameter and token, for the student and its budget alone.
The exact one counts every matrix product of training, as torch's `FlopCounterMode` does under
the MATH attention backend (2·m·n·k for each product; nothing for norms, activations, rotary
positions, softmax, the embedding's look-up, the loss and the optimizer). With d the width, T the
context and V the vocabulary, a token costs

    part                               forward       by its input     by its weights
    fused projections of a block       20·d²         20·d²            20·d², if not frozen
    attention of a block (QKᵀ, AV)     4·T·d         8·T·d            –
    head                               2·V·d         2·V·d            2·V·d

in the PaLM family; of a masked model the head reads the masked tokens alone. A `FactorisedConfig`
of hidden width d, with embeddings of width e and feed-forward f, has 8·d² + 4·d·f for the
projections of a block; besides, e·d before the blocks and d² in the head cost as the head does.
Blocks of the hub give the size of their matrices and the width of their attention (`HubConfig`).
Of a mixture of experts both rules count those that a token goes
to. Of a recurrence (Mamba, linear attention) the projections and convolutions are counted, and
what it does with its state is not.

So a frozen block costs 4 FLOPs a parameter, not 6: gradients still pass through it, and even
the first block needs its input's gradient, because the embedding always learns. Attention
counts the whole T × T square, which the MATH backend computes.

Where blocks differ, sums are over those that stay. What is asked by a count of them is about:
so many mean blocks.
"""

import itertools
from collections.abc import Collection, Sequence
from dataclasses import fields, replace

from raydistill.specs.model import (
    BlockSizes,
    FactorisedConfig,
    HubConfig,
    MixedHubConfig,
    ModelConfig,
    routed_experts,
    router_buffers,
)
from raydistill.specs.trial import DropPlan, Recipe

Blocks = Collection[int] | int  # their numbers, or how many


def block_parameters(dim: int) -> int:
    """Parameters of a PaLM block: two fused projections with bias, three LayerNorms.

    >>> block_parameters(1024)
    10500096
    """
    fused_in = dim * 7 * dim + 7 * dim
    fused_out = 3 * dim * dim + dim
    norms = 3 * 2 * dim
    return fused_in + fused_out + norms


def block_sizes(model: ModelConfig) -> tuple[BlockSizes, ...]:
    """The size of every block of a model."""
    if isinstance(model, MixedHubConfig):
        return model.blocks
    if isinstance(model, HubConfig):
        size, experts = model.block_parameters - router_buffers(model), routed_experts(model)
        alike = BlockSizes(
            parameters=size,
            active=size - experts.idle,
            products=model.block_products - sum(experts),
            attention_width=model.attention_width,
        )
    elif isinstance(model, FactorisedConfig):
        h, f = model.dim, model.feed_forward
        products = 4 * h * h + 2 * h * f
        size = products + 4 * h + (f + h) + 2 * 2 * h  # biases, and those of two LayerNorms
        alike = BlockSizes(parameters=size, active=size, products=products, attention_width=h)
    else:
        size = block_parameters(model.dim)
        alike = BlockSizes(
            parameters=size, active=size, products=10 * model.dim**2, attention_width=model.dim
        )
    return (alike,) * model.num_layers


def of_mean_blocks(model: ModelConfig) -> ModelConfig:
    """The model with blocks of their mean size, for when it is not known which of them leave."""
    if not isinstance(model, MixedHubConfig):
        return model
    names = [field.name for field in fields(BlockSizes)]
    sums = {name: [getattr(block, name) for block in model.blocks] for name in names}
    mean = BlockSizes(**{name: sum(values) // len(model.blocks) for name, values in sums.items()})
    return replace(model, blocks=(mean,) * len(model.blocks))


def parameters(model: ModelConfig, removed: Blocks = 0) -> int:
    """Parameters of `model` once these blocks have left; of a count, about, where they differ.

    >>> paper = ModelConfig(
    ...     family="palm", num_layers=24, dim=1024, num_heads=16, vocab_size=50_304, context=2048
    ... )
    >>> parameters(paper), parameters(paper, removed=12), parameters(paper, removed=range(1, 13))
    (303515648, 177514496, 177514496)
    """
    sizes = [block.parameters + block.tables for block in block_sizes(model)]
    return _other_parameters(model) + sum(sizes) - _sum(sizes, removed)


def active_parameters(model: ModelConfig, removed: Blocks = 0) -> int:
    """Those of `parameters` that a token of text uses: fewer in a mixture of experts."""
    sizes = [block.active + block.tables for block in block_sizes(model)]
    towers = model.towers if isinstance(model, MixedHubConfig) else 0
    return _other_parameters(model) - towers + sum(sizes) - _sum(sizes, removed)


def _other_parameters(model: ModelConfig) -> int:
    if isinstance(model, HubConfig):
        return model.other_parameters
    if isinstance(model, FactorisedConfig):
        e, h = model.embedding, model.dim
        return vocabulary_parameters(model) + 2 * e + (e * h + 3 * h) + (h * h + 3 * h)
    return vocabulary_parameters(model) + 2 * model.dim


def vocabulary_parameters(model: ModelConfig) -> int:
    """The embeddings, and what gives the logits where they do not: a matrix and its biases."""
    v = model.vocab_size
    if isinstance(model, FactorisedConfig):
        rows = v + model.positions + model.types
        return rows * model.embedding + model.dim * v + v
    return v * model.dim


def _sum(sizes: Sequence[int], blocks: Blocks) -> int:
    """The sum over blocks; of so many of mean size, if a count is given."""
    if not isinstance(blocks, int):
        return sum(sizes[block] for block in blocks)
    return sum(sizes) * blocks // len(sizes) if sizes else 0


def _projections(model: ModelConfig, blocks: Blocks) -> int:
    """FLOPs of one token's forward pass through the matrices of blocks."""
    return _sum([2 * (b.products + b.tables_products) for b in block_sizes(model)], blocks)


def _attention(model: ModelConfig, blocks: Blocks) -> int:
    """FLOPs of one token's forward pass through the attention of blocks."""
    return _sum([4 * model.context * b.attention_width for b in block_sizes(model)], blocks)


def _head(model: ModelConfig) -> int:
    """FLOPs of one token's forward pass through the head."""
    inner = model.dim**2 if isinstance(model, FactorisedConfig) else 0
    return 2 * (model.vocab_size * model.dim + inner)


def _ends(model: ModelConfig) -> int:
    """FLOPs of one token's forward pass through the matrices before and after the blocks."""
    before = model.embedding * model.dim if isinstance(model, FactorisedConfig) else 0
    return 2 * before + _head(model)


def paper_flops(
    model: ModelConfig, plan: DropPlan, recipe: Recipe, teachers: Sequence[ModelConfig] = ()
) -> int:
    """The paper's rule: 6 · parameters left · budget, and 2 · a teacher's (Table 4)."""
    student = 6 * active_parameters(model, removed=plan.layers) * recipe.budget_tokens
    return student + sum(2 * active_parameters(t) * recipe.budget_tokens for t in teachers)


def exact_flops(
    model: ModelConfig,
    plan: DropPlan,
    recipe: Recipe,
    teachers: Sequence[ModelConfig] = (),
    mask_share: float = 0.0,
) -> int:
    """Every matrix product of a training, warm phase and gaps included.

    A layer of the plan is frozen from the start and costs until it leaves. A teacher costs a
    forward pass per token of the budget; the warm phase has none.

    Args:
        model: of the base.
        plan: which layers leave, and when.
        recipe: of the training.
        teachers: that answer beside it.
        mask_share: of a window's tokens, those that the head reads; 0: all.
    """
    times = sorted({0, recipe.total_tokens, *(drop.at_tokens for drop in plan.drops)})
    learning = [layer for layer in range(model.num_layers) if layer not in plan.layers]
    flops = sum(forward_flops_per_token(teacher) * recipe.budget_tokens for teacher in teachers)
    for start, end in itertools.pairwise(times):
        frozen = set(plan.layers) - set(plan.due(start))
        flops += (end - start) * training_flops_per_token(model, learning=learning, frozen=frozen)
    return flops - masked_head_saving(model, recipe.total_tokens, mask_share)


def masked_tokens(context: int, mask_share: float) -> int:
    """The masked tokens of a window; all, of a model that masks none.

    >>> masked_tokens(128, 0.15), masked_tokens(128, 0)
    (19, 128)
    """
    return round(mask_share * context) if mask_share else context


def masked_head_saving(model: ModelConfig, tokens: int, mask_share: float) -> int:
    """FLOPs of the head that a training spares, which asks for masked tokens alone."""
    unread = model.context - masked_tokens(model.context, mask_share)
    return 3 * _head(model) * (tokens * unread // model.context)


def training_flops_per_token(model: ModelConfig, *, learning: Blocks, frozen: Blocks) -> int:
    """FLOPs of one token, forward and backward, through the blocks and the head."""
    learn, freeze = _projections(model, learning), _projections(model, frozen)
    attention = _attention(model, learning) + _attention(model, frozen)
    head = _ends(model)
    forward = learn + freeze + attention + head
    by_input = learn + freeze + 2 * attention + head
    by_weights = learn + head
    return forward + by_input + by_weights


def equal_flops_share(student: ModelConfig, removed: Blocks, teacher: ModelConfig) -> float:
    """The share of a teacher-free budget that KD trains on for the same FLOPs (METHOD 7).

    By the paper's rule: 6·N_student / (6·N_student + 2·N_teacher).
    """
    student_flops = 6 * active_parameters(student, removed)
    return student_flops / (student_flops + 2 * active_parameters(teacher))


def gap_cost_tokens(model: ModelConfig, count: int, gap_tokens: int) -> float:
    """The tokens of healing that cost as much as the gaps do, by the exact rule.

    The i-th block to leave, from 0, stays frozen for i gaps. Where blocks differ: about.
    """
    student = training_flops_per_token(model, learning=model.num_layers - count, frozen=0)
    with_one = training_flops_per_token(model, learning=model.num_layers - count, frozen=1)
    return gap_tokens * count * (count - 1) / 2 * (with_one - student) / student


def forward_flops_per_token(model: ModelConfig, removed: Collection[int] = ()) -> int:
    """FLOPs of one token through the blocks that stay and the head, without gradients."""
    stay = [layer for layer in range(model.num_layers) if layer not in removed]
    return _projections(model, stay) + _attention(model, stay) + _ends(model)
