"""Every family of transformers of equal blocks, on the real classes."""

import dataclasses

import pytest
import torch

from raydistill.distillation.feature_losses import watch_features
from raydistill.evaluation.likelihood import prefix_trees as trees
from raydistill.evaluation.likelihood.continuations import Request, score_requests
from raydistill.models.decoder import Decoder, build
from raydistill.models.huggingface.checkpoint import read_checkpoint
from raydistill.models.huggingface.loading import load_pretrained, read_base
from raydistill.models.student import Student
from raydistill.models.weights import load_weights, save_weights
from raydistill.specs import flops
from raydistill.specs.locations import pick
from raydistill.storage.store import Store
from support.hub_models import CONTEXT, FAMILIES, LAYERS, fresh, save_model, write_folder
from support.stages import reports_of

CUTS = {
    "input": pick("input", LAYERS, 2),
    "alt-input": pick("alt-input", LAYERS, 2),
    "1,4": (1, 4),
}


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def family(request, tmp_path_factory):
    """A family, its checkpoint's folder, and the decoder read from there."""
    folder = save_model(tmp_path_factory.mktemp(request.param), request.param)
    return request.param, folder, load_pretrained(read_checkpoint(str(folder), "main")).eval()


def tokens(length=24, seed=0):
    return torch.randint(1, 2048, (2, length), generator=torch.Generator().manual_seed(seed))


def stock_without(name, layers):
    """The slow, obvious way: a stock model of fewer layers, given the weights that stay."""
    whole = fresh(name).eval()
    kept = [layer for layer in range(LAYERS) if layer not in layers]
    more = {}
    if types := getattr(whole.config, "layer_types", None):
        more["layer_types"] = [types[layer] for layer in kept]
    short = fresh(name, seed=1, num_hidden_layers=len(kept), **more).eval()
    state = whole.state_dict()

    def came_from(key):
        parts = key.split(".")
        number = next((i for i, part in enumerate(parts) if part.isdigit()), None)
        if number is not None:
            parts[number] = str(kept[int(parts[number])])
        return ".".join(parts)

    short.load_state_dict({key: state[came_from(key)] for key in short.state_dict()})
    return short


def test_logits_at_some_positions_are_those_of_all(family):
    """Whatever stands behind the head, as Gemma 2's cap."""
    _, _, decoder = family
    tokens_BT = tokens()
    at_BM = torch.tensor([[0, 5, 23], [7, 7, 1]])
    with torch.no_grad():
        every_BTV, chosen_BMV = decoder(tokens_BT), decoder(tokens_BT, at_BM)
    expected = every_BTV.gather(1, at_BM[..., None].expand(-1, -1, every_BTV.shape[-1]))
    torch.testing.assert_close(chosen_BMV, expected, rtol=1e-4, atol=1e-5)


def test_a_list_that_only_has_as_many_entries_as_layers_is_not_cut(tmp_path):
    eos = list(range(LAYERS))
    folder = save_model(tmp_path / "mine", "qwen2", eos_token_id=eos)
    decoder = load_pretrained(read_checkpoint(str(folder), "main"))
    decoder.use_blocks([decoder.blocks[layer] for layer in (0, 1, LAYERS - 1)])
    assert decoder.inner.config.eos_token_id == eos
    assert len(decoder.inner.config.layer_types) == 3


@pytest.mark.parametrize("location", CUTS)
@torch.no_grad()
def test_without_some_layers_it_is_the_stock_model_of_fewer(family, location, tmp_path):
    from transformers import AutoModelForCausalLM

    name, _, decoder = family
    whole, x_BT = list(decoder.blocks), tokens()
    student = Student(decoder)
    student.remove(CUTS[location])
    try:
        expected = stock_without(name, CUTS[location])
        torch.testing.assert_close(decoder(x_BT), expected(x_BT).logits, atol=1e-5, rtol=1e-4)
        arguments = {
            "max_new_tokens": 8,
            "do_sample": False,
            "pad_token_id": 0,
            "eos_token_id": None,
        }
        cached = decoder.inner.generate(x_BT, use_cache=True, **arguments)
        assert torch.equal(cached, decoder.inner.generate(x_BT, use_cache=False, **arguments))
        assert torch.equal(cached, expected.generate(x_BT, use_cache=True, **arguments))
        decoder.inner.save_pretrained(tmp_path)
        again = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
        assert torch.equal(again(x_BT).logits, decoder(x_BT))
    finally:
        decoder.use_blocks(whole)


@pytest.mark.parametrize("location", CUTS)
@torch.no_grad()
def test_it_is_written_as_a_stock_folder(family, location, tmp_path):
    """Equal logits after a way through the store; the rest of the folder is the checkpoint's."""
    from transformers import AutoModelForCausalLM

    _, folder, decoder = family
    whole, x_BT, student, to = list(decoder.blocks), tokens(), Student(decoder), tmp_path / "out"
    student.remove(CUTS[location])
    try:
        save_weights(tmp_path, student)
        write_folder(load_weights(tmp_path).model, folder, to)
        stock = AutoModelForCausalLM.from_pretrained(to).eval()
        assert torch.equal(stock(x_BT).logits, decoder(x_BT))
    finally:
        decoder.use_blocks(whole)
    arguments = {"max_new_tokens": 8, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
    cached = stock.generate(x_BT, use_cache=True, **arguments)
    assert torch.equal(cached, stock.generate(x_BT, use_cache=False, **arguments))
    again = read_checkpoint(str(to), "main").model
    assert again.num_layers == LAYERS - len(CUTS[location])
    assert flops.parameters(again) == flops.parameters(decoder.config, len(CUTS[location]))
    before, after = ({p.name: p.read_bytes() for p in at.iterdir()} for at in (folder, to))
    assert set(after) == {*before, "manifest.json"}
    assert {n for n in before if before[n] != after[n]} == {"config.json", "model.safetensors"}


def test_reading_a_checkpoint_says_how_far_it_is(family, tmp_path):
    folder = family[1]
    with reports_of(f"reading {folder}") as shares:
        read_base(str(folder), "main", 64, Store(tmp_path))
    assert len(set(shares)) > 50  # tensor by tensor


@torch.no_grad()
def test_kept_in_a_store_it_comes_back_bit_for_bit(family, tmp_path):
    _, _, decoder = family
    whole, x_BT, student = list(decoder.blocks), tokens(), Student(decoder)
    student.remove((2,))
    try:
        save_weights(tmp_path, student)
        again = load_weights(tmp_path)
        assert again.kept == [0, 1, 3, 4, 5]
        assert torch.equal(again.model.eval()(x_BT), decoder(x_BT))
    finally:
        decoder.use_blocks(whole)


def test_its_parameters_are_counted_from_the_headers_alone(family):
    _, folder, decoder = family
    config = read_checkpoint(str(folder), "main").model
    assert flops.parameters(config) == sum(p.numel() for p in decoder.parameters())
    block = sum(p.numel() for p in decoder.blocks[0].parameters())
    assert flops.parameters(config, removed=2) == flops.parameters(config) - 2 * block
    assert config.context == CONTEXT


def test_a_new_one_of_fewer_layers_can_be_made(family):
    _, _, decoder = family
    fewer = dataclasses.replace(decoder.config, num_layers=3)
    one, other = build(fewer, seed=3), build(fewer, seed=3)
    assert len(one.blocks) == one.inner.config.num_hidden_layers == 3
    assert torch.equal(one(tokens()), other(tokens()))  # no dropout, equal seeds


@torch.no_grad()
def test_it_does_not_see_the_future(family):
    _, _, decoder = family
    x_BT, other_BT = tokens(), tokens()
    other_BT[:, 12:] = tokens(seed=1)[:, 12:]
    assert torch.equal(decoder(x_BT)[:, :12], decoder(other_BT)[:, :12])


@torch.no_grad()
def test_its_hidden_states_and_attention_can_be_watched(family):
    """Hidden states chain, and what a block attends to sums to one."""
    _, _, decoder = family
    x_BT = tokens(12)
    with watch_features(decoder) as features:
        decoder(x_BT)
    for position in range(1, LAYERS):
        assert torch.equal(features.inputs[position], features.outputs[position - 1])
    past_TT = torch.ones(12, 12).tril() > 0
    for position in range(LAYERS):
        weights = decoder.attention(position, features.inputs[position]).exp() * past_TT
        torch.testing.assert_close(weights.sum(-1), torch.ones(2, 4, 12))


@torch.no_grad()
def test_positions_and_a_mask_place_two_choices_in_one_row(family):
    """A context of 6 with two choices of 3 behind it: as the two rows of 9 by themselves."""
    _, _, decoder = family
    context, choices = tokens(6)[:1], tokens(3, seed=1)
    rows_BT = torch.cat([context.expand(2, -1), choices], dim=1)
    packed_BT = torch.cat([context, choices.reshape(1, -1)], dim=1)
    positions_BT = torch.tensor([[*range(9), *range(6, 9)]])
    visible_TT = torch.ones(12, 12).tril() > 0
    visible_TT[9:, 6:9] = False
    packed = decoder.hidden(packed_BT, positions_BT, visible_TT[None])
    apart = decoder.hidden(rows_BT)
    torch.testing.assert_close(packed[0, 6:9], apart[0, 6:], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(packed[0, 9:], apart[1, 6:], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_it_scores_choices_as_the_stock_model_does_one_by_one(family, monkeypatch):
    """Also where a window slides: what is behind it is not seen, with or without a mask."""
    _, _, decoder = family
    monkeypatch.setattr(trees, "MIN_SHARED_TOKENS", 4)
    ids = [tuple(tokens(size, seed=size)[0].tolist()) for size in (5, 10, 40, 7, 3, 90)]
    requests = [Request(context=c, continuation=d) for c in (*ids[:3], ids[5]) for d in ids[3:5]]
    for request, given in zip(requests, score_requests(decoder, requests), strict=True):
        whole = torch.tensor([request.context + request.continuation])[:, -CONTEXT - 1 :]
        size = len(request.continuation)
        nats = decoder.inner(whole[:, :-1]).logits[0, -size:].log_softmax(-1)
        expected = nats.gather(1, whole[0, -size:, None]).sum().item()
        assert given.log_probability == pytest.approx(expected, abs=1e-3)


@torch.no_grad()
def test_with_a_cache_it_generates_what_it_does_without(family):
    """Also after a removal, and rows that end early."""
    _, folder, _ = family
    student = Student(load_pretrained(read_checkpoint(str(folder), "main")).eval())
    student.remove((1, 3))
    decoder, start_BT = student.model, tokens(20)
    expected = Decoder.generate(decoder, start_BT, 12, lambda _: False)
    assert decoder.generate(start_BT, 12, lambda _: False) == expected
    first = expected[0][:4]
    assert decoder.generate(start_BT, 12, lambda new: new == first) == [first, expected[1]]
