"""Importance scores, on a model small enough to check by hand."""

import hashlib
import inspect
import math

import pytest
import torch

from raydistill.core.errors import DataError, UsageError
from raydistill.core.parts import SCORE, defines, load_part, part_names
from raydistill.models.decoder import build
from raydistill.pruning.importance.angular_distance import EVERY, LAST, angular, span_distances
from raydistill.pruning.importance.greedy import choose as greedy
from raydistill.pruning.importance.loss_increase import loss_without
from raydistill.pruning.importance.loss_increase import score as loss_increase
from raydistill.pruning.layer_choice import LayerRequest
from raydistill.pruning.layer_scoring import choose_layers
from raydistill.specs.locations import lowest, may_leave
from support.tiny import CONFIG, batch_of

SCORES = part_names(SCORE)
WITH_VALUES = [name for name in SCORES if defines(SCORE, name, "score")]
INTERIOR = may_leave(CONFIG.num_layers)
IDLE = 3  # the layer that does nothing in `with_idle_block`
BATCHES = [batch_of(step).ids[:, :-1] for step in range(3)]


def shaken(seed=0):
    """A model whose every layer does something of its own."""
    model = build(CONFIG, seed)
    generator = torch.Generator().manual_seed(seed)
    for p in model.parameters():
        p.data += 0.2 * torch.randn(p.shape, generator=generator)
    return model.eval()


@pytest.fixture
def model():
    return shaken()


@pytest.fixture
def with_idle_block(model):
    """A model whose layer 3 returns its input."""
    for p in model.blocks[IDLE].fused_out.parameters():
        p.data.zero_()
    return model


@pytest.fixture
def generated(with_idle_block):
    """Windows that this model generated itself, so that every other block lowers the loss."""
    tokens_BT = torch.arange(CONFIG.vocab_size)[:, None]
    for _ in range(7):
        following_B1 = with_idle_block(tokens_BT)[:, -1:].argmax(-1)
        tokens_BT = torch.cat([tokens_BT, following_B1], dim=1)
    return [tokens_BT]


def layers_of(name, model, count, samples=(BATCHES,), *, allow_ends=False):
    request = LayerRequest(score=name, count=count, allow_ends=allow_ends)
    (choice,) = choose_layers(model, samples, [request])
    return choice.layers


def test_the_five_of_method_3_are_there():
    named = {"block-influence", "angular-distance", "angular-distance-last", "loss-increase"}
    assert named | {"greedy"} <= set(SCORES)


@pytest.mark.parametrize("name", SCORES)
def test_every_score_is_a_documented_function_of_the_agreed_signature(name):
    takes = {
        "score": ["model", "batches_BT"],
        "choose": ["model", "batches_BT", "count", "candidates"],
    }
    attributes = [attribute for attribute in takes if defines(SCORE, name, attribute)]
    assert attributes
    for attribute in attributes:
        function = load_part(SCORE, name, attribute)
        assert list(inspect.signature(function).parameters) == takes[attribute]
        assert inspect.getdoc(function)
    assert inspect.getmodule(function).__doc__


@pytest.mark.parametrize("allow_ends", [False, True])
@pytest.mark.parametrize("name", SCORES)
def test_every_score_picks_as_many_layers_as_are_asked_for(model, name, allow_ends):
    leaving = may_leave(CONFIG.num_layers, allow_ends=allow_ends)
    for count in range(1, len(leaving) + (not allow_ends)):
        layers = layers_of(name, model, count, allow_ends=allow_ends)
        assert len(set(layers)) == count
        assert set(layers) <= set(leaving)


@pytest.mark.parametrize("name", SCORES)
def test_a_block_that_does_nothing_leaves_first(with_idle_block, generated, name):
    assert layers_of(name, with_idle_block, 1, [generated]) == (IDLE,)
    assert IDLE in layers_of(name, with_idle_block, 2, [generated])


@pytest.mark.parametrize("name", WITH_VALUES)
def test_a_block_that_does_nothing_has_the_value_0_and_others_have_not(with_idle_block, name):
    values = load_part(SCORE, name, "score")(with_idle_block, BATCHES)
    assert values.dtype == torch.float64
    assert values.shape == (CONFIG.num_layers,)
    assert abs(values[IDLE]) < 1e-7
    assert all(abs(values[layer]) > 1e-4 for layer in INTERIOR if layer != IDLE)


@pytest.mark.parametrize("name", SCORES)
def test_scoring_leaves_the_model_as_it_was(model, name):
    model.train()
    model.blocks[2].eval()  # a mode of its own
    model.blocks[4].requires_grad_(False)
    before = state_of(model)
    layers_of(name, model, 3)
    assert state_of(model) == before


def state_of(model):
    """Every weight, its gradient and its name; every mode; which blocks, and what watches them."""
    weights = [
        (name, hashlib.sha256(p.detach().numpy().tobytes()).hexdigest(), p.grad, p.requires_grad)
        for name, p in model.named_parameters()
    ]
    modes = [(name, module.training) for name, module in model.named_modules()]
    return weights, modes, [(id(b), len(b._forward_hooks)) for b in model.blocks], id(model.blocks)


@pytest.mark.parametrize("name", SCORES)
def test_equal_windows_give_equal_layers_and_values(model, name):
    request = LayerRequest(score=name, count=3)
    (choice,) = choose_layers(model, [BATCHES, BATCHES], [request])
    assert choice.samples[0] == choice.samples[1]
    assert len(set(choice.values)) <= 1


@pytest.mark.parametrize("name", SCORES)
def test_how_windows_are_batched_changes_no_choice(model, name):
    one_by_one = [window[None] for batch in BATCHES for window in batch]
    assert layers_of(name, model, 3) == layers_of(name, model, 3, (one_by_one,))


def test_a_skipped_block_is_a_removed_block(model):
    tokens_BT = BATCHES[0]
    with model.skipping((1, 4)), torch.inference_mode():
        skipped = model(tokens_BT)
    model.blocks = torch.nn.ModuleList(b for i, b in enumerate(model.blocks) if i not in (1, 4))
    assert torch.equal(skipped, model(tokens_BT))


def test_a_failure_while_a_block_is_skipped_restores_it(model):
    blocks = model.blocks
    with pytest.raises(RuntimeError), model.skipping((1,)):
        raise RuntimeError
    assert model.blocks is blocks


@pytest.mark.parametrize(("positions", "reads"), [(EVERY, range(8)), (LAST, [7])])
@pytest.mark.parametrize("length", [1, 2, 5])
def test_the_distance_of_a_span_is_that_of_the_slow_reference(model, positions, reads, length):
    distances = span_distances(model, BATCHES, length, positions)
    expected = [slow_distance(model, first, length, reads) for first in range(7 - length)]
    torch.testing.assert_close(distances, torch.tensor(expected).double(), rtol=1e-5, atol=1e-6)


def slow_distance(model, first, length, reads):
    """One window and one token at a time, the blocks called by hand."""
    distances = []
    for window_T in torch.cat(BATCHES):
        x_BTD = model.embedding(window_T[None])
        states = [x_BTD]
        for block in model.blocks:
            x_BTD = block(x_BTD, (model.cos_TK[:8], model.sin_TK[:8]))
            states.append(x_BTD)
        for t in reads:
            a, b = states[first][0, t].tolist(), states[first + length][0, t].tolist()
            dot = sum(x * y for x, y in zip(a, b, strict=True))
            distances.append(math.acos(dot / (math.hypot(*a) * math.hypot(*b))) / math.pi)
    return sum(distances) / len(distances)


def test_the_span_of_the_least_distance_leaves(model):
    distances = span_distances(model, BATCHES, 2, EVERY)[1:4].tolist()  # inside 1 to 4
    first = 1 + distances.index(min(distances))
    assert layers_of("angular-distance", model, 2) == (first, first + 1)


def test_angles_are_numbers_where_rounding_takes_the_cosine_past_1():
    generator = torch.Generator().manual_seed(0)
    left = torch.randn(10_000, 3, generator=generator)
    for scale in (1.0, 1e-3, -7.0):
        distance = angular(left, scale * left)
        assert distance.isfinite().all()
        torch.testing.assert_close(
            distance, torch.full_like(distance, scale < 0), rtol=0, atol=1e-3
        )
    assert angular(torch.zeros(3), torch.ones(3)) == 0.5  # no direction: at right angles to all


def test_a_loss_increase_is_that_of_a_shorter_model(model):
    values = loss_increase(model, BATCHES)
    base_loss = slow_loss(model)
    model.blocks = torch.nn.ModuleList(b for i, b in enumerate(model.blocks) if i != 2)
    assert values[2] == pytest.approx(slow_loss(model) - base_loss, abs=1e-6)


def slow_loss(model):
    """Minus the mean log-probability of each token after the first of its window."""
    windows = torch.cat(BATCHES)
    probabilities = model(windows).detach().double().softmax(-1)
    nats = [
        -math.log(probabilities[b, t, windows[b, t + 1]])
        for b in range(len(windows))
        for t in range(windows.shape[1] - 1)
    ]
    return sum(nats) / len(nats)


def test_the_first_greedy_layer_has_the_lowest_loss_increase():
    for seed in range(4):
        model = shaken(seed)
        (first,) = greedy(model, BATCHES, 1, INTERIOR)
        assert (first,) == lowest(loss_increase(model, BATCHES).tolist(), 1)


def test_greedy_scores_what_remains_again_after_each_removal(model):
    removed = greedy(model, BATCHES, 3, INTERIOR)
    for count, layer in enumerate(removed):
        earlier = removed[:count]
        losses = {
            other: loss_without((*earlier, other), model, BATCHES)
            for other in INTERIOR
            if other not in earlier
        }
        assert losses[layer] == min(losses.values())


def test_a_smaller_count_takes_a_prefix_of_greedys_larger_one(model):
    largest = greedy(model, BATCHES, 4, INTERIOR)
    for count in range(1, 4):
        assert greedy(model, BATCHES, count, INTERIOR) == largest[:count]


def test_values_are_computed_once_for_several_counts(model):
    requests = [LayerRequest(score="loss-increase", count=count) for count in (1, 3)]
    forwards = 0

    def count_forward(*_):
        nonlocal forwards
        forwards += 1

    model.register_forward_hook(count_forward)
    one, three = choose_layers(model, [BATCHES], requests)
    assert one.values == three.values
    assert three.layers[:1] == one.layers
    assert forwards == len(BATCHES) * (CONFIG.num_layers + 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def score(model, batches_BT): return __import__('torch').ones(3)", "each of the 6"),
        ("def score(model, batches_BT): return model.cos_TK[0].log() / 0", "finite value"),
        ("def choose(model, batches_BT, count, candidates): return [1, 1]", "2 different ones"),
        ("def choose(model, batches_BT, count, candidates): return [0, 1]", "of 1 to 4"),
    ],
)
def test_a_score_file_that_returns_what_it_must_not_is_refused(model, own_parts, text, message):
    own_parts({"scores/own.py": text})
    with pytest.raises(DataError, match=message):
        layers_of("own", model, 2)


def test_for_an_unknown_score_the_nearest_is_suggested(model):
    with pytest.raises(UsageError, match="Did you mean 'greedy'"):
        layers_of("gredy", model, 2)
