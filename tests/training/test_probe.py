"""A few real steps on this device, and the estimates of a plan that follow."""

import json
import runpy
from dataclasses import replace
from pathlib import Path

import pytest

from raydistill.cli.arguments.sweep_flags import plan_of
from raydistill.cli.arguments.sweep_parser import sweep_parser
from raydistill.data.corpus.preparation import prepare_corpus
from raydistill.data.known_corpora import UNTOKENISED
from raydistill.evaluation.lm_harness.task_data import keep_task_data, with_sources
from raydistill.evaluation.task_items import make_items
from raydistill.models.distributed import World
from raydistill.planning.prepared import prepare
from raydistill.planning.preview.costs import keep_estimates, trial_work
from raydistill.planning.preview.dry_run import describe
from raydistill.planning.resolve import distinct
from raydistill.runners.probing import merged, probe_jobs
from raydistill.specs.results import CostEstimate
from raydistill.specs.scale import load_scale
from raydistill.storage.store import Store
from raydistill.training.devices import keep_peak
from raydistill.training.jobs import ProbeJob, Variant
from raydistill.training.probe import probe
from raydistill.training.throughput import ESTIMATE_FILE, Peak, Probed, Rate, Unmeasured, probe_path
from support import task_samples
from support.planned import all_known, keep_ages

SMOKE, PAPER = load_scale("smoke"), load_scale("paper_300m")
WORLD = World.here()
LM, KD = (
    Variant(loss="lm", removed=2, teachers=()),
    Variant(loss="kd", removed=2, teachers=(SMOKE.model,)),
)


def job(store, *variants, scale=SMOKE, **changes):
    return ProbeJob(
        model=scale.model, recipe=scale.heal, devices=1, variants=variants or (LM,),
        evaluation=replace(scale.evaluation, tasks=("continuation",)), corpus_sha256="none",
        storage=str(store.root), **changes,
    )  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("probed"))


@pytest.fixture(scope="module")
def rate(store):
    return probe(job(store, replace(LM, removed=0), LM, KD), world=WORLD)


def a_plan(store, *flags):
    sweep = runpy.run_path(str(Path(__file__).parents[2] / "sweeps" / "where_to_drop.py"))["sweep"]
    argv = ["--scale", "smoke", "--storage", str(store.root), "--probe", *flags]
    return plan_of(sweep, sweep_parser(sweep).read(argv), "python some.py")


def test_every_variant_is_timed_whole_and_cut_and_with_its_teacher(rate):
    assert {(p.loss, p.blocks) for p in rate.paces} == {("lm", 6), ("lm", 4), ("kd", 4)}
    for pace in rate.paces:
        assert min(pace.flops_per_s, pace.tokens_per_s, pace.evaluate_s, pace.peak_bytes) > 0


def test_a_prediction_grows_with_the_flops_of_the_plan(store, rate):
    def seconds(budget):
        (cell,) = a_plan(store, "--age", "80B", "--location", "input", "--budget", budget).cells
        (trial,) = distinct([cell], all_known(SMOKE))
        work = trial_work(trial, store)
        return work, work.seconds({"smoke": rate}) - rate.pace("lm", 4).evaluate_s

    (short, short_s), (long, long_s) = seconds("20B"), seconds("40B")
    assert long_s / short_s == pytest.approx(long.flops_exact / short.flops_exact)
    assert 0 < short_s < long_s


def test_the_peak_is_measured_once_for_a_kind_of_device(store, rate):
    first = keep_peak("float32", store, WORLD)
    assert isinstance(first, Peak)
    assert first.flops_per_s > max(pace.flops_per_s for pace in rate.paces) / 4
    assert keep_peak("float32", store, WORLD) == first
    assert [file.name for file in store.path("devices").iterdir()] == ["cpu-float32.json"]


def test_tasks_count_once_their_questions_are_made(tmp_path, rate):
    assert rate.left_out == ("tasks whose questions are not made yet (continuation)",)
    store = Store(tmp_path)
    folder = prepare_corpus("smoke", store=store)
    make_items(["continuation"], store=store, folder=folder)
    assert probe(replace(job(store), corpus_sha256=folder.name), world=WORLD).left_out == ()
    data = task_samples.write(tmp_path / "data", {"sst2": task_samples.SAMPLES["sst2"]})
    own = with_sources(replace(job(store).evaluation, tasks=("sst2",)), data, store)
    with_source = replace(job(store), corpus_sha256=folder.name, evaluation=own)
    assert probe(with_source, world=WORLD).left_out[0].endswith("not made yet (sst2)")
    keep_task_data(own, data, store)
    assert probe(with_source, world=WORLD).left_out == ()
    assert len(json.loads((folder / "corpus.json").read_text())["corpus_sha256"]) == 64


def test_a_model_too_large_for_this_device_is_not_tried_and_no_number_is_made_up(store):
    large = Variant(loss="lm", removed=8, teachers=())
    result = probe(job(store, large, scale=PAPER), world=WORLD)
    assert isinstance(result, Unmeasured)
    assert "cpu" in result.reason


def test_one_device_that_cannot_run_it_decides_for_all(rate):
    assert merged([rate, Unmeasured(reason="full")]) == Unmeasured(reason="full")
    assert merged([rate, rate]) == rate


def test_the_smallest_and_the_largest_model_of_each_loss_are_probed(store):
    plan = a_plan(store, "--age", "80B", "--location", "none,input,output,1")
    (planned,) = probe_jobs(distinct(plan.cells, all_known(SMOKE)), all_known(SMOKE), store)
    assert [(v.loss, v.removed) for v in planned.variants] == [("lm", 0), ("lm", 2)]


def test_a_dry_run_estimates_time_memory_disk_and_money_by_the_probe(store, rate):
    plan = a_plan(store, "--price-per-hour", "2.50")
    before = describe(prepare(plan, store))
    assert "Money: ?, at 2.5 for an hour" in before
    store.save(Probed(found=rate), *probe_path(SMOKE.model, SMOKE.heal))
    text = " ".join(describe(prepare(plan, store)).split())
    for line in (
        "Times from a probe without tasks whose",
        "device-hours",
        "Memory on each device: at most",
    ):
        assert line in text
    assert "Disk: " in text
    assert "Money: 0." in text


def test_an_estimate_is_noted_before_a_trial_and_never_changed(tmp_path, rate):
    store = Store(tmp_path)
    keep_ages(store, SMOKE, UNTOKENISED)
    plan = a_plan(store, "--age", "80B")
    trials = distinct(plan.cells, replace(all_known(SMOKE), corpora={}))
    keep_estimates(trials, store, probed=True)
    assert not store.path("trials").exists()
    store.save(Probed(found=rate), *probe_path(SMOKE.model, SMOKE.heal))
    keep_estimates(trials, store, probed=True)
    key = ("trials", trials[0].trial.trial_id, ESTIMATE_FILE)
    estimate = store.load(CostEstimate, *key)
    assert estimate.device_s > 0
    assert estimate.source == rate.grounds
    slower = replace(rate, paces=tuple(replace(p, flops_per_s=1.0) for p in rate.paces))
    store.save(Probed(found=slower), *probe_path(SMOKE.model, SMOKE.heal))
    keep_estimates(trials, store, probed=True)
    assert store.load(CostEstimate, *key) == estimate


def test_a_probe_is_read_back_as_it_was_stored(store, rate):
    for result in (rate, Unmeasured(reason="too large")):
        store.save(Probed(found=result), "probes", "some.json")
        assert store.load(Probed, "probes", "some.json") == Probed(found=result)
    assert isinstance(rate, Rate)
