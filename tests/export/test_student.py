"""`raydistill export` and `raydistill add`: out of a storage, into transformers, and back."""

import csv
import dataclasses
import io
import json
import re
import shlex
import shutil

import pytest
import torch

from raydistill.core.errors import UsageError
from raydistill.core.serialization import from_json, to_json
from raydistill.data.tokenizer import train_tokenizer
from raydistill.export.lineage import Lineage
from raydistill.export.model_card import model_card
from raydistill.export.student_folder import dtype_of, fill_student, in_float32, read_student
from raydistill.models.huggingface.checkpoint import read_checkpoint
from raydistill.models.huggingface.loading import load_pretrained
from raydistill.models.student import Student
from raydistill.models.weights import load_weights, save_weights
from raydistill.planning.prepared import prepare
from raydistill.specs import flops
from raydistill.specs.scale import load_scale
from raydistill.specs.trial import CachedTeacher, ExternalBase
from raydistill.storage.store import Store
from support import sweeping, trained_here
from support.hub_models import save_model

FLAGS = ("--age", "320B", "--location", "none,input")
FAMILIES = ("palm", "llama", pytest.param("gpt_neox", marks=pytest.mark.soak))


@pytest.fixture(scope="module", params=FAMILIES)
def exported(request, prepared, tmp_path_factory):
    """A storage with a control and a student of one family, and the student's folder."""
    family = request.param
    storage = tmp_path_factory.mktemp(family)
    if family == "palm":
        beside = save_model(tmp_path_factory.mktemp("reference") / "beside", "gpt2")
        results = trained_here.train(prepared(storage), *FLAGS, "--reference", str(beside))
    else:
        folder = save_model(tmp_path_factory.mktemp("brought") / family, family)
        results = trained_here.train(storage, "--model", str(folder), *FLAGS[2:])
    trial_id = results["input"].trained.trial_id
    to = storage / "student"
    done = sweeping.command(storage, "export", trial_id[:8], "--to", to)
    assert done.returncode == 0, done.stderr
    return storage, results["input"], to


def reloaded(folder):
    from transformers import AutoModelForCausalLM

    import raydistill.hf  # noqa: F401

    return AutoModelForCausalLM.from_pretrained(folder)


def tokens():
    return torch.randint(1, 2048, (2, 16), generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def test_transformers_loads_an_export_with_equal_logits_and_generates(exported):
    storage, result, to = exported
    student = load_weights(storage / "trials" / result.trained.trial_id / "weights")
    model, x_BT = reloaded(to), tokens()
    assert torch.equal(model(x_BT).logits, student.model.eval()(x_BT))
    options = {"max_new_tokens": 8, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
    cached = model.generate(x_BT, use_cache=True, **options)
    assert torch.equal(cached, model.generate(x_BT, use_cache=False, **options))


def test_the_tokenizer_of_an_export_reads_text_and_ends_it(exported):
    from transformers import AutoTokenizer

    _, _, to = exported
    tokenizer = AutoTokenizer.from_pretrained(to)
    text = "In the beginning"
    assert tokenizer.decode(tokenizer(text).input_ids) == text
    assert tokenizer.eos_token == "<|endoftext|>"
    assert reloaded(to).generation_config.eos_token_id == tokenizer.eos_token_id == 0


def test_the_card_says_where_it_comes_from_and_how_fast_it_is(exported):
    storage, result, to = exported
    card = (to / "README.md").read_text()
    assert ("import raydistill.hf" in card) == (to.parent.name.startswith("palm"))
    lineage = json.loads((to / "raydistill.json").read_text())
    for text in (
        result.trained.trial_id, result.trained.spec.base.weights_sha256, "1 after 512",
        result.trained.spec.train.corpus_sha256, "8.192K tokens after a warm phase of 512",
        "lm (teacher-free)", "FLOPs by 6·N·D", "against the control", "`■□□■■■`",
        "transformers 5", lineage["healing"]["command"], "trained at a small scale",
    ):  # fmt: skip
        assert text in card
    assert lineage["kept"] == [0, 3, 4, 5]
    before, after = lineage["speeds"]["before"], lineage["speeds"]["after"]
    assert min(before["prefill_tokens_per_s"], after["decode_tokens_per_s"]) > 0
    assert before["kv_bytes_per_token"] * 4 == after["kv_bytes_per_token"] * 6
    # what the table says of this trial
    shown = sweeping.command(storage, "show", result.trained.trial_id).stdout
    lost = lineage["lost"]["against_base"]["delta_nll"]
    assert f"lost, nats/token   {lost['value']:+.4f}" in shown


@pytest.mark.parametrize("exported", ["palm"], indirect=True)
def test_the_card_names_a_teacher_and_a_start_from_scratch(exported):
    _, _, to = exported
    lineage = from_json(Lineage, (to / "raydistill.json").read_text())
    assert to_json(lineage) == (to / "raydistill.json").read_text()
    base = ExternalBase(name="smoke", revision="80B", weights_sha256="0")
    teacher = CachedTeacher(base=base, excerpt="top-k=32")
    healing = dataclasses.replace(lineage.healing, loss="kd", teacher=teacher)
    taught = dataclasses.replace(lineage, healing=healing, speeds=None)
    card = model_card(taught, "student", own_family=True)
    assert "kd (a teacher: smoke 80B, top-k=32 of its answers)" in card
    assert "prefill" not in card
    lost = dataclasses.replace(lineage.lost, limits=("On one half.",))
    limited = dataclasses.replace(lineage, lost=lost)
    assert " On one half." in model_card(limited, "student", own_family=True)
    scratch = dataclasses.replace(lineage, from_scratch=True, kept=(0, 1, 2, 3))
    card = model_card(scratch, "student", own_family=True)
    assert "4 layers trained from fresh weights, beside `smoke` (320B) with 6." in card
    assert "depth-pruning" not in card


def test_half_precision_is_exported_as_it_came_or_in_float32(tmp_path):
    folder = save_model(tmp_path / "came")
    settings = json.loads((folder / "config.json").read_text()) | {"dtype": "bfloat16"}
    (folder / "config.json").write_text(json.dumps(settings))
    (tmp_path / "stored").mkdir()
    save_weights(
        tmp_path / "stored", Student(load_pretrained(read_checkpoint(str(folder), "main")))
    )
    for name, dtype in (("half", torch.bfloat16), ("whole", torch.float32)):
        student = load_weights(tmp_path / "stored")
        if name == "whole":
            in_float32(student)
        assert dtype_of(student) == dtype
        (tmp_path / name).mkdir()
        fill_student(student, tmp_path / name, tokenizer=folder, notes={})
        again = read_student(tmp_path / name, 32)
        assert next(again.parameters()).dtype == dtype
        for name_of, p in again.named_parameters():
            assert torch.equal(p, student.model.get_parameter(name_of).to(dtype))


def test_the_command_in_the_card_means_the_same_trial(exported):
    storage, result, to = exported
    command = json.loads((to / "raydistill.json").read_text())["healing"]["command"]
    planned = trained_here.plan(storage, *command.split()[2:])
    (trial,) = prepare(planned, Store(storage)).trials
    assert trial.trial_id == result.trained.trial_id


def test_an_export_that_is_added_has_the_scores_that_it_had(exported):
    storage, result, to = exported
    done = sweeping.command(storage, "add", to, "--like", result.trained.trial_id[:8])
    assert done.returncode == 0, done.stderr
    table = sweeping.command(storage, "report", "--format", "csv").stdout
    lines = [line.split(",") for line in table.splitlines()]
    names = lines[0]
    rows = {line[names.index("name")]: line for line in lines if len(line) == len(names)}
    own, added = rows["input"], rows["added: student"]
    for metric in ("layers", "nll", "delta_nll", "delta_nll_vs_control", "downstream"):
        assert own[names.index(metric)] == added[names.index(metric)]


@pytest.mark.parametrize("exported", ["palm"], indirect=True)
def test_documented_commands_run_and_the_sweep_reports_what_was_added(exported, tmp_path):
    """Those of docs/export.md, each with this storage's trial and folders of its own."""
    storage, result, _ = exported
    trial_id = result.trained.trial_id
    substitutes = {"76321b4e": trial_id[:8], "laptop@320B": "smoke@320B"}
    substitutes |= {name: tmp_path / name for name in ("student", "base", "other")}
    with_another_tokenizer(tmp_path / "other")
    text = (sweeping.ROOT / "docs/export.md").read_text()
    commands = [
        shlex.split(line, comments=True)[1:]
        for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
        for line in block.splitlines()
        if line.startswith("raydistill ")
    ]
    assert {words[0] for words in commands} == {"export", "add", "report"}
    for words in commands:
        done = sweeping.command(storage, *(substitutes.get(word, word) for word in words))
        assert done.returncode == 0, done.stderr
    again = sweeping.here("where_to_drop", storage, *FLAGS)
    assert "nothing is trained" in again.stdout
    assert "added: mine (1)" in again.stdout
    (number,) = set(re.findall(r"other \((\d)\) +– +– +[-+]", again.stdout))
    assert f"({number}) the loss was not measured on the same held-out text" in again.stdout
    by_name = {run.info.run_name: run for run in sweeping.runs(storage)[1]}
    own, added = by_name["input age=320B"], by_name["added: mine"]
    assert added.data.tags["role"] == "added"
    for metric in ("nll", "delta_nll", "delta_nll_vs_control", "downstream_drop_pct"):
        assert own.data.metrics[metric] == added.data.metrics[metric]
    assert by_name["reference other"].data.metrics["downstream"] > 0
    # what nobody told is not known, rather than the settings of the cell that it is like
    for name in ("location", "count", "gap", "budget", "loss", "seed", "peak_lr", "optimizer"):
        assert added.data.params[name] == "not known", name
    assert not {"tokens", "train_s", "flops_exact", "peak_bytes"} & added.data.metrics.keys()
    by_id = sweeping.command(storage, "show", added.data.tags["trial_id"])
    assert by_id.returncode == 0, by_id.stderr
    assert sweeping.command(storage, "show", "mine").stdout == by_id.stdout
    lines = dict(re.findall(r"^(\w[\w ]*?)  +(.*)$", by_id.stdout, re.MULTILINE))
    for name in ("gap", "loss", "training", "cost", "made by"):
        assert lines[name] == "not known", by_id.stdout
    assert re.search("added (mine|student)", lines["asked by"])  # the same weights, the first name
    assert "none" not in lines["asked by"]
    beside = sweeping.command(storage, "diff", trial_id, "mine")
    assert re.search(r"peak_lr +[\d.e-]+ +not known", beside.stdout), beside.stdout
    assert sweeping.command(storage, "show", "other").returncode == 0
    refused = sweeping.command(storage, "export", "mine", "--to", tmp_path / "again")
    assert (refused.returncode, "trained elsewhere" in refused.stderr) == (3, True)
    table = sweeping.command(storage, "report", "--format", "csv").stdout
    row = next(row for row in csv.DictReader(io.StringIO(table)) if row["name"] == "added: mine")
    assert (row["loss"], row["budget"], row["gap_tokens"]) == ("not known", "", "")
    assert row["tokens"] == row["flops_exact"] == row["train_s"] == row["peak_bytes"] == ""
    assert float(row["nll"]) > 0


def with_another_tokenizer(folder):
    save_model(folder, "gpt_neox")
    words = ["In the beginning was the word, and the word was many."]
    (folder / "tokenizer.json").write_text(train_tokenizer(words, 300).to_str())
    return folder


@pytest.mark.parametrize("exported", ["palm"], indirect=True)
def test_a_folder_that_a_sweep_names_as_reference_is_reported(exported, tmp_path):
    storage, _, _ = exported
    report = " ".join(sweeping.command(storage, "report").stdout.split())
    assert re.search(r"beside-\w{6}@main is a reference of [\d.]+K parameters", report)
    other = with_another_tokenizer(tmp_path / "other")
    with pytest.raises(UsageError, match=r"has another tokenizer: .* --like TRIAL --reference"):
        trained_here.plan(storage, *FLAGS, "--reference", str(other))


@pytest.mark.parametrize("exported", ["llama"], indirect=True)
def test_what_cannot_be_exported_or_added_is_refused_in_one_line(exported, tmp_path):
    storage, result, to = exported
    trial_id = result.trained.trial_id
    other = shutil.copytree(to, tmp_path / "other")
    tokenizer = json.loads((other / "tokenizer.json").read_text())
    tokenizer["model"]["merges"].pop()
    (other / "tokenizer.json").write_text(json.dumps(tokenizer))
    (tmp_path / "pickled").mkdir()
    (tmp_path / "pickled/pytorch_model.bin").touch()
    shutil.copy(to / "config.json", tmp_path / "pickled")
    new = tmp_path / "new"
    before = sorted(storage.rglob("*"))
    for row, code, message, *words in (
        (1, 2, f"no trial 'x{trial_id[1:]}'", "export", f"x{trial_id[1:]}", "--to", new),
        (1, 2, "no scale 'labtop'. Did you mean 'laptop'?", "export", "labtop@80B", "--to", new),
        (1, 2, "no age 81B: scale 'laptop' has 80B, 320B", "export", "laptop@81B", "--to", new),
        (1, 2, "no --dtype 'float3'", "export", trial_id, "--to", new, "--dtype", "float3"),
        (45, 2, "is not empty: --overwrite", "export", trial_id, "--to", to),
        (45, 2, "is a file", "export", trial_id, "--to", to / "README.md"),
        (1, 2, "no trial 'nosuch'", "add", to, "--like", "nosuch"),
        (12, 3, "no model at", "add", tmp_path / "none", "--like", trial_id),
        (16, 3, "is pickled", "add", tmp_path / "pickled", "--like", trial_id),
        (26, 3, "has another tokenizer", "add", other, "--like", trial_id),
        (32, 2, "--name '../up'", "add", to, "--like", trial_id, "--name", "../up"),
    ):
        done = sweeping.command(storage, *words)
        assert (done.returncode, done.stderr.count("\n")) == (code, 1), (row, done.stderr)
        assert message in done.stderr
    assert not new.exists()
    assert sorted(storage.rglob("*")) == before


@pytest.mark.parametrize("exported", ["palm"], indirect=True)
def test_killed_at_its_rename_the_same_export_succeeds(exported, tmp_path):
    storage, result, to = exported
    words = ("export", result.trained.trial_id, "--to", tmp_path / "out", "--no-measure")
    assert sweeping.killed_by_plan(storage, "kill@output=1", *words)
    assert not (tmp_path / "out").exists()
    done = sweeping.command(storage, *words)
    assert done.returncode == 0, done.stderr
    assert torch.equal(reloaded(tmp_path / "out")(tokens()).logits, reloaded(to)(tokens()).logits)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_base_of_the_package_is_exported_from_an_empty_storage(tmp_path):
    to = tmp_path / "base"
    done = sweeping.command(tmp_path, "export", "laptop@320B", "--to", to, "--no-measure")
    assert done.returncode == 0, done.stderr
    held = sum(p.numel() for p in reloaded(to).parameters())
    assert held == flops.parameters(load_scale("laptop").model)
    assert "with all its 12 layers" in (to / "README.md").read_text()
