"""What the paper's numbers mean at each scale."""

from dataclasses import asdict, replace

import pytest

from raydistill.core.errors import UsageError
from raydistill.core.serialization import from_dict, from_json, to_json
from raydistill.core.units import B, M, format_age
from raydistill.specs.drop_plan import plan_drops
from raydistill.specs.model import Model, ModelConfig
from raydistill.specs.recipe import check_recipe
from raydistill.specs.scale import Scale, load_scale, scale_names

SCALES = [load_scale(name) for name in scale_names()]
every_scale = pytest.mark.parametrize("scale", SCALES, ids=lambda scale: scale.name)


def request(scale):
    """A trial with the paper's budget."""
    return scale.trial(age=scale.ages[0], location="input", count=scale.count)


def test_the_scales_there_are():
    assert scale_names() == (
        "honey", "laptop", "laptop_family", "laptop_small", "paper_1b", "paper_300m", "reduced",
        "smoke", "smoke_family", "smoke_reduced", "smoke_small",
    )  # fmt: skip


@every_scale
def test_a_scale_is_named_as_its_file(scale):
    assert load_scale(scale.name.replace("_", "-")) is load_scale(scale.name)


@every_scale
def test_recipes_can_be_trained(scale):
    check_recipe(scale.pretrain, context=scale.model.context)
    check_recipe(scale.heal, context=scale.model.context, devices=scale.devices_per_trial)
    assert scale.recipe(request(scale)) == scale.heal


@every_scale
def test_ages_are_steps_of_one_run_that_ends_with_the_last(scale):
    ages = [scale.age_tokens(age) for age in scale.ages]
    assert ages == sorted(set(ages))
    assert all(age % scale.pretrain.batch_tokens == 0 for age in ages)
    assert ages[-1] == scale.pretrain.total_tokens


@every_scale
def test_a_longer_age_is_refused_and_not_extrapolated(scale):
    with pytest.raises(UsageError, match="its run ends at"):
        scale.age_tokens(640 * B)
    with pytest.raises(UsageError, match=format_age(scale.ages[0])):
        scale.age_tokens(scale.ages[0] - 1)


@every_scale
def test_enough_steps_follow_the_cut_to_heal(scale):
    layers = range(1, 1 + scale.count)
    recipe = scale.recipe(request(scale))
    plan_drops(layers, recipe=recipe, min_steps_after=scale.min_steps_after_cut)
    assert scale.min_steps_after_cut == (10 if scale.name.startswith("smoke") else 100)


@every_scale
def test_the_papers_longest_gap_fits(scale):
    recipe, gap_tokens = scale.recipe(request(scale)), scale.train_tokens(1 * B)
    drops = plan_drops(
        range(1, 1 + scale.count), recipe=recipe, gap_tokens=gap_tokens,
        min_steps_after=scale.min_steps_after_cut,
    ).drops  # fmt: skip
    assert gap_tokens > 0
    last = recipe.warm_phase_tokens + (scale.count - 1) * gap_tokens
    assert [drops[0].at_tokens, drops[-1].at_tokens] == [recipe.warm_phase_tokens, last]
    assert last < recipe.total_tokens


@pytest.mark.parametrize("name", ["smoke", "laptop"])
def test_something_positive_never_becomes_nothing(name):
    scale = load_scale(name)
    assert scale.train_tokens(0) == 0
    with pytest.raises(UsageError, match="no whole step"):
        scale.train_tokens(1 * M)


def test_the_laptop_heals_long_enough_on_a_base_that_is_old_enough():
    laptop = load_scale("laptop")
    assert [laptop.age_tokens(age) for age in laptop.ages] == [3_999_744, 15_998_976]
    assert laptop.train_tokens(laptop.budget) == 319_488


def test_the_papers_recipe_is_a_tenth_of_its_pretrainings_rate():
    for name in ("paper_300m", "paper_1b"):
        scale = load_scale(name)
        assert scale.heal.peak_lr == pytest.approx(scale.pretrain.peak_lr / 10)
        assert scale.heal.warmup_tokens > scale.heal.warm_phase_tokens


def test_an_unknown_scale_is_told_with_the_nearest():
    with pytest.raises(UsageError, match="Did you mean 'laptop'"):
        load_scale("labtop")


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("laptop+width=48+layers=4", "laptop+layers=4+width=48"),
        ("paper-1b+heads=8", "paper_1b+heads=8"),
        ("laptop+width=64", "laptop"),
        ("laptop+layers=12+heads=2+width=32", "laptop+width=32"),
        ("laptop+width=50+heads=1", "laptop+width=50"),  # two do not make even heads of 50
        (
            "smoke-reduced+mask=0.150+feed_forward=32+embedding=8",
            "smoke_reduced+embedding=8+mask=0.15",
        ),
    ],
)
def test_a_scale_with_settings_has_one_name(name, canonical):
    scale = load_scale(name)
    assert scale.name == canonical
    assert load_scale(canonical) == scale


def test_a_setting_changes_the_shape_and_what_follows_from_it_alone():
    laptop, other = load_scale("laptop"), load_scale("laptop+width=16+layers=6")
    assert (other.model.dim, other.model.num_layers, other.count) == (16, 6, 2)
    assert [laptop.pretrain.peak_lr, other.pretrain.peak_lr] == [6e-4, 1.2e-3]
    assert other.heal.peak_lr == 1.2e-3
    same = replace(
        other, name=laptop.name, model=laptop.model, count=4,
        pretrain=laptop.pretrain, heal=laptop.heal,
    )  # fmt: skip
    assert same == laptop
    assert load_scale("laptop+layers=6").heal == laptop.heal


@pytest.mark.parametrize(
    ("width", "heads"),
    [(16, 2), (48, 2), (128, 2), (50, 1), (2, 1), (96, 2)],
)
def test_heads_stay_unless_they_would_be_of_an_odd_width(width, heads):
    assert load_scale(f"laptop+width={width}").model.num_heads == heads


def test_of_two_numbers_of_heads_as_near_the_smaller_is_taken():
    assert load_scale("paper_300m+width=1020").model.num_heads == 15
    assert load_scale("laptop+width=36+heads=3").model.num_heads == 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("laptop+width=47", "width is 47, it must be even"),
        ("laptop+heads=3", "heads is 3: a width of 64 takes 1, 2, 4, 8, 16, 32"),
        ("laptop+witdh=48", "no setting 'witdh'. Did you mean 'width'"),
        ("laptop+width=48+width=32", "gives width twice"),
        ("laptop+layers=0", "layers is '0', it must be a whole number from 1 on"),
        ("laptop+width", "width is ''"),
        ("laptop+embedding=8", "a model of family palm has no embedding of its own"),
        ("reduced+heads=3", "heads is 3: a width of 32 takes 1, 2, 4, 8, 16, 32"),
        ("reduced+mask=1.5", "mask is '1.5', it must be a share above 0 and below 1"),
        ("reduced+mask=0.001", "mask is 0.001: of a window of 128 tokens it is none"),
        ("laptop+mask=0.15", "those of family post-norm have one, those of palm none"),
        ("labtop+width=48", "Did you mean 'laptop'"),
    ],
)
def test_a_setting_that_no_model_has_is_refused_in_one_line(name, message):
    with pytest.raises(UsageError, match=message) as refused:
        load_scale(name)
    assert "\n" not in str(refused.value)


def test_a_width_alone_changes_no_other_width():
    own, other = (load_scale(name).model for name in ("reduced", "reduced+width=24"))
    assert other == replace(own, dim=24)
    one = load_scale("reduced+embedding=8+feed_forward=64+heads=1").model
    assert one == replace(own, embedding=8, feed_forward=64, num_heads=1)


def test_a_masked_scale_has_the_twin_that_sees_all_and_no_tasks():
    own, usual, other = (load_scale(f"reduced{mask}") for mask in ("", "+mask=0.15", "+mask=0.3"))
    assert usual.model == replace(own.model, family="encoder")
    assert [own.objective, usual.objective, other.objective] == [
        "lm", "masked-lm", "masked-lm+share=0.3",
    ]  # fmt: skip
    assert other.evaluation == replace(own.evaluation, tasks=(), mask_share=0.3)
    assert usual.pretrain == own.pretrain


@pytest.mark.parametrize("name", ["laptop", "reduced", "honey", "reduced+mask=0.3+width=48"])
def test_a_scale_comes_back_from_json_with_the_kind_of_its_model(name):
    scale = load_scale(name)
    loaded = from_json(Scale, to_json(scale))
    assert loaded == scale
    assert type(loaded.model) is type(scale.model)


def test_a_record_of_before_shapes_of_own_widths_reads_as_it_was():
    fields = asdict(load_scale("smoke"))
    for newer in ("objective", "rate_power"):
        del fields[newer]
    del fields["evaluation"]["mask_share"]
    assert from_dict(Scale, fields) == load_scale("smoke")
    assert type(from_dict(Model, fields["model"])) is ModelConfig
