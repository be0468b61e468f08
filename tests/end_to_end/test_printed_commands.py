"""Every command that is printed runs as it is, from another directory.

Those at the end of a sweep are in tests/cli/test_next_commands.py, that of `rank` in
tests/pruning/test_ranking.py, those that bring an experiment back and show MLflow's pages in
tests/tracking/.
"""

import ast
import importlib.metadata
import json
import re
import shlex
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from mlflow import MlflowClient
from packaging.requirements import Requirement

from raydistill.cli.console import read_command
from raydistill.data.corpus.preparation import prepare_corpus
from raydistill.runners.diagnostics.disk import diagnose_storage
from raydistill.runners.diagnostics.finding import Level
from raydistill.runners.diagnostics.packages import requirement_of
from raydistill.runners.diagnostics.token_files import diagnose_token_files
from raydistill.specs.scale import load_scale
from raydistill.storage.store import Store
from raydistill.tracking.destination import _PACKAGES
from support import sweeping, trained_here
from support.hub_models import fresh, save_model
from support.mlflow_server import free_port
from support.printed import commands_in, run_printed
from support.texts import essays, write_txt
from support.tokenizer_kinds import save_kind

PACKAGE = sweeping.ROOT / "src/raydistill"
HERE = "end_to_end/test_printed_commands.py"
NEXT = "cli/test_next_commands.py::test_every_sweep_says_how_to_go_on_with_its_flags"
RESTORED = (
    "tracking/test_sync.py::test_a_deleted_experiment_is_an_error_that_says_how_to_restore_it"
)
PRINTED = {  # the test that runs what a module prints
    "cli/arguments/given_flags.py": NEXT,
    "cli/commands/doctor.py": f"{HERE}::test_what_doctor_says_of_a_server_that_is_away",
    "cli/commands/merge_stores.py": f"{HERE}::test_a_merge_goes_on_with_a_report",
    "cli/commands/rank.py": "pruning/test_ranking.py::test_the_next_command_can_be_planned",
    "cli/commands/sweep.py": f"{HERE}::test_what_help_says_to_begin_with_runs",
    "cli/console.py": f"{HERE}::test_what_help_says_to_begin_with_runs",
    "cli/main.py": NEXT,
    "cli/next_commands.py": NEXT,
    "core/text/commands.py": "pruning/test_ranking.py::test_the_next_command_can_be_planned",
    "data/tokenizer.py": "data/test_tokenizer.py::test_of_older_files_the_command_that_makes_a_"
    "tokenizer_json_is_printed",
    "data/sources/embedded.py": f"{HERE}::test_what_pip_is_to_install_it_takes",
    "pruning/mergekit.py": "cli/test_prune.py::test_layers_leave_and_a_stock_folder_stays",
    "driver/run.py": "tracking/test_pages.py::test_it_prints_its_address_and_its_pages",
    "cli/commands/import_checkpoint.py": f"{HERE}::test_what_pip_is_to_install_it_takes",
    "models/huggingface/quantised/gguf_file.py": f"{HERE}::test_what_pip_is_to_install_it_takes",
    "models/huggingface/checkpoint.py": f"{HERE}::test_pickled_weights_are_imported",
    "planning/artifacts.py": f"{HERE}::test_bases_of_another_text_are_trained",
    "planning/history/rerun_command.py": f"{HERE}::test_the_card_of_an_export_trains_its_trial",
    "planning/reference_models.py": f"{HERE}::test_a_reference_with_another_tokenizer_is_added",
    "pruning/calibration.py": f"{HERE}::test_what_pip_is_to_install_it_takes",
    "reports/sources/results.py": f"{HERE}::test_what_pip_is_to_install_it_takes",
    "runners/diagnostics/disk.py": f"{HERE}::test_what_doctor_says_of_rights_helps",
    "runners/diagnostics/nodes.py": f"{HERE}::test_what_doctor_says_of_ray_runs",
    "runners/diagnostics/packages.py": f"{HERE}::test_what_pip_is_to_install_it_takes",
    "runners/diagnostics/token_files.py": f"{HERE}::test_what_doctor_says_of_ray_runs",
    "runners/diagnostics/ports.py": "runners/test_ports.py::test_somebody_elses_is_named",
    "tracking/client.py": RESTORED,
    "tracking/destination.py": f"{HERE}::test_what_pip_is_to_install_it_takes",
}
COMMANDS = (
    r"\b(raydistill|python|mlflow) [a-z]+ |\bray (job|start|status|get-auth-token)\b"
    r"|pip install ('?[a-z{]|$)|\b(chmod|export|unset) [A-Z0-9o]|\bmake [a-z]+$|kubectl [a-z]"
)
COMMAND_CALLS = ("printed_command", "shlex.join")
NOT_PRINTED = (
    "core/text/redaction.py",  # joins what is printed elsewhere
    "export/model_card.py",  # a comment in a page's code
    "models/families/hub.py",  # a remark in a log
    "runners/cluster_files/dockerfile.py",  # a rule for other people's files
    "runners/cluster_files/rules.py",  # of a Secret, whose values the user has
    "runners/diagnostics/upload.py",
    "export/lineage.py",  # names of packages
    "driver/environment.py",  # what it calls
)


def strings_of(tree):
    """Every text and list of words of a module that is not a docstring."""
    documented = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) not in documented:
                yield node.value
        elif isinstance(node, ast.List | ast.Tuple):
            words = [n.value for n in node.elts if isinstance(n, ast.Constant)]
            if len(words) > 1 or len(node.elts) > 1:
                yield " ".join([*map(str, words), ""])


def prints_a_command(tree):
    calls = (ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call))
    texts = strings_of(tree)
    return any(re.search(COMMANDS, text) for text in texts) or any(
        c in COMMAND_CALLS for c in calls
    )


def test_every_place_that_prints_a_command_has_a_test_that_runs_it():
    places = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if prints_a_command(ast.parse(path.read_text("utf-8")))
    }
    assert places - set(NOT_PRINTED) == set(PRINTED)
    for test in set(PRINTED.values()):
        file, name = test.split("::")
        assert f"def {name}" in (sweeping.ROOT / "tests" / file).read_text("utf-8"), test


@pytest.fixture(scope="module")
def trained(prepared, tmp_path_factory):
    storage = prepared(tmp_path_factory.mktemp("my storage"))
    trained_here.train(storage, "--age", "320B", "--location", "none,input", "--set", "lr=2e-3")
    return storage


def test_the_card_of_an_export_trains_its_trial_again(trained, tmp_path):
    trial = next(trained.glob("trials/*/trained.json")).parent.name
    done = sweeping.command(trained, "export", trial, "--to", tmp_path / "x", "--no-measure")
    assert done.returncode == 0, done.stderr
    (command,) = re.findall(r"```sh\n(python .*)\n```", (tmp_path / "x/README.md").read_text())
    plan = run_printed(command, "--storage", str(trained), "--dry-run")
    assert plan.returncode == 0, plan.stderr
    assert "Cells 1 · distinct trials 1 · done 1." in plan.stdout
    assert trial in plan.stdout
    assert json.loads((tmp_path / "x/raydistill.json").read_text())["healing"]["command"] == command


def test_a_merge_goes_on_with_a_report(trained, tmp_path):
    other = tmp_path / "an other"
    done = sweeping.command(other, "store", "merge", trained)
    assert done.returncode == 0, done.stderr
    (command,) = commands_in(done.stdout)
    report = run_printed(command)
    assert report.returncode == 0, report.stderr
    assert "where_to_drop" in report.stdout


def test_pickled_weights_are_imported_by_the_command_of_the_error(tmp_path):
    folder = save_model(tmp_path / "my model")
    (folder / "model.safetensors").unlink()
    torch.save(fresh("llama").state_dict(), folder / "pytorch_model.bin")
    words = ("prune", "--layers", "2", "--to", tmp_path / "shorter", "--model")
    refused = sweeping.command(tmp_path / "storage", *words, folder)
    assert refused.returncode == 3
    (command,) = commands_in(refused.stderr)
    done = run_printed(command)
    assert done.returncode == 0, done.stderr
    read = sweeping.command(tmp_path / "storage", *words, f"{folder}-safetensors")
    assert read.returncode == 0, read.stderr


def test_bases_of_another_text_are_trained_by_the_command_of_the_error(
    tmp_path, ray_address, monkeypatch
):
    """At the size of the smoke scale, under the name of one whose bases the package ships."""
    small = replace(load_scale("smoke"), name="laptop", ships_base=True)
    monkeypatch.setattr("raydistill.specs.scales.laptop.scale", small)
    corpus, storage = write_txt(tmp_path / "my text.txt", essays(64)), tmp_path / "my storage"
    texts = ("--scale", "laptop", "--corpus", corpus, "--heldout", corpus)
    plan = (*texts, "--dry-run", "--tasks", "continuation")
    prepare_corpus(corpus, store=Store(storage), heldout=corpus, vocab_size=2048, context=64)
    refused = sweeping.here("where_to_drop", storage, *plan)
    assert refused.returncode == 3, refused.stdout
    (command,) = commands_in(refused.stderr)
    trained = run_printed(command, RAY_ADDRESS=ray_address)
    assert trained.returncode == 0, trained.stderr
    plan = sweeping.here("where_to_drop", storage, *plan)
    assert plan.returncode == 0, plan.stderr
    assert len(list(storage.glob("bases/*/model.safetensors"))) == 2


def test_a_reference_with_another_tokenizer_is_added_by_the_command_of_the_error(trained, tmp_path):
    (tmp_path / "an other").mkdir()
    folder = save_kind(tmp_path / "an other", "begins")
    flags = ("--age", "320B", "--location", "none", "--reference", str(folder), "--dry-run")
    refused = sweeping.here("where_to_drop", trained, *flags)
    assert refused.returncode == 2
    (command,) = commands_in(refused.stderr)
    trial = next(trained.glob("trials/*/trained.json")).parent.name
    done = run_printed(command.replace("TRIAL", trial), "--storage", str(trained))
    assert done.returncode == 0, done.stderr


def test_what_doctor_says_of_a_server_that_is_away_is_a_command(trained, tmp_path, ray_address):
    def remedy(uri):
        on_ray = {"RAY_ADDRESS": ray_address, "RAY_AUTH_MODE": "disabled"}
        done = sweeping.command(trained, "doctor", "--tracking-uri", uri, **on_ray)
        return next(c for c in commands_in(done.stdout) if "track sync" in c)

    command = remedy(f"http://ann:geheim@127.0.0.1:{free_port()}")
    assert "hides a secret" in command
    assert "geheim" not in command
    (tmp_path / "my server").touch()  # no folder yet: the database cannot be opened
    uri = f"sqlite:///{tmp_path}/my server/mlflow.db"
    command = remedy(uri)
    (tmp_path / "my server").unlink()
    (tmp_path / "my server").mkdir()
    synced = run_printed(command)
    assert synced.returncode == 0, synced.stderr
    experiment = MlflowClient(uri).get_experiment_by_name("raydistill/where_to_drop")
    assert MlflowClient(uri).search_runs([experiment.experiment_id])


def test_what_doctor_says_of_ray_runs(tmp_path, monkeypatch, ray_address):
    """A shell reads each line as it is."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_ADDRESS", "")
    (token,) = [f.remedy for f in diagnose_token_files() if f.level is Level.WRONG]
    subprocess.run(["sh", "-c", token], cwd="/", check=True, capture_output=True)
    assert {f.level for f in diagnose_token_files()} == {Level.OK}
    assert (tmp_path / ".ray/auth_token").stat().st_mode & 0o077 == 0
    monkeypatch.setenv("RAY_ADDRESS", ray_address)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    (export,) = [f.remedy for f in diagnose_token_files() if f.level is Level.NOTE]
    lines = [remedy.partition("#")[0] for remedy in (export, "unset RAY_ADDRESS  # or start it")]
    lines.append('test "$RAY_AUTH_MODE" = token && test -z "$RAY_ADDRESS"')
    subprocess.run(["sh", "-ec", "\n".join(lines)], check=True)
    status = subprocess.run(
        ["sh", "-c", "ray status  # and the node's own logs"], cwd="/", text=True,
        capture_output=True, check=True,
    )  # fmt: skip
    assert "status" in status.stdout


def test_what_help_says_to_begin_with_runs(capsys):
    with pytest.raises(SystemExit):
        read_command(["--help"])
    (first,) = re.findall(r"Begin with: ([^;]+);", " ".join(capsys.readouterr().out.split()))
    plan = run_printed(first, "--dry-run")
    assert (plan.returncode, plan.stderr) == (0, "")
    (flags,) = commands_in(run_printed("raydistill sweep").stdout)[:1]
    assert "--location" in run_printed(flags).stdout


def test_what_doctor_says_of_rights_helps(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray/auth_token").write_text("planted")
    (tmp_path / ".ray/auth_token").chmod(0o644)
    (tmp_path / "my storage").mkdir(mode=0o755)
    (tmp_path / "my storage").chmod(0o777)

    def remedies():
        findings = [*diagnose_token_files(), *diagnose_storage(tmp_path / "my storage")]
        return [f.remedy for f in findings if f.remedy.startswith("chmod")]

    assert len(remedies()) == 2
    for remedy in remedies():
        subprocess.run(["sh", "-c", remedy], cwd="/", check=True)
    assert remedies() == []


def test_what_pip_is_to_install_it_takes():
    """pip reads every line; without a network, so what is not installed is only read."""
    needs = list(map(Requirement, importlib.metadata.requires("raydistill")))
    written = "\n".join(path.read_text("utf-8") for path in PACKAGE.rglob("*.py"))
    lines = {*re.findall(r"pip install ('raydistill\[\w+\]'|pandas)", written)}
    assert len(lines) == 4
    lines |= {f"'{requirement_of(need)}'" for need in needs if need.marker is None}
    asked = [Requirement(word) for line in lines for word in shlex.split(line)]
    own = [each for each in asked if each.name == "raydistill"]
    assert {extra for each in own for extra in each.extras} == {
        "laptop", "gpu", "quantised",
    }  # fmt: skip
    assert {"laptop", "gpu"} <= set(
        importlib.metadata.metadata("raydistill").get_all("Provides-Extra")
    )
    pip = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-deps", "--no-index"]
    done = subprocess.run([*pip, *map(str, asked)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Would install" not in done.stdout
    drivers = [word for line in _PACKAGES.values() for word in shlex.split(line)]
    assert {Requirement(word).name for word in drivers} == {
        "psycopg",
        "psycopg2-binary",
        "mysqlclient",
    }
