import pytest

from raydistill.cli.arguments.values import (
    assignment,
    axis_range,
    axis_values,
    device_range,
    layer_counts,
    loss_values,
    number,
    whole,
)
from raydistill.core.errors import UsageError
from raydistill.planning.axes.ranges import Range


@pytest.mark.parametrize("text", ["", "0", "-1", "2.5", "1e3", "1_0", "two", "9" * 10])
def test_a_whole_number_is_written_as_digits_within_its_range(text):
    assert [whole("--trials")("1"), whole("--num-fewshot", lowest=0)("0")] == [1, 0]
    with pytest.raises(UsageError) as refusal:
        whole("--trials")(text)
    assert str(refusal.value) == f"--trials {text!r}: a whole number from 1 on"


@pytest.mark.parametrize("text", ["", "-1", "nan", "inf", "-inf", "many"])
def test_a_number_is_finite_and_not_below_zero(text):
    read = number("--tolerance", "a number from 0 on", positive=False)
    assert [read("0"), read("2.50")] == [0, 2.5]
    with pytest.raises(UsageError) as refusal:
        read(text)
    assert str(refusal.value) == f"--tolerance {text!r}: a number from 0 on"


def test_zero_is_no_positive_number():
    read = number("--cache-gb", "a number above 0", positive=True)
    assert read("1e-9") == 1e-9
    with pytest.raises(UsageError, match=r"--cache-gb '0\.0': a number above 0"):
        read("0.0")


def test_counts_of_layers_may_be_negative_where_the_model_refuses_them():
    assert layer_counts("4, -1,+8") == [4, -1, 8]
    with pytest.raises(UsageError, match="--count '' is not a whole number of layers"):
        layer_counts("4,")


@pytest.mark.parametrize(
    ("own", "text", "values"),
    [
        ((1, 2), "3,4K", (3, 4000)),
        ((0.5, 1), "3,0.25", (3.0, 0.25)),
        (("small", 2), "3", ("3",)),
        ((), "3", ("3",)),
    ],
)
def test_an_axis_of_numbers_takes_numbers(own, text, values):
    assert axis_values("width", [text], own=own) == values


@pytest.mark.parametrize("own", [(1, 2), (0.5, 1)])
@pytest.mark.parametrize("text", ["many", "nan", "True", "-inf"])
def test_an_axis_of_numbers_takes_no_text(own, text):
    with pytest.raises(UsageError, match=text):
        axis_values("width", [text], own=own)


def test_a_field_of_the_recipe_has_the_recipes_type():
    assert axis_values("lr", ["1e-4,0.0003"]) == (1e-4, 3e-4)
    assert axis_values("warmup_tokens", ["2K"], own=(0, 512)) == (2000,)
    for text in ("fast", "1e-4,", "1e-5,x"):
        with pytest.raises(UsageError):
            axis_values("lr", [text], own=(1e-4,))


def test_a_range_is_one_of_numbers_and_stands_alone():
    assert axis_range("lr", ["1e-5..1e-3:log"]) == Range(low=1e-5, high=1e-3, is_log=True)
    assert axis_range("gap", ["1B..2B"]) == Range(low=1e9, high=2e9, is_whole=True)
    assert axis_range("width", ["0.5..2"], own=(0.5, 1)) == Range(low=0.5, high=2)
    assert axis_range("arm", ["a..b"], own=("a",)) is None
    assert axis_range("lr", ["1e-5,1e-3"]) is axis_range("lr", []) is None
    assert axis_values("weight_decay", ["0..0.1:0.05", "0.5"]) == (0, 0.05, 0.1, 0.5)
    with pytest.raises(UsageError, match="a range stands alone; a step makes values of it"):
        axis_values("lr", ["1e-5..1e-3,0.1"])


def test_values_of_a_setting_are_losses_each():
    assert loss_values(["kd+temperature=1,2+hidden=0.1,.5", "lm"]) == (
        (
            "kd+temperature=1+hidden=0.1",
            "kd+temperature=1+hidden=.5",
            "kd+temperature=2+hidden=0.1",
            "kd+temperature=2+hidden=.5",
            "lm",
        ),
        ("temperature", "hidden"),
    )
    assert loss_values(["kd+temperature=2,lm"]) == (("kd+temperature=2", "lm"), ())
    assert axis_values("location", ["1,2,input"]) == ("1,2", "input")


def test_an_elastic_trial_has_a_range_of_devices():
    assert (device_range("2"), device_range("1-2")) == (range(2, 3), range(1, 3))
    for text in ("2-", "-2", "1-2-3", "0-1"):
        with pytest.raises(UsageError, match="a whole number from 1 on"):
            device_range(text)


def test_an_assignment_has_an_equals_sign():
    read = assignment("--set", "lr=1e-5")
    assert [read("lr = 1"), read("where=a=b")] == [("lr", "1"), ("where", "a=b")]
    with pytest.raises(UsageError, match="--set 'lr': write field=value, such as lr=1e-5"):
        read("lr")
