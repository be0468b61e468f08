"""The flags that every sweep takes, and what they mean."""

import argparse
import re
import runpy
from pathlib import Path

import pytest

from raydistill.cli.arguments.sweep_flags import plan_of
from raydistill.cli.arguments.sweep_parser import sweep_parser
from raydistill.core.errors import UsageError
from raydistill.core.units import B
from raydistill.planning.sweep import Sweep
from raydistill.specs.locations import every_location

SCRIPT = Path(__file__).parents[2] / "sweeps" / "where_to_drop.py"
SWEEP = runpy.run_path(str(SCRIPT))["sweep"]


def plan(*flags):
    return plan_of(SWEEP, sweep_parser(SWEEP).read(["--scale", "smoke", *flags]), "python x.py")


def locations(*flags):
    return [cell.values["location"] for cell in plan("--age", "80B", *flags).cells]


def test_these_are_the_flags():
    flags = {flag for action in sweep_parser(SWEEP)._actions for flag in action.option_strings}
    assert " ".join(sorted(flags - {"-h", "--help"})) == (
        "--age --allow-ends --budget --cache-gb --checkpoint-every --concurrent --corpus "
        "--count --debug --device --devices-per-trial --dry-run --gap --heldout "
        "--heldout-general --limit --location --loss --lr-probe --max-length --model "
        "--models --no-lr-probe --num-fewshot --objective --order --parts --price-per-hour "
        "--probe --probes --recipe --reference --scale --search --seed --seq-len --set "
        "--sharding --storage --task-data --tasks --teacher --teacher-placement --text-field "
        "--text-form --tokens-per-s --tracking-uri --trials --utilisation --words --yes"
    )


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--device H1000 --dry-run", "no device 'H1000'. Did you mean 'H100'"),
        ("--device H100", "plan for other devices: add --dry-run"),
        ("--utilisation 0.4 --dry-run", "--utilisation is of a --device: A30"),
        ("--utilisation 40 --device H100 --dry-run", "--utilisation '40': of the peak, 0.4"),
        ("--utilisation 0.5-0.3 --device H100 --dry-run", "'0.5-0.3': of the peak"),
        ("--tokens-per-s 0 --dry-run", "--tokens-per-s '0': a number, 20000"),
        ("--tokens-per-s 9 --utilisation 0.4 --dry-run", "leave --utilisation out"),
    ],
)
def test_devices_that_are_not_at_hand_are_for_plans_alone(flags, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        plan(*flags.split())


def test_a_device_has_a_range_of_speeds():
    assumed = plan("--dry-run", "--device", "h100", "--utilisation", "3e-1-0.5").options.assumed
    assert (assumed.device, assumed.low, assumed.high) == ("H100", 0.3, 0.5)
    assert plan().options.assumed == "nothing"


def test_a_flag_stands_in_for_the_axis():
    assert locations("--location", "input,middle") == ["input", "middle"]
    assert {cell.request.age for cell in plan("--age", "80B").cells} == {80 * B}


def test_numbers_with_commas_are_one_list_of_layers():
    assert locations("--location", "input,1,3-4,output") == ["input", "1,3-4", "output"]
    assert locations("--location", "1,2", "--location", "3,4") == ["1,2", "3,4"]


def test_all_stands_for_every_location():
    assert locations("--location", "all") == list(every_location())


def test_what_is_no_axis_is_fixed_for_every_cell():
    cells = plan("--count", "3", "--gap", "1B", "--budget", "40B", "--seed", "7").cells
    fields = {(c.request.count, c.request.gap, c.request.budget, c.request.seed) for c in cells}
    assert fields == {(3, 1 * B, 40 * B, 7), (0, 0, 40 * B, 7)}


def test_ends_and_order_reach_the_request():
    (cell,) = plan(
        "--location", "0,5", "--age", "80B", "--allow-ends", "--order", "descending"
    ).cells
    assert cell.request.allow_ends
    assert cell.request.order == "descending"


def test_recipe_fields_are_set_for_every_trial():
    heal = plan("--set", "lr=1e-5", "--set", "warmup_tokens=512").scale.heal
    assert (heal.peak_lr, heal.warmup_tokens) == (1e-5, 512)


def test_a_setting_that_the_sweep_overrules_is_said(caplog):
    def trial(scale, location):
        return scale.trial(age=320 * B, location=location, count=2, lr=2 * scale.heal.peak_lr)

    sweep = Sweep(name="mine", question="?", axes={"location": ("input",)}, trial=trial)
    flags = sweep_parser(sweep).read(["--scale", "smoke", "--set", "lr=3e-4"])
    assert plan_of(sweep, flags, "command").cells[0].request.peak_lr == 6e-4
    assert caplog.messages == ["no trial has lr 0.0003: the sweep itself sets 0.0006"]
    caplog.clear()
    plan("--set", "lr=3e-4", "--set", "weight_decay=0.01")
    assert caplog.messages == []


def test_values_that_the_sweep_overrules_name_no_row():
    def trial(scale, location):
        lr = 1e-3 if location == "input" else scale.heal.peak_lr
        return scale.trial(age=320 * B, location=location, count=2, lr=lr)

    def cells_of(*flags):
        axes = {"location": ("input", "middle")}
        sweep = Sweep(name="mine", question="?", axes=axes, trial=trial)
        return plan_of(sweep, sweep_parser(sweep).read(["--scale", "smoke", *flags]), "").cells

    two = ("--set", "lr=3e-4,6e-4")
    assert [c.request.peak_lr for c in cells_of(*two, "--location", "middle")] == [3e-4, 6e-4]
    assert len(cells_of(*two, "--budget", "0")) == 4
    with pytest.raises(UsageError, match=r"lr .* and .* would be one training, at "):
        cells_of(*two)


def values(*flags):
    return [dict(cell.values) for cell in plan("--age", "80B", "--location", "input", *flags).cells]


def test_several_values_of_a_recipe_field_are_an_axis_however_they_are_written():
    one = {"age": 80 * B, "location": "input"}
    assert values("--set", "lr=1e-4,3e-4") == [one | {"lr": 0.0001}, one | {"lr": 0.0003}]
    assert values("--set", "peak_lr=1e-4", "--set", "lr=3e-4") == values("--set", "lr=1e-4,3e-4")
    assert values("--set", "lr=1e-4", "--set", "lr=0.0001") == [one]
    both = plan("--set", "lr=1e-4,3e-4", "--set", "optimizer=adamw", "--count", "1,2")
    assert both.axes == ("age", "location", "count", "lr")
    assert both.scale.heal.optimizer == "adamw"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--set lr=1e-4,fast", "--set lr=fast: it must be a number, above 0 and finite"),
        ("--set loss=kd", "--set loss: that is a flag of its own, --loss"),
        (
            "--set optimizer=lion,adam",
            "--set optimizer=adam: no optimizer 'adam'. Did you mean 'adamw'",
        ),
        ("--set weight_decay=0,2", "--set weight_decay=2: it must be a number, at least 0 and b"),
        ("--set batch_tokens=512,513", "batch_tokens is 513, not a multiple"),
        ("--set lr=1,,2", "--lr '1,,2' has an empty value"),
        ("--set lr=1e-4,3e-4 --lr-probe", "--lr-probe chooses the rates that lr names"),
        ("--set lr=1e-5..1e-3:log", "lr=1e-05..0.001:log: a range is drawn from by --search ran"),
        ("--set lr=1e-5..1e-3:log --search funnel", "is drawn from by --search random or tpe"),
        ("--set lr=1e-5..1e-3:log --search random", "--search random needs --trials"),
        ("--set lr=1e-5..1e-3:log,1e-4", "a range stands alone"),
        ("--set lr=1e-5..1e-3:lgo", "'1e-5..1e-3:lgo': behind the colon write log, or a step"),
        (
            "--search random --trials 3 --set weight_decay=0..2",
            "--set weight_decay=2: it must be a ",
        ),
        ("--loss kd+temperature=1..4", "a setting of a loss takes values, such as temperature=1,2"),
        ("--loss kd+temperature=1,0", "temperature is '0', it must be a number above 0"),
    ],
)
def test_every_cell_of_an_axis_is_checked_before_anything_runs(flags, message):
    with pytest.raises(UsageError) as refusal:
        plan(*flags.split())
    assert message in str(refusal.value)


def test_any_field_of_a_cell_is_an_axis():
    orders = values("--order", "ascending,descending", "--gap", "0,1B")
    assert [(cell["order"], cell["gap"]) for cell in orders] == [
        *(("ascending", 0), ("descending", 0), ("ascending", 1 * B), ("descending", 1 * B)),
    ]
    assert [cell["budget"] for cell in values("--budget", "20B", "--budget", "40B")] == [
        20 * B,
        40 * B,
    ]
    teachers = plan("--loss", "kd", "--teacher", "own,80B").cells
    assert {cell.values["teacher"] for cell in teachers} == {"own", "80B"}


def test_settings_of_a_loss_are_axes():
    one = {"age": 80 * B, "location": "input"}
    assert values("--loss", "kd+temperature=1,2") == [one | {"temperature": t} for t in (1, 2)]
    assert values("--loss", "lm,kd+temperature=1,2")[0] == one | {"loss": "lm"}
    assert values("--loss", "kd+temperature=1,kd+temperature=2") == [
        one | {"loss": f"kd+temperature={t}"} for t in (1, 2)
    ]


def test_a_range_is_drawn_from_by_a_search():
    rates = ("--location", "input,middle", "--set", "lr=1e-5..1e-3:log", "--search")
    five = plan(*rates, "random", "--trials", "5")
    assert (len(five.cells), five.options.trials) == (5, 5)
    assert plan(*rates, "random", "--trials", "3").cells == five.cells[:3]
    assert five.axes == ("age", "location", "lr")
    tpe = plan("--age", "80B", *rates, "tpe", "--trials", "3")
    assert (len(tpe.cells), tpe.options.trials) == (2 * 64, 3)


@pytest.mark.parametrize(
    "flags",
    [
        "--scale smoke --scale laptop",
        "--trials 2 --search random --trials=3",
        "--lr-probe --no-lr-probe",
        "--tasks piqa --tasks copa",
    ],
)
def test_a_flag_with_one_value_is_given_once(flags):
    with pytest.raises(UsageError, match="given twice: give one"):
        sweep_parser(SWEEP).read(flags.split())


def test_values_of_a_repeated_flag_are_united():
    cells = plan("--age", "80B", "--age", "320B", "--location", "input", "--dry-run", "--dry-run")
    assert [cell.request.age for cell in cells.cells] == [80 * B, 320 * B]


def test_every_flag_that_may_be_repeated_takes_several_values():
    several = {
        action.dest
        for action in sweep_parser(SWEEP)._actions
        if isinstance(action, argparse._AppendAction)
    }
    fields = {"location", "count", "gap", "age", "loss", "seed", "budget", "order", "teacher"}
    assert several == fields | {"set", "reference"}


def test_an_axis_that_is_named_as_a_flag_is_refused():
    def trial(scale, limit):
        return scale.trial(age=80 * B, location="input", count=1)

    sweep = Sweep(name="some", question="?", axes={"limit": (1, 2)}, trial=trial)
    with pytest.raises(UsageError, match="axis 'limit' is the name of a flag that every sweep has"):
        sweep_parser(sweep)


def test_random_search_takes_the_first_of_a_permutation():
    three, two = (plan("--search", "random", "--trials", n).cells for n in "32")
    assert three[:2] == two
    assert len(plan("--search", "tpe", "--trials", "2").cells) == 5


def test_the_environment_names_scale_and_storage(monkeypatch):
    monkeypatch.setenv("RAYDISTILL_SCALE", "paper_1b")
    monkeypatch.setenv("RAYDISTILL_STORAGE", "~/elsewhere")
    default = plan_of(SWEEP, sweep_parser(SWEEP).read([]), "python x.py")
    assert default.scale.name == "paper_1b"
    assert default.options.storage == Path.home() / "elsewhere"
    assert default.options.tracking_uri == f"sqlite:///{Path.home()}/elsewhere/mlflow.db"
    assert default.options.device_counts == range(8, 9)
    assert default.options.concurrent == "auto"


def test_a_flag_goes_before_the_environment(monkeypatch):
    monkeypatch.setenv("RAYDISTILL_SCALE", "paper_1b")
    assert plan().scale.name == "smoke"


def test_a_plan_says_why_it_has_its_scale(monkeypatch):
    def why(*argv):
        options = plan_of(SWEEP, sweep_parser(SWEEP).read(argv), "python x.py").options
        return options.scale_from

    assert why() == "by default, --scale names another"
    monkeypatch.setenv("RAYDISTILL_SCALE", "smoke")
    assert why() == "by $RAYDISTILL_SCALE where this runs"
    assert why("--scale", "laptop") == "by --scale"


def test_devices_share_the_micro_batches():
    flags = ["--devices-per-trial", "2", "--set", "micro_batches=2"]
    assert plan(*flags).options.device_counts == range(2, 3)
    with pytest.raises(UsageError, match="micro_batches=2"):
        plan("--devices-per-trial", "2")


def test_a_probe_is_of_the_devices_here():
    with pytest.raises(UsageError, match="--probe measures the devices here"):
        plan("--dry-run", "--probe", "--device", "H100")


def test_help_ends_with_the_exit_codes():
    text = " ".join(sweep_parser(SWEEP).format_help().split())
    assert "exit codes: 0 done, 1 trials failed, 2 usage, 3 data or checkpoint, 4 env" in text
    assert "130 stopped by ^C, 143 by SIGTERM" in text
