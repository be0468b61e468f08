"""The cells of `sweeps/reduced_scale.py`: pretrained shapes as they are (METHOD 9)."""

import runpy
from collections import Counter
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import pytest

from raydistill.specs.flops import parameters
from raydistill.specs.locations import NONE
from raydistill.specs.pretraining_flops import non_embedding_parameters, pretraining_flops
from raydistill.specs.scale import load_scale

FILE = Path(__file__).parents[2] / "sweeps" / "reduced_scale.py"
WITHIN = 1.03


@pytest.fixture(scope="module")
def file():
    return runpy.run_path(str(FILE))


@pytest.fixture(scope="module")
def cells(file):
    """Of the laptop, by scale and age."""
    found = file["sweep"].cells(load_scale("laptop"))
    return {(cell.scale.name, cell.request.age): cell for cell in found}


def scales_of(cells):
    return {name: cell.scale for (name, _), cell in cells.items()}


def non_embedding(scale):
    return non_embedding_parameters(scale.model)


def flops(scale):
    return pretraining_flops(scale.model, scale.pretrain.total_tokens).exact


def spread(values):
    return max(values) / min(values)


def differing(scale, base):
    """The fields of the model that a scale has otherwise."""
    own, other = asdict(scale.model), asdict(base.model)
    return {name for name in own if own[name] != other[name]}


def test_every_age_of_every_run_is_a_cell_that_trains_nothing(cells):
    ages = Counter(name for name, _ in cells)
    assert len(ages) == 36
    assert set(ages.values()) == {5}
    for (name, age), cell in cells.items():
        assert cell.values == {"size": name, "age": age}
        assert (cell.request.location, cell.request.count, cell.request.budget) == (NONE, 0, 0)
        assert cell.scale.recipe(cell.request).total_tokens == 0


def test_one_number_changes_at_a_time_around_the_base(cells):
    base, plain = load_scale("reduced"), scales_of(cells)
    alone = Counter()
    for scale in plain.values():
        if scale.objective == "lm" and scale.corpus == base.corpus:
            changed = differing(scale, base)
            if len(changed) == 1:
                alone |= {(*changed,)[0]: 1}
                alone[(*changed,)[0]] += 1
    assert set(alone) == {"dim", "num_layers", "num_heads", "feed_forward", "embedding"}
    assert min(alone.values()) >= 2


@pytest.mark.parametrize(
    ("name", "same", "other"),
    [("EQUAL_PARAMETERS", non_embedding, flops), ("EQUAL_FLOPS", flops, non_embedding)],
)
def test_sets_of_depths_have_one_size_or_one_cost(file, cells, name, same, other):
    plain, sizes = scales_of(cells), []
    for shapes in file[name]:
        scales = [plain[load_scale(shape).name] for shape in shapes]
        assert [scale.model.num_layers for scale in scales] == [1, 2, 4]
        assert len({(scale.model.num_heads, scale.model.embedding) for scale in scales}) == 1
        assert spread([same(scale) for scale in scales]) < WITHIN
        assert spread([other(scale) for scale in scales]) > WITHIN
        sizes.append(same(scales[0]))
    assert len(sizes) == 3
    assert all(larger > 1.4 * size for size, larger in pairwise(sizes))


def test_texts_and_masks_stand_beside_causal_runs_of_their_shape(cells):
    plain = scales_of(cells)
    causal = {
        str(scale.model) for scale in plain.values()
        if scale.objective == "lm" and scale.corpus == "embedded"
    }  # fmt: skip
    ladder = Counter(s.corpus for s in plain.values() if s.corpus != "embedded")
    assert ladder == {"bbe": 2, "bbe-2000": 2, "bbe-1000": 2}
    for scale in plain.values():
        assert bool(scale.evaluation.probes) == (scale.corpus == "embedded")
        assert scale.pretrain.total_tokens == load_scale("reduced").pretrain.total_tokens
        assert str(scale.model).replace("'encoder'", "'post-norm'") in causal
    masked = [scale for scale in plain.values() if scale.model.family == "encoder"]
    assert [scale.objective for scale in masked] == ["masked-lm"] * 3


def test_the_long_run_is_asked_for_by_name_alone(file, cells):
    long = load_scale(file["LONG"])
    assert long.name not in scales_of(cells)
    asked = file["sweep"].cells(load_scale("laptop"), {"size": (long.name,)})
    assert [cell.request.age for cell in asked] == list(long.ages)
    assert long.ages[-1] == 12_000_000


def test_the_papers_grid_is_planned_at_its_own_scale(file):
    found = {cell.scale.name: cell.scale for cell in file["sweep"].cells(load_scale("honey"))}
    sizes = sorted(parameters(scale.model) for scale in found.values())
    assert len(found) == 40
    assert 1_254_882 in sizes
    assert sizes[-1] == 16_237_122


def test_a_longer_run_has_a_cell_at_its_end(file):
    sizes = ("reduced", "reduced+tokens=700K")
    found = file["sweep"].cells(load_scale("reduced"), {"size": sizes})
    assert max(cell.request.age for cell in found if cell.scale.name == sizes[1]) == 700_000
    chosen = file["sweep"].cells(load_scale("reduced"), {"size": sizes, "age": (32_000,)})
    assert {cell.request.age for cell in chosen} == {32_000}
