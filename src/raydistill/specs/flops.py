"""Parameters and FLOPs of a decoder, counted with pencil and paper (METHOD 2).

Two rules. The paper's: 6 FLOPs a parameter and token, for the student and its budget alone.
The exact one counts every matrix product of training, as torch's `FlopCounterMode` does under
the MATH attention backend (2·m·n·k for each product; nothing for norms, activations, rotary
positions, softmax, the embedding's look-up, the loss and the optimizer). With d the width, T the
context and V the vocabulary, a token costs

    part                               forward       by its input     by its weights
    fused projections of a block       20·d²         20·d²            20·d², if not frozen
    attention of a block (QKᵀ, AV)     4·T·d         8·T·d            –
    head                               2·V·d         2·V·d            2·V·d

in our own model; a block of another family has its own number of weights in products, and its
heads together their own width.

A frozen block so costs 4 FLOPs a parameter, not 6: gradients still pass through it, and even
the first block needs its input's gradient, because the embedding always learns. Attention
counts the whole T × T square, which the MATH backend computes.
"""

import itertools
from collections.abc import Sequence

from raydistill.specs.model import HubConfig, ModelConfig
from raydistill.specs.trial import DropPlan, Recipe


def block_parameters(dim: int) -> int:
    """Parameters of one block: two fused projections with bias, three LayerNorms.

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
    kept = model.num_layers - removed
    if isinstance(model, HubConfig):
        return model.other_parameters + kept * model.block_parameters
    return model.vocab_size * model.dim + kept * block_parameters(model.dim) + 2 * model.dim


def _block_flops(model: ModelConfig) -> tuple[int, int]:
    """Of one token's forward pass through a block: products with weights, and attention."""
    if isinstance(model, HubConfig):
        return 2 * model.block_products, 4 * model.context * model.attention_width
    return 20 * model.dim**2, 4 * model.context * model.dim


def paper_flops(
    model: ModelConfig, plan: DropPlan, recipe: Recipe, teachers: Sequence[ModelConfig] = ()
) -> int:
    """The paper's rule: 6 · parameters left · budget, and 2 · a teacher's (Table 4)."""
    student = 6 * parameters(model, removed=len(plan.drops)) * recipe.budget_tokens
    return student + sum(2 * parameters(each) * recipe.budget_tokens for each in teachers)


def exact_flops(
    model: ModelConfig, plan: DropPlan, recipe: Recipe, teachers: Sequence[ModelConfig] = ()
) -> int:
    """Every matrix product of a training, warm phase and gaps included.

    A layer of the plan is frozen from the start and costs until it leaves. A teacher costs a
    forward pass per token of the budget; the warm phase does not ask it.
    """
    times = sorted({0, recipe.total_tokens, *(drop.at_tokens for drop in plan.drops)})
    kept = model.num_layers - len(plan.drops)
    flops = sum(forward_flops_per_token(each) * recipe.budget_tokens for each in teachers)
    for begin, end in itertools.pairwise(times):
        frozen = len(plan.drops) - len(plan.due(begin))
        flops += (end - begin) * training_flops_per_token(model, learning=kept, frozen=frozen)
    return flops


def training_flops_per_token(model: ModelConfig, *, learning: int, frozen: int) -> int:
    """Forward and backward of one token through `learning` and `frozen` blocks and the head."""
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
    own = 6 * parameters(student, removed)
    return own / (own + 2 * parameters(teacher))


def gap_cost_tokens(model: ModelConfig, count: int, gap_tokens: int) -> float:
    """The tokens of healing that waiting costs, by the exact rule.

    The block that leaves i-th stays, frozen, i gaps longer than it would have.
    """
    student = training_flops_per_token(model, learning=model.num_layers - count, frozen=0)
    one_more = training_flops_per_token(model, learning=model.num_layers - count, frozen=1)
    return gap_tokens * count * (count - 1) / 2 * (one_more - student) / student


def forward_flops_per_token(model: ModelConfig) -> int:
    """One token through the whole model without gradients: what a teacher costs, exactly."""
    return model.num_layers * sum(_block_flops(model)) + 2 * model.vocab_size * model.dim
