"""FLOPs of a pretraining: Honey's published numbers, and what torch counts."""

import pytest
import torch
import torch.nn.functional as F

from raydistill.models.decoder import build
from raydistill.specs.flops import active_parameters, exact_flops, masked_tokens, parameters
from raydistill.specs.model import FactorisedConfig, ModelConfig
from raydistill.specs.pretraining_flops import non_embedding_parameters, pretraining_flops
from raydistill.specs.trial import DropPlan, Recipe
from support.flops import count

SEQUENCES = 9_081_600  # of Honey's epoch


def honey(embedding, dim, feed_forward, num_heads, num_layers):
    return FactorisedConfig(
        family="encoder", num_layers=num_layers, dim=dim, num_heads=num_heads, vocab_size=19_010,
        context=128, embedding=embedding, feed_forward=feed_forward,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("shape", "of_sequence", "of_epoch", "exact_is_smaller"),
    [
        ((32, 32, 128, 2, 1), 947_257_344, 8.60e15, 1.95),
        ((32, 32, 128, 2, 2), 959_348_736, 8.71e15, 1.92),
        ((256, 256, 1024, 8, 8), 12_165_316_608, 1.105e17, 1.34),
    ],
)
def test_honeys_rule_gives_its_numbers(shape, of_sequence, of_epoch, exact_is_smaller):
    model = honey(*shape)
    flops = pretraining_flops(model, 128)
    assert flops.honey == of_sequence
    assert pretraining_flops(model, 128 * SEQUENCES).honey == pytest.approx(of_epoch, rel=1e-3)
    assert flops.honey / flops.exact == pytest.approx(exact_is_smaller, abs=0.006)
    assert flops.paper == 6 * parameters(model) * 128


def test_honeys_rule_counts_three_forward_passes_part_by_part():
    """The sum as its authors' notebook has it, in single products of a sequence of 128."""
    e, h, f, heads, layers = 128, 32, 256, 4, 3
    embeddings = 2 * 128 * 19_010 * e + 2 * 128 * e * h
    attention = 2 * 3 * 128 * h * h + 2 * 128 * 128 * h + 3 * heads * 128 * 128
    block = attention + 2 * 128 * (h * f + f * h)
    forward = embeddings + layers * block + 2 * 128 * h * 19_010
    assert pretraining_flops(honey(e, h, f, heads, layers), 128).honey == 3 * forward


TINY = ModelConfig(family="palm", num_layers=3, dim=24, num_heads=2, vocab_size=40, context=20)
OF_WIDTHS = FactorisedConfig(
    family="encoder", num_layers=3, dim=24, num_heads=2, vocab_size=40, context=20,
    embedding=10, feed_forward=30,
)  # fmt: skip


@pytest.mark.parametrize("model", [TINY, OF_WIDTHS], ids=lambda model: model.family)
@pytest.mark.parametrize("share", [0.0, 0.15, 0.37])
def test_torch_counts_the_exact_rule_with_the_head_on_masked_tokens(model, share):
    decoder, windows = build(model, seed=0), 3
    ids_BT = torch.randint(model.vocab_size, (windows, model.context))
    read = masked_tokens(model.context, share)

    def step():
        hidden_BMD = decoder.hidden(ids_BT)[:, :read]
        logits_BMV = decoder.head(hidden_BMD)
        F.cross_entropy(logits_BMV.flatten(0, 1), ids_BT[:, :read].flatten()).backward()

    tokens = windows * model.context
    exact = pretraining_flops(model, tokens, share).exact
    assert count(step) == exact
    recipe = Recipe(
        peak_lr=1.0, budget_tokens=tokens, batch_tokens=tokens, micro_batches=1, warmup_tokens=0
    )
    assert exact_flops(model, DropPlan(), recipe, mask_share=share) == exact


def test_embeddings_and_the_matrix_of_logits_are_not_non_embedding():
    decoder = build(OF_WIDTHS, seed=0)
    vocabulary = (decoder.embedding, decoder.positions, decoder.types, decoder.head_out)
    inside = sum(p.numel() for part in vocabulary for p in part.parameters())
    assert non_embedding_parameters(OF_WIDTHS) == active_parameters(OF_WIDTHS) - inside
    assert non_embedding_parameters(TINY) == parameters(TINY) - 40 * 24
