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

in the PaLM family; blocks of other families give the size of their matrices and the width of
their attention (`HubConfig`).

So a frozen block costs 4 FLOPs a parameter, not 6: gradients still pass through it, and even
the first block needs its input's gradient, because the embedding always learns. Attention
counts the whole T × T square, which the MATH backend computes.
"""

import itertools
from collections.abc import Sequence

from raydistill.specs.model import HubConfig, ModelConfig
from raydistill.specs.trial import DropPlan, Recipe


def block_parameters(dim: int) -> int:
    """Parameters of a PaLM block: two fused projections with bias, three LayerNorms.

    >>> block_parameters(1024)
    10500096
    """
    fused_in = dim * 7 * dim + 7 * dim
    fused_out = 3 * dim * dim + dim
    norms = 3 * 2 * dim
    return fused_in + fused_out + norms


def parameters(model: ModelConfig, removed: int = 0) -> int:
    """Parameters of `model` once `removed` of its blocks have left.

    >>> paper = ModelConfig(
    ...     family="palm", num_layers=24, dim=1024, num_heads=16, vocab_size=50_304, context=2048
    ... )
    >>> parameters(paper), parameters(paper, removed=12)
    (303515648, 177514496)
    """
    num_blocks = model.num_layers - removed
    if isinstance(model, HubConfig):
        return model.other_parameters + num_blocks * model.block_parameters
    return model.vocab_size * model.dim + num_blocks * block_parameters(model.dim) + 2 * model.dim


def _block_flops(model: ModelConfig) -> tuple[int, int]:
    """FLOPs of one token's forward pass through a block: projections, and attention."""
    if isinstance(model, HubConfig):
        return 2 * model.block_products, 4 * model.context * model.attention_width
    return 20 * model.dim**2, 4 * model.context * model.dim


def paper_flops(
    model: ModelConfig, plan: DropPlan, recipe: Recipe, teachers: Sequence[ModelConfig] = ()
) -> int:
    """The paper's rule: 6 · parameters left · budget, and 2 · a teacher's (Table 4)."""
    student = 6 * parameters(model, removed=len(plan.drops)) * recipe.budget_tokens
    return student + sum(2 * parameters(teacher) * recipe.budget_tokens for teacher in teachers)


def exact_flops(
    model: ModelConfig, plan: DropPlan, recipe: Recipe, teachers: Sequence[ModelConfig] = ()
) -> int:
    """Every matrix product of a training, warm phase and gaps included.

    A layer of the plan is frozen from the start and costs until it leaves. A teacher costs a
    forward pass per token of the budget; the warm phase has none.
    """
    times = sorted({0, recipe.total_tokens, *(drop.at_tokens for drop in plan.drops)})
    learning = model.num_layers - len(plan.drops)
    flops = sum(forward_flops_per_token(teacher) * recipe.budget_tokens for teacher in teachers)
    for start, end in itertools.pairwise(times):
        frozen = len(plan.drops) - len(plan.due(start))
        flops += (end - start) * training_flops_per_token(model, learning=learning, frozen=frozen)
    return flops


def training_flops_per_token(model: ModelConfig, *, learning: int, frozen: int) -> int:
    """FLOPs of one token, forward and backward, through the blocks and the head."""
    projections, attention = _block_flops(model)
    head = 2 * model.vocab_size * model.dim
    blocks = learning + frozen
    forward = blocks * (projections + attention) + head
    by_input = blocks * (projections + 2 * attention) + head
    by_weights = learning * projections + head
    return forward + by_input + by_weights


def equal_flops_share(student: ModelConfig, removed: int, teacher: ModelConfig) -> float:
    """The share of a teacher-free budget that KD trains on for the same FLOPs (METHOD 7).

    By the paper's rule: 6·N_student / (6·N_student + 2·N_teacher).
    """
    student_flops = 6 * parameters(student, removed)
    return student_flops / (student_flops + 2 * parameters(teacher))


def gap_cost_tokens(model: ModelConfig, count: int, gap_tokens: int) -> float:
    """The tokens of healing that cost as much as the gaps do, by the exact rule.

    The i-th block to leave, from 0, stays frozen for i gaps.
    """
    student = training_flops_per_token(model, learning=model.num_layers - count, frozen=0)
    with_one = training_flops_per_token(model, learning=model.num_layers - count, frozen=1)
    return gap_tokens * count * (count - 1) / 2 * (with_one - student) / student


def forward_flops_per_token(model: ModelConfig) -> int:
    """FLOPs of one token through the whole model without gradients, as in a teacher."""
    return model.num_layers * sum(_block_flops(model)) + 2 * model.vocab_size * model.dim
