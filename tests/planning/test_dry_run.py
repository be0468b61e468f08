"""The plan as plain text."""

import re
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raydistill.cli.arguments.sweep_flags import plan_of
from raydistill.cli.arguments.sweep_parser import sweep_parser
from raydistill.core.units import format_flops, format_tokens
from raydistill.data.known_corpora import UNTOKENISED
from raydistill.planning.prepared import prepare
from raydistill.planning.preview.costs import trial_work
from raydistill.planning.preview.dry_run import MOST_ROWS, describe
from raydistill.planning.preview.trial_table import BEGINNING, NO_ID, layer_map
from raydistill.specs.flops import exact_flops, parameters
from raydistill.specs.locations import pick
from raydistill.specs.scale import load_scale, scale_names
from raydistill.specs.trial import DropPlan
from raydistill.storage.store import Store
from support import trained_here
from support.hub_models import save_tokenizer
from support.planned import all_known, finished, keep_ages

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from tiny_decoders import tiny_decoder

SCRIPT = Path(__file__).parents[2] / "sweeps" / "where_to_drop.py"
HEAVY = ("torch", "ray", "mlflow", "numpy", "optuna", "datasets", "transformers", "matplotlib")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def a_plan(store, *flags):
    sweep = runpy.run_path(str(SCRIPT))["sweep"]
    argv = ["--storage", str(store.root), *flags]
    return plan_of(sweep, sweep_parser(sweep).read(argv), "python some.py")


def lines_of(store, *flags, width=100):
    return describe(prepare(a_plan(store, *flags), store), width=width).splitlines()


def test_what_a_flag_fixes_is_said_of_every_trial(store):
    def shared(*flags):
        text = " ".join(lines_of(store, "--scale", "smoke", "--age", "80B", *flags))
        return re.search(r"every trial: (.*?), (?:tokens|FLOPs|time)", " ".join(text.split()))[1]

    assert shared() == "age 80B, gap 0"
    assert shared("--loss", "kd+temperature=2") == "age 80B, gap 0, loss kd+temperature=2"
    flags = ("--loss", "kd", "--teacher", "320B", "--order", "descending")
    assert shared(*flags) == "age 80B, gap 0, loss kd, order descending, teacher 320B"


def test_an_ablation_says_what_each_change_makes_of_which_value(store):
    def changes(*flags):
        plan = trained_here.plan(store.root, *flags, "--seed", "1", script="ablate")
        text = " ".join(describe(prepare(plan, store)).split())
        return re.search(r" changes (.*?) text ", text)

    around = ("--around", "lr=1e-3,loss=kd+temperature=2")
    factors = ("--change", "point,lr*2,warmup_tokens*2,gap=1B,loss=lm,schedule=wsd")
    warmup = load_scale("smoke").heal.warmup_tokens
    before, after = format_tokens(warmup), format_tokens(2 * warmup)
    assert changes(*around, *factors)[1] == (
        "around location input, count 2, gap 0, loss kd+temperature=2; lr*2: 0.001 → 0.002; "
        f"warmup_tokens*2: {before} → {after}; gap=1B: 0 → 1B; "
        "loss=lm: kd+temperature=2 → lm; schedule=wsd: cosine → wsd"
    )
    assert changes("--change", "lr*2") is None  # it differs from no point


def test_a_plan_says_on_how_many_devices_a_trial_trains(store):
    def text(*flags):
        return " ".join(" ".join(lines_of(store, *flags)).split())

    said = "each trial on 4 devices at once (--devices-per-trial)"
    assert said in text("--scale", "paper_300m")
    assert "devices at once" not in text("--scale", "paper_300m", "--devices-per-trial", "1")


def test_of_blocks_that_differ_a_plan_says_how_large_they_are(store, tmp_path):
    """Sums are over those that stay; where a score has not chosen, of mean blocks."""
    folder = tmp_path / "mine"
    model = tiny_decoder("deepseek_v3")
    model.save_pretrained(folder)
    save_tokenizer(folder)
    flags = ("--model", str(folder), "--scale", "smoke", "--location")
    size = sum(p.numel() for p in model.parameters())
    dense, sparse = (sum(p.numel() for p in model.model.layers[n].parameters()) for n in (0, 5))

    def text(location):
        return " ".join(" ".join(lines_of(store, *flags, location)).split())

    known, unknown = text("input"), text("block-influence")
    assert f"width 32, {size / 1e6:.4g}M parameters, 0.108M active;" in known
    blocks = f"of {format_tokens(dense)} to {format_tokens(sparse)} parameters; parameters, FLOPs"
    assert blocks in known
    assert "of mean ones" not in known
    assert "where it is not known yet which leave, of mean ones" in unknown
    (trial,) = prepare(a_plan(store, *flags, "input"), store).trials
    work = trial_work(trial, store)
    assert work.kept_bytes == 4 * (size - dense - sparse)
    assert work.blocks == 4
    (trial,) = prepare(a_plan(store, *flags, "block-influence"), store).trials
    blocks = 2 * dense + 4 * sparse
    assert trial_work(trial, store).kept_bytes == 4 * (size - blocks + 4 * (blocks // 6))


def test_a_layer_is_a_box():
    assert layer_map(12, pick("input", 12, 4)) == "■□□□□■■■■■■■"


def test_every_distinct_trial_has_its_line(store):
    lines = lines_of(store, "--scale", "laptop")
    maps = [line for line in lines if line[:1] in "■□·" and "stays" not in line and line]
    assert len(maps) == 18
    assert any("random-0, random-2 320B" in line for line in maps)  # drawn alike
    assert "Cells 19 · distinct trials 18 · done 0." in lines
    assert any(line.startswith("■□□□□■■■■■■■  input") for line in lines)
    assert any(line.startswith("············  block-influence") for line in lines)
    assert "■ stays  □ leaves  · layers known after scoring" in lines


def test_what_all_trials_share_is_said_of_those_that_are_not_shown_too(store):
    flags = ("--scale", "smoke", "--age", "80B", "--location", "none,input", "--set")
    lines = lines_of(store, *flags, "lr=1e-5..1e-3:log", "--search", "tpe", "--trials", "3")
    assert sum(line.startswith("■■■■") for line in lines) == MOST_ROWS
    assert "… and 88 more trials to choose from" in lines
    (shared,) = [line for line in lines if line.startswith("every trial: ")]
    assert "age 80B" in shared
    assert "count" not in shared
    assert "FLOPs" not in shared


def test_before_a_base_exists_its_trials_have_no_id(store):
    lines = lines_of(store, "--scale", "smoke")
    assert "80B → 15.872K (to be pretrained)" in "\n".join(lines)
    assert "every trial: gap 0, tokens 8.7K, time ?, id after pretraining" in lines


def test_scale_and_both_clocks_are_told(store):
    text = "\n".join(lines_of(store, "--scale", "laptop"))
    assert "0.6335M parameters; corpus embedded; by --scale" in text
    assert "1 token of pretraining stands for 20,000 of the paper's" in text
    assert "1 token of training for 62,500" in text
    assert "budget 20B → 319.488K" in text


def test_locations_of_equal_layers_share_a_line(store):
    lines = lines_of(store, "--scale", "smoke", "--age", "80B", "--location", "input,2,1,none")
    assert any("input, 2,1 " in line for line in lines)
    assert "Cells 3 · distinct trials 2 · done 0." in lines
    assert "Cells that are one trial: input, age 80B = 2,1, age 80B." in lines
    several = lines_of(store, "--scale", "smoke", "--age", "80B", "--location", "input,output,none")
    assert not any("one trial" in line for line in several)


def test_cells_of_an_axis_that_are_one_trial_are_named(store):
    flags = ("--scale", "smoke", "--age", "80B", "--set", "weight_decay=0,0.1", "--budget", "0")
    text = " ".join(" ".join(lines_of(store, *flags, "--location", "input,none")).split())
    for location in ("input", "none"):
        same = " = ".join(f"{location}, age 80B, weight_decay {decay}" for decay in (0, 0.1))
        assert same in text
    lines = lines_of(store, *flags[:-2], "--location", "input", "--set", "lr=0.001,0.0003")
    assert "peak rate by trial" in " ".join(" ".join(lines).split())
    (head,) = (line for line in lines if line.split()[:1] == ["location"])
    assert head.split()[:3] == ["location", "lr", "weight_decay"]
    assert not any("one trial" in line for line in lines)


def test_a_filled_location_is_labelled(store):
    lines = lines_of(store, "--scale", "laptop", "--location", "alt-input", "--count", "8")
    assert any("alt-input, 5 of 8" in line for line in lines)


def test_what_is_done_and_what_the_rest_will_take_is_told(store):
    """Two cells of 2 layers less and two whole ones are left, each a warm phase and the budget."""
    smoke = load_scale("smoke")
    keep_ages(store, smoke, UNTOKENISED)
    plan = a_plan(store, "--scale", "smoke", "--price-per-hour", "3600")
    made = replace(all_known(smoke), corpora={})
    trial = prepare(plan, store, made).trials[1].trial
    done = finished(trial, smoke, train_s=40.0)
    store.save(done, "trials", trial.trial_id, "trained.json")
    text = describe(prepare(plan, store), width=200)
    assert "after pretraining" not in text
    assert trial.trial_id in text
    assert "Cells 5 · distinct trials 5 · done 1." in text
    cut = done.cost.flops_exact
    whole = exact_flops(smoke.model, DropPlan(), trial.train.recipe)
    tokens = 512 + 8192
    seconds = 2 * (40 + 1) + 2 * (40 * whole / cut + 1)
    params = parameters(smoke.model)
    assert (
        f"To do: {4 * tokens / 1000:g}K tokens, "
        f"{format_flops(2 * cut + 2 * whole)} FLOPs exactly, "
        f"{format_flops(12 * 8192 * (params + parameters(smoke.model, removed=2)))} by the "
        f"paper's rule, device time {seconds / 60:.0f}m ({seconds / 3600:.3g} device-hours)."
    ) in text
    assert f"Times from finished trials: {tokens / 40:.0f} tokens/s on each cpu." in text
    assert f"each trial under way up to {3 * 8 * params / 1e6:.3g} MB of checkpoints" in text
    assert f"Money: {seconds:.2f}, at 3600 for an hour of one device." in text


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ("", "at most 263 kB in the storage, cap 8 GB (--cache-gb)."),  # 128 windows of 64 tokens
        ("--location input,output", "at most 263 kB in the storage"),
        ("--seed 1,2", "at most 526 kB in the storage"),
        ("--cache-gb 0.0002", "over the cap of 0.0002 GB: raise --cache-gb"),
    ],
)
def test_the_disk_of_cached_teachers_is_told_beside_its_cap(store, flags, sentence):
    cached = (
        "--scale smoke --age 320B --location input --loss kd --teacher-placement cached:top-k=8"
    )
    assert sentence in "\n".join(lines_of(store, *cached.split(), *flags.split(), width=200))


def test_without_a_cached_teacher_nothing_is_said_of_one(store):
    assert "Cached teachers" not in "\n".join(lines_of(store, "--scale", "smoke", "--loss", "kd"))


@pytest.mark.parametrize("width", [40, 60, 80, 100])
@pytest.mark.parametrize("scale", sorted({*scale_names()} - {"honey", "reduced"}))  # of own ages
def test_no_line_is_wider_than_the_terminal(store, scale, width):
    lines = lines_of(store, "--scale", scale, width=width)
    assert max(map(len, lines)) <= max(width, 12 + len(str(store.root)))


FLAGS = st.tuples(
    st.sampled_from(
        ("", "--loss kd", "--loss kd+temperature=2 --teacher-placement cached:top-k=8")
    ),
    st.sampled_from(("", "--seed 1,2", "--search tpe --trials 4", "--search funnel --trials 2")),
    st.sampled_from(("", "--device L40S", "--price-per-hour 2.5", "--tokens-per-s 20000")),
    st.sampled_from(("", "--location all --age 320B", "--age 320B --count 2", "--set lr=2e-05")),
)


@settings(max_examples=10, deadline=None)
@given(
    scale=st.sampled_from(("smoke", "laptop", "paper_300m")),
    flags=FLAGS,
    width=st.integers(60, 200),
)
def test_no_word_of_a_plan_is_broken(tmp_path_factory, scale, flags, width):
    """What stands in narrow lines stands in wide ones, but for shorter ids and layers by number."""
    folder = tmp_path_factory.getbasetemp() / "a-folder-with-a-long-name" / ("plans-" * 12)
    words = ("--dry-run", "--scale", scale, *" ".join(flags).split())
    plan = prepare(a_plan(Store(folder), *words), Store(folder))
    lines = describe(plan, width=width).splitlines()
    too_long = [line for line in lines if len(line) > width]
    assert all(str(folder) in line for line in too_long)
    assert len(too_long) <= 1
    wide = describe(plan, width=1000).split()
    words = {*wide, *(word[:BEGINNING] for word in wide), NO_ID, "layers", "leave"}
    for word in " ".join(lines).split():
        assert word in words or re.fullmatch(r"\d+(-\d+)?", word), word


def test_wide_enough_terminals_get_one_line_for_each_trial(store):
    for scale, trials in [("paper_300m", 32), ("paper_1b", 5)]:
        maps = [ln for ln in lines_of(store, "--scale", scale) if ln and not ln[:24].strip("■□·")]
        assert len([line for line in maps if "location" not in line]) == trials


@pytest.mark.parametrize("flag", ["--dry-run", "--help"])
def test_nothing_heavy_is_imported(tmp_path, flag):
    code = (
        f"import runpy, sys; sys.argv = ['x', {flag!r}, '--storage', {str(tmp_path)!r}]\n"
        f"try: runpy.run_path({str(SCRIPT)!r}, run_name='__main__')\n"
        f"except SystemExit as end: print(end.code, set(sys.modules) & set({HEAVY!r}))"
    )
    out = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert out.splitlines()[-1] == "0 set()"


def test_a_dry_run_leaves_nothing_behind(tmp_path):
    store = Store(tmp_path / "storage")
    lines_of(store, "--scale", "smoke")
    assert not store.root.exists()


def test_a_strong_weight_decay_is_told_before_anything_is_trained(store):
    text = " ".join(" ".join(lines_of(store, "--set", "weight_decay=0.1")).split())
    assert "decay warning: weight_decay 0.1 of lion takes 10 % of every weight matrix" in text
    assert "decay warning" not in " ".join(lines_of(store))
