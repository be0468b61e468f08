"""Flags that no plan can be made of: one line, exit code 2, no traceback, and nothing left behind.

A flag that needs a cluster to be wrong: `test_two_devices.py`.
"""

import dataclasses

import pytest

from raydistill.core.errors import UsageError
from raydistill.planning.sweep import Sweep, _warn_once
from raydistill.specs.scale import Scale, load_scale
from support import sweeping

MASKED = "--scale smoke_reduced+mask=0.15"
PLANNING = [
    # flags, part of the error
    ("--location midle", "no location 'midle'. Did you mean 'middle'?"),
    ("--loss lmm", "no loss 'lmm'. Did you mean 'lm'?"),
    ("--location block-influense", "Did you mean 'block-influence'?"),
    ("--scale labtop", "no scale 'labtop'. Did you mean 'laptop'?"),
    ("--order decending", "no order 'decending'. Did you mean 'descending'?"),
    ("--search tpr", "no search 'tpr'. Did you mean 'tpe'?"),
    ("--search funel", "no search 'funel'. Did you mean 'funnel'?"),
    ("--recipe paper", "--recipe goes with --model; a scale has its own"),
    ("--seq-len 32", "--seq-len goes with --model; a scale has its own"),
    ("--max-length 32", "--max-length goes with --model; a scale has its own"),
    ("--model mine --recipe paper", "--recipe goes with --model alone; --scale smoke has its"),
    ("--model mine --scale laptop", "--model has a scale of its own: leave --scale laptop out"),
    ("--location input --count 5", "this model has 6 layers; the first and last stay: 1 to 4"),
    ("--location input --count -1", "1 to 4"),
    ("--location input --count 0", "only location 'none' removes nothing"),
    ("--tasks pica", "no task 'pica'. Did you mean 'piqa'?"),
    ("--tasks piqa,,copa", "'piqa,,copa' has an empty name"),
    ("--tasks paper13 --num-fewshot two", "'two': a whole number from 0 on"),
    ("--num-fewshot 2", "--num-fewshot is for tasks with data of their own"),
    ("--count 2.5", "'2.5' is not a whole number of layers"),
    ("--location block-influence --count 5", "1 to 4"),
    ("--location 0,2", "0 (the first and last stay)"),
    ("--location 2,5", "5 (the first and last stay)"),
    ("--location 2,2", "2 (listed twice)"),
    ("--location 2,9", "9 (out of range)"),
    ("--location=-2,3", "-2 (out of range)"),
    ("--location -2,3", "-2 (out of range)"),
    ("--location 4-2", "'4-2'"),
    ("--location 1,2,3 --count 2", "leave one of them out"),
    ("--gap=-1B", "negative"),
    ("--gap -1B", "negative"),
    ("--gap 20B", "so the model would keep layers"),
    ("--gap 10B", "at least 10 must"),
    ("--gap 1M", "no whole step of 512"),
    ("--budget 1M", "no whole step of 512"),
    ("--budget=-20B", "under one batch of 512"),
    ("--set warmup_tokens=16384", "warm-up of 16384 tokens is longer than the budget of 8192"),
    ("--set warmup_tokens=100", "the nearest is 512"),
    ("--budget many", "'many' is not a token count"),
    ("--age 640B", "its run ends at 320B"),
    ("--location=", "empty value"),
    ("--location random-5-3", "random-5-3: write the lower number first"),
    ("--location input,", "empty value"),
    ("--set batch_tokens=500", "the nearest is 512"),
    ("--set batch_tokens=0", "batch_tokens is 0: it must be at least 1"),
    ("--teacher midle", "--teacher goes with a loss that has one, such as --loss kd"),
    ("--devices-per-trial 2", "--set micro_batches=2"),
    ("--devices-per-trial 3", "take other devices, or another batch_tokens; the nearest is 576"),
    (
        "--loss kd --teacher midle",
        "no teacher 'midle': write own, an age such as 80B, SCALE@AGE, a folder, or an id of",
    ),
    ("--loss kd --teacher 640B", "its run ends at 320B"),
    ("--loss kd --teacher labtop@80B", "no scale 'labtop'. Did you mean 'laptop'?"),
    ("--loss kd --teacher laptop@80B", "teacher 'laptop@80B' has another tokenizer"),
    ("--reference labtop", "no scale 'labtop'. Did you mean 'laptop'?"),
    ("--reference smoke_small@640B", "its run ends at 320B"),
    ("--reference laptop@80B", "reference 'laptop@80B' has another tokenizer"),
    ("--reference smoke --search tpe --trials 2", "--reference goes with --search grid or"),
    ("--loss kd+temperature=0", "temperature is '0', it must be a number above 0"),
    ("--loss kd+kl=1.5", "weight kl is '1.5', it must be a number from 0 to 1"),
    ("--loss kd+temprature=2", "Did you mean 'temperature'?"),
    ("--loss lm+kl=1", "'lm' has no settings"),
    ("--teacher-placement nearby", "no teacher placement 'nearby'"),
    ("--teacher-placement cached:top-kk=3", "no excerpt 'top-kk'. Did you mean 'top-k'?"),
    ("--teacher-placement cached:top-k=0", "write top-k=SIZE, from 1 to 65,535 ids"),
    ("--devices-per-trial 2-1", "--devices-per-trial 2-1: write the fewer first"),
    ("--devices-per-trial 2-3 --set micro_batches=3", "micro_batches is 3, which 6 devices"),
    ("--checkpoint-every often", "--checkpoint-every 'often': seconds, from 0"),
    ("--cache-gb none", "--cache-gb 'none': a number above 0"),
    (
        "--loss kd+hidden=1 --teacher-placement cached",
        "it must stand whole on the student's device",
    ),
    ("--set lr=fast", "--set lr=fast: it must be a number, above 0"),
    ("--set lr=-1e-4", "--set lr=-1e-4: it must be a number, above 0"),
    ("--set lr=nan", "--set lr=nan: it must be a number, above 0 and finite"),
    ("--set peak_lr=inf", "--set peak_lr=inf: it must be a number, above 0 and finite"),
    ("--set micro_batches=x", "--set micro_batches=x: 'x' is not a token count"),
    ("--set peak_ler=1", "Did you mean 'peak_lr'?"),
    ("--set lr", "write field=value"),
    ("--price-per-hour free", "--price-per-hour 'free'"),
    ("--price-per-hour=-1", "--price-per-hour '-1'"),
    ("--locaton input", "unknown flag or argument '--locaton', did you mean --location?"),
    ("input", "unknown flag or argument 'input'"),
    ("--count", "argument --count: expected one argument"),
    ("--sharding half", "no sharding 'half'. There are: auto, fully, none"),
    ("--sharding fully", "is over several devices: add --devices-per-trial 2"),
    (
        "--sharding fully --devices-per-trial 2 --set micro_batches=2 --loss kd+attention=1",
        "looks into the student's attention, whose weights are then in shards: --sharding none",
    ),
    (
        "--sharding none --devices-per-trial 2 --set micro_batches=2 --set precision=bfloat16 "
        "--set param_dtype=bfloat16",
        "param_dtype bfloat16 on several devices sums gradients in shards: --sharding fully",
    ),
    (
        "--devices-per-trial 2 --set micro_batches=2 --set precision=bfloat16 "
        "--set param_dtype=bfloat16 --loss kd+attention=1",
        "looks into its attention: leave param_dtype out, or --devices-per-trial 1",
    ),
    ("--devices-per-trial 0", "--devices-per-trial '0': a whole number from 1 on"),
    ("--concurrent none", "--concurrent 'none': a whole number from 1 on"),
    ("--seed 0", "--seed '0': a whole number from 1 on"),
    ("--lr_factor 1", "unknown flag or argument '--lr_factor'"),
    ("--search tpe --trials 2 --objective delta_nl", "Did you mean 'delta_nll'?"),
    ("--search tpe --trials 2 --objective perplexity", "downstream, flops, parameters"),
    ("--objective delta_nll", "--objective goes with --search tpe, not with 'grid'"),
    ("--trials 3", "a grid takes every cell"),
    ("--search random", "--search random needs --trials, 1 to 5"),
    ("--corpus a.txt=0.5,b.txt", "write each text with its share of the tokens"),
    ("--corpus a.txt=1,a.txt=1", "names a text twice"),
    ("--model ~nobody-of-this-name/x", "nobody here has that home"),
    ("--corpus ~nobody-of-this-name/x", "nobody here has that home"),
    (f"{MASKED} --tasks continuation", "tasks ask what follows a text, which a model of family"),
    (f"{MASKED} --loss lm", "family encoder sees the next tokens, which it would tell"),
    (f"{MASKED} --loss kd --teacher smoke_reduced@80B", "it learns by masked-lm"),
    (f"{MASKED} --reference smoke_reduced", "that learned the next tokens tells no masked ones"),
    (f"{MASKED} --location block-influence", "scores read text as it is, and models of family"),
    ("--reference smoke_reduced+mask=0.15", "tasks ask what follows a text, which a model of fam"),
    ("--loss kd --teacher smoke_reduced+mask=0.15@80B", "a student is to tell: name a causal one"),
]

NAMES = ["", "-sweep", "../up", "a/b", "a b", "Sweep", "a" * 65, "ä"]


@pytest.mark.parametrize(("flags", "message"), PLANNING, ids=[flags for flags, _ in PLANNING])
def test_what_cannot_be_planned_is_told_in_one_line(refused, flags, message):
    code, (out, error) = refused(flags.split())
    assert code == 2
    assert out == ""
    assert error.count("\n") == 1
    assert message in error


def sweep_over_age(**changes):
    def trial(scale: Scale, age: int):
        return scale.trial(age=age, location="input", count=scale.count)

    return Sweep(**{"name": "s", "question": "", "axes": {"age": (1,)}, "trial": trial} | changes)


def test_an_unknown_sweep_axis_or_model_family_is_named():
    from raydistill.models.decoder import build

    with pytest.raises(UsageError, match=r"no sweep axis 'agee'. Did you mean 'age'"):
        sweep_over_age(at={"smoke": ({"agee": (1,)},)})
    with pytest.raises(UsageError, match=r"no .* 'plam'. Did you mean 'palm'"):
        build(dataclasses.replace(load_scale("smoke").model, family="plam"), seed=0)


@pytest.mark.parametrize("name", NAMES, ids=[f"{name[:6]!r}" for name in NAMES])
def test_a_sweep_name_has_a_rule(name):
    with pytest.raises(UsageError) as refusal:
        sweep_over_age(name=name)
    rule = "a small letter, then up to 63 of a-z, 0-9, _ and -"
    assert str(refusal.value) == f"sweep name {name!r}: {rule}"
    assert refusal.value.exit_code == 2


def test_a_location_that_fills_is_run_and_labelled(refused):
    code, (out, _) = refused(["--dry-run", "--location", "alt-input", "--count", "4"])
    assert code == 0
    assert "alt-input, 2 of 4" in out


def test_equal_values_are_taken_once_with_a_warning(refused, caplog):
    _warn_once.cache_clear()  # another test of this process may have seen it
    code, (out, _) = refused(["--dry-run", "--location", "input,input"])
    assert code == 0
    assert "axis 'location' repeats input" in caplog.text
    assert "Cells 2 " in out


@pytest.mark.parametrize("factor", ["fast", "nan", "-1"])
def test_a_factor_of_the_rate_is_a_number_above_0(tmp_path, factor):
    done = sweeping.here("search", tmp_path / "storage", "--lr_factor", factor)
    assert done.returncode == 2
    assert f"--lr_factor '{factor}': times the recipe's peak rate, a number above 0" in done.stderr


def test_a_plan_of_unknown_length_is_shown_and_refused(refused):
    code, (out, error) = refused(["--scale", "paper_300m"])
    assert code == 2
    assert "Cells 32 · distinct trials 32 · done 0." in out
    assert error.count("\n") == 1
    assert "look at it with --dry-run --probe, then add --yes" in error


def test_a_plan_of_any_size_can_be_looked_at(refused):
    code, (out, _) = refused(["--dry-run", "--scale", "paper_300m"])
    assert code == 0
    assert "Cells 32 · distinct trials 32 · done 0." in out
