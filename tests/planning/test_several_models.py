"""Several models of one's own in a sweep over sizes: each a student, each a teacher."""

import shlex

import pytest

from raydistill.cli.arguments.given_flags import given_flags
from raydistill.cli.arguments.sweep_parser import sweep_parser
from raydistill.core.errors import RaydistillError
from raydistill.planning.axes.several_models import models_named
from raydistill.planning.history.rerun_command import command_of
from raydistill.planning.history.sweep_record import record_of
from raydistill.planning.outcomes import finished_trials
from raydistill.planning.prepared import prepare
from raydistill.planning.preview.dry_run import describe
from raydistill.storage.store import Store
from support import sweeping, trained_here
from support.hub_models import save_model
from support.tokenizer_kinds import save_kind

WIDTHS = {"70m": 16, "160m": 32, "410m": 64}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """GPT-NeoX of three widths, each at two steps."""
    folder = tmp_path_factory.mktemp("pythia")
    for name, width in WIDTHS.items():
        for seed, step in enumerate(("step1", "step2")):
            save_model(
                folder / name / step, "gpt_neox", seed=seed, hidden_size=width,
                intermediate_size=2 * width, num_hidden_layers=2, num_attention_heads=2,
            )  # fmt: skip
    return folder


def models(folder, *names):
    return ("--models", ",".join(f"{name}={folder}/{name}@step1+step2" for name in names))


def plan(storage, *flags, sweep="capacity_gap"):
    return trained_here.plan(storage, *flags, script=sweep)


def refusal(storage, *flags, sweep="capacity_gap"):
    with pytest.raises(RaydistillError) as error:
        plan(storage, *flags, sweep=sweep)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_each_is_a_student_and_a_teacher_at_its_revisions(folder, tmp_path):
    planned = plan(tmp_path, *models(folder, *WIDTHS), "--start", "own", "--seed", "1")
    taught = [cell for cell in planned.cells if cell.values["loss"] == "kd"]
    assert {cell.scale.name for cell in planned.cells} == set(WIDTHS)
    assert {(cell.values["size"], cell.values["teacher"]) for cell in taught} == {
        (size, f"{name}@{step}")
        for size in WIDTHS
        for name in WIDTHS
        for step in ("step1", "step2")
    }
    assert {(cell.base.key, cell.teacher.key) for cell in taught} >= {
        (("70m", "step2"), ("410m", "step1")),
        (("70m", "step2"), ("70m", "step2")),
    }
    assert {cell.scale.model.dim for cell in planned.cells} == set(WIDTHS.values())
    assert len({cell.scale.tokenizer for cell in planned.cells}) == 1


def test_a_plan_tells_what_they_cost(folder, tmp_path):
    flags = (*models(folder, *WIDTHS), "--size", "70m", "--teacher", "410m", "--loss", "kd")
    flags += ("--start", "own", "--seed", "1")
    planned = plan(tmp_path, *flags)
    (cell,) = planned.cells
    assert cell.values["teacher"] == "410m@step2"
    text = " ".join(describe(prepare(planned, Store(tmp_path)), width=100).split())
    assert "70m: 2 blocks, width 16" in text
    assert "teachers 410m@step2" in text
    assert "FLOPs exactly" in text


def test_commands_name_them_from_anywhere_and_again(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    words = ["--models", "70m=70m@step1+step2, 160m=160m@step2", "--scale", "smoke"]
    planned = plan(tmp_path, *words, "--storage", str(tmp_path))
    given = given_flags(sweep_parser(planned.sweep), ["python", "x.py"], words)
    texts = f"70m={folder}/70m@step1+step2,160m={folder}/160m@step2"
    assert ("--models", texts) in given.flags
    prepared = prepare(planned, Store(tmp_path))
    record = record_of(prepared)
    for request in record.cells:
        argv = shlex.split(command_of(record, request, Store(tmp_path)))[2:]
        (again,) = plan(tmp_path, *argv).cells
        assert (again.scale.name, again.request) == (request.cell.scale.name, request.cell.request)


def test_a_sweep_of_them_runs(folder, prepared, tmp_path):
    storage = prepared(tmp_path / "storage")
    flags = (
        *models(folder, *WIDTHS), "--size", "160m", "--start", "own", "--seed", "1",
        "--loss", "kd", "--teacher", "160m@step1,410m@step2", "--tasks", "word-order",
    )  # fmt: skip
    trained_here.train(storage, *flags, script="capacity_gap")
    done = sweeping.here("capacity_gap", storage, *flags)
    assert done.returncode == 0, done.stderr
    trials = [path.parent.name for path in storage.glob("trials/*/trained.json")]
    assert len(trials) == 2
    table = next(storage.glob("sweeps/capacity_gap/70m/table.md")).read_text()
    assert "160m@step1" in table
    assert "410m@step2" in table
    runs = sweeping.runs(storage, "capacity_gap")[1]
    taught = [run.data.params for run in runs if run.data.tags["role"] == "taught"]
    assert {(params["size"], params["teacher"]) for params in taught} == {
        ("160m", "160m@step1"),
        ("160m", "410m@step2"),
    }
    assert {end.result.trained.trial_id for end in finished_trials(Store(storage))} >= set(trials)


def test_what_cannot_be_is_refused_in_one_line(folder, tmp_path):
    save_kind(tmp_path / "other", "begins")
    both = f"70m={folder}/70m@step1,160m={folder}/160m@step2"
    for words, message in (
        (("--models", "70m"), "write NAME=FOLDER_OR_ID"),
        (("--models", f"laptop={folder}/70m@step1"), "a name is no scale's"),
        (("--models", f"{both},70m={folder}/410m@step1"), "names '70m' twice"),
        (("--models", f"{both},80m={folder}/70m@step2"), "its revisions are one model, @A+B"),
        (("--models", f"70m={folder}/70m@"), "are no revisions"),
        (("--models", f"70m={folder}/70m@step9"), "no revision 'step9'"),
        (("--models", both, "--size", "410m"), "no model '410m' among --models: 70m, 160m"),
        (("--models", both, "--model", f"{folder}/70m/step1"), "leave one of the two out"),
        (("--models", both, "--scale", "laptop"), "leave --scale laptop out"),
        (("--models", f"{both},other={tmp_path}/other"), "has another tokenizer"),
    ):
        assert message in refusal(tmp_path / "storage", *words)
    refused = refusal(tmp_path / "storage", "--models", both, sweep="where_to_drop")
    assert "--models goes with a sweep over sizes" in refused


def test_a_hub_id_has_its_revisions_behind_an_at():
    (model,) = models_named(["70m=EleutherAI/pythia-70m@step1000+step143000"]).values()
    assert (model.checkpoint, model.revisions) == (
        "EleutherAI/pythia-70m", ("step1000", "step143000"),
    )  # fmt: skip
    (whole,) = models_named(["70m=EleutherAI/pythia-70m"]).values()
    assert whole.revisions == ("main",)
    assert [model.text, whole.text] == [
        "70m=EleutherAI/pythia-70m@step1000+step143000", "70m=EleutherAI/pythia-70m",
    ]  # fmt: skip
