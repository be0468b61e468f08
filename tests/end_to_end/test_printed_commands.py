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

import pytest
import torch

from raydistill.cli.console import read_command
from raydistill.runners.diagnostics.disk import diagnose_storage
from raydistill.runners.diagnostics.token_files import diagnose_token_files
from support import sweeping, trained_here
from support.hub_models import fresh, save_model
from support.mlflow_server import free_port
from support.printed import commands_in, run_printed
from support.texts import essays, write_txt
from support.tokenizer_kinds import save_kind

PACKAGE = sweeping.ROOT / "src/raydistill"
PRINTED = {
    "cli/main.py": "python",  # test_next_commands
    "cli/next_commands.py": "ray",
    "cli/commands/sweep.py": "raydistill",  # test_next_commands
    "core/paths.py": "python",  # test_ranking, test_rerun_command; of a wheel: test_wheel
    "cli/commands/merge_stores.py": "raydistill",  # here, as are those without another place
    "cli/commands/doctor.py": "raydistill",
    "data/sources/embedded.py": "pip",
    "driver/run.py": "raydistill",  # test_next_commands
    "models/huggingface/checkpoint.py": "raydistill",
    "planning/artifacts.py": "raydistill",
    "planning/reference_models.py": "raydistill",
    "pruning/calibration.py": "pip",
    "runners/diagnostics/nodes.py": "pip",
    "runners/diagnostics/packages.py": "pip",
    "runners/diagnostics/token_files.py": "ray",
    "tracking/client.py": "mlflow",  # test_sync
    "tracking/destination.py": "pip",
}
COMMANDS = (
    r"(raydistill|python) [a-z]+[ /]|\bray (job|get-auth-token)\b|pip install '?[a-z{]|mlflow [a-z]"
)
NOT_PRINTED = (
    "export/model_card.py",  # a comment in a page's code
    "models/families/hub.py",  # a remark in a log
    "runners/cluster_files/dockerfile.py",  # a rule for other people's files
    "runners/diagnostics/upload.py",
    "cli/console.py",  # the version
    "export/lineage.py",  # names of packages
    "tracking/environment.py",
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


def test_every_place_that_prints_a_command_is_known_here():
    places = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if any(
            re.match(r"(raydistill|python|ray job|mlflow) ", text) or re.search(COMMANDS, text)
            for text in strings_of(ast.parse(path.read_text("utf-8")))
        )
    }
    assert places - set(NOT_PRINTED) <= set(PRINTED)


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


def test_bases_of_another_text_are_trained_by_the_command_of_the_error(tmp_path):
    corpus, storage = write_txt(tmp_path / "my text.txt", essays(64)), tmp_path / "my storage"
    flags = ("--scale", "laptop", "--corpus", corpus, "--heldout", corpus)
    plan = ("--dry-run", "--tasks", "continuation")
    sweeping.here("where_to_drop", storage, *flags, *plan)
    from raydistill.data.corpus.preparation import prepare_corpus
    from raydistill.storage.store import Store

    prepare_corpus(corpus, store=Store(storage), heldout=corpus, vocab_size=2048, context=128)
    refused = sweeping.here("where_to_drop", storage, *flags, *plan)
    assert refused.returncode == 3, refused.stdout
    (command,) = commands_in(refused.stderr)
    read = read_command(shlex.split(command)[1:])
    assert (read.command.name, read.scale, read.corpus) == ("base", "laptop", corpus)
    assert (read.heldout, read.storage) == (corpus, str(storage))


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


def test_what_doctor_says_of_a_server_that_is_away_is_a_command(tmp_path, ray_address):
    uri = f"http://ann:geheim@127.0.0.1:{free_port()}"
    done = sweeping.command(
        tmp_path, "doctor", "--tracking-uri", uri, RAY_ADDRESS=ray_address, RAY_AUTH_MODE="disabled"
    )
    command = next(c for c in commands_in(done.stdout) if "track sync" in c)
    assert "hides a secret" in command
    read = read_command(shlex.split(command, comments=True)[1:])
    assert read.storage == str(tmp_path)
    assert read.tracking_uri == uri.replace("ann:geheim", "***")


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


def test_extras_that_are_to_be_installed_exist():
    extras = importlib.metadata.metadata("raydistill").get_all("Provides-Extra")
    named = {
        extra
        for path in PACKAGE.rglob("*.py")
        for extra in re.findall(r"pip install [\"']raydistill\[(\w+)\]", path.read_text("utf-8"))
    }
    assert named == {"laptop", "gpu"}
    assert named <= set(extras)
