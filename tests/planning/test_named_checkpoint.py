"""A `--teacher` that is a checkpoint: any model of the same tokenizer, refused before anything."""

import json
from dataclasses import replace

import pytest

from raydistill.cli.arguments.given_flags import given_flags
from raydistill.cli.arguments.sweep_parser import sweep_parser
from raydistill.core.errors import RaydistillError
from raydistill.core.units import format_bytes
from raydistill.planning.artifacts import find_artifacts
from raydistill.planning.axes.named_checkpoint import NamedCheckpoint, checkpoint_named
from raydistill.planning.history.rerun_command import command_of
from raydistill.planning.history.sweep_record import record_of
from raydistill.planning.prepared import prepare
from raydistill.planning.preview.costs import trial_work
from raydistill.planning.preview.dry_run import describe
from raydistill.planning.resolve import resolve
from raydistill.reports.sources.from_store import from_store
from raydistill.specs.flops import forward_flops_per_token, parameters
from raydistill.specs.trial import ExternalBase, UnreadBase
from raydistill.storage.store import Store
from support import hub_models, trained_here

KD = ("--location", "input", "--age", "320B", "--loss", "kd")
WIDE = {"hidden_size": 64, "num_hidden_layers": 3, "vocab_size": 2112}


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """Another family than the students', wider, shorter, with more rows than the tokenizer."""
    return hub_models.save_model(tmp_path_factory.mktemp("models") / "wide", "qwen2", **WIDE)


def plan(folder, *flags):
    return trained_here.plan(folder / "storage", *flags)


def refusal(folder, *flags):
    """The one line of an error; the storage is not even made."""
    with pytest.raises(RaydistillError) as error:
        plan(folder, *flags)
    assert not (folder / "storage").exists()
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_a_name_may_be(tmp_path, monkeypatch):
    (tmp_path / "big/step10").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    folder = str(tmp_path / "big")
    for text in ("big", "./big", folder, "big@main"):
        assert checkpoint_named(text) == NamedCheckpoint(name=folder, revision="main")
    at_step = NamedCheckpoint(name=folder, revision="step10")
    assert checkpoint_named("big@step10") == checkpoint_named(at_step.text) == at_step
    on_hub = NamedCheckpoint(name="org/name", revision="refs/pr/1")
    assert checkpoint_named("org/name@refs/pr/1") == on_hub
    assert checkpoint_named("80B") is checkpoint_named("laptop@80B") is None


def test_a_teacher_is_an_axis_and_is_named_in_tables_not_by_its_place(wide, tmp_path):
    planned = plan(tmp_path, *KD, "--teacher", f"own,80B,{wide}")
    own, age, other = planned.cells
    assert [c.values["teacher"] for c in planned.cells][:2] == ["own", "80B"]
    assert other.values["teacher"] == other.teacher.name
    assert other.values["teacher"].startswith("wide-")
    assert other.request.teacher == str(wide)
    assert (other.teacher.scale.model.dim, other.scale.model.dim) == (64, 32)
    assert own.teacher == own.base
    assert age.teacher.age == 80_000_000_000
    (single,) = plan(tmp_path, *KD, "--teacher", str(wide)).cells
    assert "teacher" not in single.values


def test_ids_are_by_weights_however_the_folder_is_called(wide, prepared, tmp_path, monkeypatch):
    storage = prepared(tmp_path / "storage")
    store = Store(storage)
    (unread,) = prepare(trained_here.plan(storage, *KD, "--teacher", str(wide)), store).trials
    assert isinstance(unread.trial.teacher, UnreadBase)
    assert (unread.has_final_id, unread.id_after) == (False, "after reading")
    monkeypatch.chdir(wide.parent)
    (wide.parent / "link").symlink_to("wide")
    ids = set()
    for name in (str(wide), "wide", "./wide", "link"):
        planned = trained_here.plan(storage, *KD, "--teacher", name)
        trained_here.read_checkpoints(planned, storage)
        (cell,) = planned.cells
        spec = resolve(cell, find_artifacts(planned.scale, planned.cells, store))
        assert isinstance(spec.teacher, ExternalBase)
        assert spec.teacher.weights_sha256
        ids.add(spec.trial_id)
    assert len(ids) == 1


def test_the_command_of_a_cell_means_its_trial_from_anywhere(wide, prepared, tmp_path, monkeypatch):
    storage = prepared(tmp_path / "storage")
    monkeypatch.chdir(wide.parent)
    planned = trained_here.plan(storage, *KD, "--teacher", "own,wide")
    trained_here.read_checkpoints(planned, storage)
    store = Store(storage)
    record = record_of(prepare(planned, store))
    monkeypatch.chdir(tmp_path)
    for cell in record.cells:
        words = command_of(record, cell, store).split()[2:]
        (trial,) = prepare(trained_here.plan(storage, *words), store).trials
        assert trial.trial_id == cell.spec.trial_id
    assert f"--teacher {wide}" in command_of(record, record.cells[1], store)


def test_printed_flags_have_absolute_teachers_and_leave_ages_alone(wide, tmp_path, monkeypatch):
    monkeypatch.chdir(wide.parent)
    for beside in ("own", "80B", "step1", "main"):
        (wide.parent / beside).mkdir(exist_ok=True)
    parser = sweep_parser(plan(tmp_path, *KD).sweep)
    argv = ["--model", "wide", "--age", "main,step1", "--teacher", "own,step1,main,wide"]
    words = given_flags(parser, ["raydistill"], argv).words()
    assert words[words.index("--teacher") + 1] == f"own,step1,main,{wide}"
    words = given_flags(parser, ["raydistill"], ["--teacher", "80B,wide"]).words()
    assert words[words.index("--teacher") + 1] == f"80B,{wide}"


def test_a_plan_counts_the_teacher(wide, tmp_path):
    planned = plan(tmp_path, *KD, "--teacher", str(wide))
    (trial,) = (sweep := prepare(planned, Store(tmp_path / "storage"))).trials
    model = planned.cells[0].teacher.scale.model
    work = trial_work(trial, sweep.store)
    assert work.teacher_flops == 8192 * forward_flops_per_token(model)
    assert work.teacher_bytes == 4 * parameters(model)
    text = " ".join(describe(sweep, width=10_000).split())
    name = planned.cells[0].teacher.name
    assert f"teachers {name} ({wide}), {format_bytes(work.teacher_bytes)} of weights" in text
    assert f"{name.partition('@')[0]}: 3 blocks, width 64, " in text
    assert f"{name.replace('@', ' ')} (to be read)" in text


def test_other_tokenizers_are_refused_with_the_first_difference(tmp_path):
    folder = hub_models.save_model(tmp_path / "other")
    file = folder / "tokenizer.json"
    whole = json.loads(file.read_text("utf-8"))
    swapped = {i: token for token, i in whole["model"]["vocab"].items()}
    first, second = swapped[1000], swapped[1001]
    whole["model"]["vocab"] |= {first: 1001, second: 1000}
    file.write_text(json.dumps(whole), "utf-8")
    message = refusal(tmp_path, *KD, "--teacher", str(folder))
    assert message.startswith(f"teacher '{folder}' has another tokenizer ({folder}) than the")
    assert f"id 1000 is {first!r} to the students and {second!r} to the teacher" in message
    own = ("--model", str(hub_models.save_model(tmp_path / "own")), "--location", "input")
    assert f"students ({tmp_path / 'own'})" in refusal(
        tmp_path, *own, "--loss", "kd", "--teacher", str(folder)
    )


REFUSED = {
    "too short": ({"max_position_embeddings": 32}, (), "reads up to 32 tokens, and a window"),
    "too few ids": ({"vocab_size": 1024}, (), "and the teacher knows those below 1024"),
    "hidden": (WIDE, ("--loss", "kd+hidden=1"), "has width 64 and 3 blocks, the student's base"),
    "embedding": (WIDE, ("--loss", "kd+embedding=1"), "has width 64, the student's base width 32"),
    "attention": ({}, ("--loss", "kd+attention=1"), "has 4 heads, the student's base 2 heads"),
}


@pytest.mark.parametrize(("shape", "flags", "words"), REFUSED.values(), ids=REFUSED)
def test_shapes_that_cannot_teach_are_refused(shape, flags, words, tmp_path):
    folder = hub_models.save_model(tmp_path / "teacher", **shape)
    assert words in refusal(tmp_path, *KD[:4], *(flags or KD[4:]), "--teacher", str(folder))


def test_a_context_that_is_too_short_names_the_flag_of_a_model_of_ones_own(tmp_path):
    short = hub_models.save_model(tmp_path / "short", max_position_embeddings=32)
    model = ("--model", str(hub_models.save_model(tmp_path / "own")), "--location", "input")
    flags = (*model, "--loss", "kd", "--teacher", str(short))
    assert "a window of training has 64: add --seq-len 32" in refusal(tmp_path, *flags)
    (cell,) = plan(tmp_path, *flags, "--seq-len", "32").cells
    assert cell.teacher.scale.model.context == 32


def test_the_students_own_model_is_one_base_however_it_is_named(tmp_path):
    folder = hub_models.save_model(tmp_path / "own")
    for step in ("step1", "step2", "step3"):
        hub_models.save_model(folder / step, seed=int(step[-1]))
    ages = ("--model", str(folder), "--age", "step1,step2", "--location", "input")
    flags = (*ages, "--loss", "kd", "--teacher", f"step1,{folder}@step1,{folder}@step3")
    cells = plan(tmp_path, *flags).cells
    assert [c.teacher.age for c in cells] == 2 * ["step1", "step1", "step3"]
    assert {c.teacher.key[0] for c in cells} == {cells[0].scale.name}


def test_a_base_of_a_scale_teaches_a_model_of_its_tokenizer(tmp_path):
    folder = hub_models.save_model(tmp_path / "own", max_position_embeddings=128)
    flags = ("--model", str(folder), "--corpus", "embedded", "--location", "input", "--loss", "kd")
    (cell,) = plan(tmp_path, *flags, "--scale", "smoke", "--teacher", "laptop@320B").cells
    assert cell.teacher.key == ("laptop", 320_000_000_000)
    longer = refusal(tmp_path, *flags, "--seq-len", "128", "--teacher", "smoke@320B")
    assert "smoke@320B reads up to 64 tokens, and a window of training has 128" in longer
    assert "no age 640B" in refusal(tmp_path, *flags, "--teacher", "laptop@640B")
    assert "write own, an age such as main, SCALE@AGE" in refusal(
        tmp_path, *flags, "--teacher", "320B"
    )


def test_a_folder_that_was_changed_is_read_anew(tmp_path):
    folder = hub_models.save_model(tmp_path / "teacher", hidden_size=64)
    (before,) = plan(tmp_path, *KD, "--teacher", str(folder)).cells
    assert before.teacher.scale.model.dim == 64
    hub_models.save_model(folder, hidden_size=96)
    (after,) = plan(tmp_path, *KD, "--teacher", str(folder)).cells
    assert after.teacher.scale.model.dim == 96
    assert replace(after, request=before.request) == after


def test_equal_flops_are_those_with_the_teacher(wide, tmp_path):
    flags = ("--arm", "teacher-free,kd-equal-flops", "--seed", "1", "--budget", "60B", "--teacher")
    work = {}
    for teacher in ("own", str(wide)):
        planned = trained_here.plan(
            tmp_path / "storage", *flags, teacher, script="teacher_free_vs_kd"
        )
        sweep = prepare(planned, Store(tmp_path / "storage"))
        free, kd = (trial_work(trial, sweep.store) for trial in sweep.trials)
        work[teacher] = kd
        step = sweep.plan.scale.heal.batch_tokens / free.tokens
        assert kd.flops_paper == pytest.approx(free.flops_paper, rel=step)
    assert work[str(wide)].tokens < work["own"].tokens


def test_runs_by_other_teachers_are_rows_of_their_own(wide, prepared, tmp_path):
    storage = prepared(tmp_path / "storage")
    for flags in (("--loss", "lm"), KD[4:], (*KD[4:], "--teacher", str(wide))):
        trained_here.train(storage, *KD[:4], *flags)
    (report,) = from_store(Store(storage), ["where_to_drop"])
    values = [(cell.values["loss"], cell.values["teacher"]) for cell in report.cells]
    (other,) = {teacher for _, teacher in values} - {"own"}
    assert sorted(values) == [("kd", "own"), ("kd", other), ("lm", "own")]
    assert other.startswith("wide-")
