"""Budgets: none at all is one-shot everywhere, and those of a user's model are plain tokens."""

import pytest

from raydistill.core.errors import UsageError
from raydistill.planning.prepared import prepare
from raydistill.planning.preview.costs import plan_work
from raydistill.planning.preview.dry_run import describe
from raydistill.storage.store import Store
from support import finished, sweeping, trained_here
from support.hub_models import save_model

SWEEPS = sorted(path.stem for path in trained_here.SWEEPS.glob("*.py"))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(save_model(tmp_path_factory.mktemp("models") / "mine"))


@pytest.mark.parametrize("of", ["smoke", "laptop", "paper_1b", "model", "model at smoke"])
@pytest.mark.parametrize("name", SWEEPS)
def test_a_budget_of_0_trains_nothing(name, of, tmp_path, model):
    scale = ("--scale", "smoke") if of == "model at smoke" else ("--scale", of)
    own = ("--model", model, *(scale if " " in of else ("--corpus", "smoke")))
    flags = own if "model" in of else scale
    plan = sweep_plan(name, tmp_path, *flags, "--budget", "0")
    prepared = prepare(plan, Store(tmp_path))
    _, work = plan_work(prepared)
    assert {(training.tokens, training.flops_exact) for training in work} == {(0, 0)}
    alone = ("where_to_drop", "how_many_to_drop", "reduced_scale")  # whose cells are trials each
    assert len(work) < len(plan.cells) or name in alone
    told = " ".join(describe(prepared).split())
    assert ("budget 0, 0 steps" in told) is not ("training of bases" in told)


def sweep_plan(name, root, *flags):
    import runpy

    from raydistill.cli.arguments.sweep_flags import plan_of
    from raydistill.cli.arguments.sweep_parser import sweep_parser

    sweep = runpy.run_path(str(trained_here.SWEEPS / f"{name}.py"))["sweep"]
    return plan_of(sweep, sweep_parser(sweep).read(["--storage", str(root), *flags]), "")


def test_gaps_rates_losses_and_seeds_of_no_training_are_one_trial(tmp_path):
    store = Store(tmp_path)
    finished.prepare(store)
    flags = ("--location", "input", "--count", "2", "--budget", "0", "--seed", "1,2")
    sweep = finished.prepared(finished.plan("search", store, *flags, "--search", "grid"), store)
    assert len(sweep.plan.cells) == 12
    assert len(sweep.trials) == 1


def test_a_one_shot_sweep_runs_to_its_report(prepared, tmp_path):
    storage, flags = prepared(tmp_path), ("--budget", "0", "--location", "input", "--gap", "0,1B")
    trained_here.train(storage, *flags, script="when_to_drop")
    done = sweeping.here("when_to_drop", storage, *flags)
    assert done.returncode == 0, done.stderr
    ((trained, _),) = [
        result for result in sweeping.results(storage).values() if result[0]["curve"] == []
    ][:1]
    assert trained["cost"]["tokens"] == 0
    assert len(trained["kept"]) == 4


@pytest.mark.parametrize(("tokens", "steps"), [("1024", 2), ("4096", 8), ("8K", 16), ("100K", 195)])
def test_one_token_of_a_model_is_one_token_at_the_smoke_scale_too(tokens, steps, tmp_path, model):
    flags = ("--model", model, "--scale", "smoke", "--location", "none")
    plan = sweep_plan("where_to_drop", tmp_path, *flags, "--budget", tokens)
    recipe = plan.scale.recipe(plan.cells[0].request)
    assert recipe.budget_tokens == 512 * steps
    text = " ".join(describe(prepare(plan, Store(tmp_path))).split())
    assert "one token is one token" in text
    assert "of the paper's" not in text


def test_a_model_at_the_smoke_scale_has_that_scales_schedule_unless_told(tmp_path, model):
    plan = sweep_plan("when_to_drop", tmp_path, "--model", model, "--scale", "smoke")
    own = sweep_plan("when_to_drop", tmp_path, "--scale", "smoke", "--age", "320B")
    requests = [[cell.request for cell in of.cells] for of in (plan, own)]
    recipes = [[p.scale.recipe(r) for r in rs] for p, rs in zip((plan, own), requests, strict=True)]
    assert recipes[0] == recipes[1]
    gaps = [
        [p.scale.train_tokens(r.gap) for r in rs]
        for p, rs in zip((plan, own), requests, strict=True)
    ]
    assert gaps[0] == gaps[1]
    plain = sweep_plan("when_to_drop", tmp_path, "--model", model, "--scale", "smoke", "--gap=512")
    assert plain.scale.train_tokens(plain.cells[-1].request.gap) == 512


def test_a_budget_below_a_step_says_what_a_step_is(tmp_path, model):
    flags = ("--model", model, "--scale", "smoke", "--budget", "100")
    with pytest.raises(UsageError, match="100 tokens are no whole step of 512: ask for at least"):
        sweep_plan("where_to_drop", tmp_path, *flags)


def test_a_sweep_without_a_cell_says_so(tmp_path):
    flags = ("--scale", "smoke", "--budget", "0", "--arm", "scratch")
    with pytest.raises(UsageError, match="teacher_free_vs_kd has no cell with these flags"):
        sweep_plan("teacher_free_vs_kd", tmp_path, *flags)
