"""What is planted does not run, names do not escape, secrets do not leave. See `SECURITY.md`.

What a whole sweep leaves: `test_failed_trials.py`; MLflow's pages: `tests/tracking/test_pages.py`.
"""

import json
import subprocess
import sys

import pytest

from raydistill.core.errors import DataError, UsageError
from raydistill.core.text.redaction import redact
from raydistill.runners.tune.trials import _failure
from raydistill.storage.manifest import verify, write_manifest
from raydistill.storage.store import Store
from support import sweeping
from support.hub_models import save_model
from support.planted import IN_ENVIRONMENT, PASSWORD, SECRETS

LISTENING = """
import json, os, subprocess, sys, urllib.error, urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import psutil, ray
from raydistill.runners.cluster.connection import connected

def answer_of(socket):
    ip, port = socket.laddr
    url = f"http://{'127.0.0.1' if ip in ('::', '0.0.0.0') else ip}:{port}/"
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.read(6).decode()
    except urllib.error.HTTPError as error:
        return str(error.code)
    except Exception:
        return "not HTTP"

with connected(Path(sys.argv[1])):
    me = psutil.Process()
    family = [me, *me.children(recursive=True)]
    sockets = [s for process in family for s in process.net_connections() if s.status == "LISTEN"]
    answers = list(ThreadPoolExecutor(len(sockets)).map(answer_of, sockets))
    gcs = ray.get_runtime_context().gcs_address
    join = "import ray, sys; ray.init(sys.argv[1])"
    variables = {k: v for k, v in os.environ.items() if not k.startswith("RAY")}
    variables["RAY_AUTH_MODE"] = "disabled"
    joined = subprocess.run([sys.executable, "-c", join, gcs], env=variables, capture_output=True)
    print(json.dumps([answers, joined.returncode, joined.stderr.decode()]))
"""


@pytest.fixture
def planted(monkeypatch):
    for name, value in IN_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


TASK = ("--tasks", "continuation")  # such text gives no items for the others


def test_a_plan_hides_a_file_name_that_is_a_token(tmp_path):
    token = SECRETS["HF_TOKEN"]
    text = tmp_path / f"{token}.txt"
    text.write_text("\f".join(f"A boat went down the river {n} times. " * 200 for n in range(80)))
    model = save_model(tmp_path / token)
    flags = ("--corpus", text, "--model", model, "--count", "1", "--dry-run", *TASK)
    planned = sweeping.here("where_to_drop", tmp_path / "storage", *map(str, flags))
    assert planned.returncode == 0, planned.stderr
    assert "***.txt" in planned.stdout
    for form in (token, token.lower(), token.replace("_", "-")):
        assert form not in planned.stdout.replace(str(tmp_path), "")


def test_mlflows_database_is_for_its_owner_alone(migrated):
    assert migrated.stat().st_mode & 0o777 == 0o600


def test_a_failure_hides_what_its_exception_says(planted):
    message = f"401 for https://ann:{PASSWORD}@hub/x with {SECRETS['HF_TOKEN']}, num_tokens=4"
    failure = _failure("key", RuntimeError(message), 3)
    assert failure.message == "RuntimeError: 401 for https://***@hub/x with ***, num_tokens=4"
    assert PASSWORD not in failure.traceback
    assert SECRETS["HF_TOKEN"] not in failure.traceback


def test_an_error_and_its_traceback_hide_secrets(planted, tmp_path):
    secret = SECRETS["HF_TOKEN"]
    for more in ((), ("--debug",)):
        done = sweeping.command(tmp_path, f"x{secret}", *more)
        assert done.returncode == 2
        assert secret not in done.stdout + done.stderr
        assert "***" in done.stderr


def test_a_short_value_is_a_word_and_stays(monkeypatch):
    monkeypatch.setenv("SOME_TOKEN", "input")
    assert redact("location input") == "location input"


@pytest.mark.parametrize("name", ["../outside", "a/../../outside", "/etc/hostname"])
def test_a_manifest_that_names_files_elsewhere_is_refused(tmp_path, name):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "manifest.json").write_text(
        json.dumps({"schema": 1, "files": {name: {"bytes": 1, "sha256": ""}}})
    )
    with pytest.raises(DataError, match="which is not in its folder"):
        verify(folder)


def test_a_link_in_a_folder_is_not_followed(tmp_path):
    folder, outside = tmp_path / "folder", tmp_path / "outside"
    folder.mkdir()
    outside.write_text("secret")
    (folder / "link").symlink_to(outside)
    write_manifest(folder)
    with pytest.raises(DataError, match="which is not in its folder"):
        verify(folder)


@pytest.mark.parametrize("part", ["../up", "a/../../up", "/etc"])
def test_no_name_leads_out_of_a_storage(tmp_path, part):
    with pytest.raises(UsageError, match="is no place in the storage"):
        Store(tmp_path).path("trials", part)


@pytest.mark.parametrize(
    "words",
    [
        ("show", "../../etc"), ("diff", "../a", "../b"), ("export", "../../x", "--to", "out"),
        ("rungs", "../up"), ("best", "../up"), ("report", "../up"), ("track", "sync", "../up"),
    ],
)  # fmt: skip
def test_a_command_that_names_something_outside_finds_nothing(tmp_path, words):
    (tmp_path / "storage").mkdir()
    (tmp_path / "etc").mkdir()
    done = sweeping.command(tmp_path / "storage", *words)
    assert done.returncode in (2, 3)
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["etc", "storage"]


def mark_of(tmp_path):
    """Code that leaves a mark where it runs, and the mark."""
    mark = tmp_path / "it-ran"
    return f"open({str(mark)!r}, 'w').close()\n", mark


def test_code_that_comes_with_a_model_or_its_tokenizer_does_not_run(with_embedded_text, tmp_path):
    code, mark = mark_of(tmp_path)
    folder = save_model(tmp_path / "mine")
    (folder / "planted.py").write_text(code + "class Planted: pass\n")
    about = folder / "tokenizer_config.json"
    planted = {"auto_map": {"AutoTokenizer": ["planted.Planted", None]}}
    about.write_text(json.dumps(json.loads(about.read_text()) | planted))
    storage = with_embedded_text(tmp_path / "storage")
    done = sweeping.command(storage, "rank", folder, "--windows", "2", "--to", tmp_path / "ranked")
    assert not mark.exists()
    assert done.returncode in (0, 2, 3)
    config = folder / "config.json"
    planted = {"auto_map": {"AutoConfig": "planted.Planted"}}
    config.write_text(json.dumps(json.loads(config.read_text()) | planted))
    refused = sweeping.command(storage, "rank", folder, "--to", tmp_path / "ranked")
    assert refused.returncode == 3
    assert not mark.exists()


def test_a_task_file_with_a_function_does_not_run(prepared, tmp_path):
    code, mark = mark_of(tmp_path)
    data = tmp_path / "data"
    data.mkdir()
    (data / "planted.py").write_text(code + "def go(*_): return 1\n")
    (data / "mine.yaml").write_text("task: mine\ndoc_to_text: !function planted.go\n")
    storage = prepared(tmp_path / "storage")
    done = sweeping.here(
        "where_to_drop", storage, "--tasks", "mine", "--task-data", str(data), "--dry-run"
    )
    assert done.returncode == 2
    assert "no task 'mine'" in done.stderr
    assert not mark.exists()


def test_the_ray_that_a_sweep_starts_answers_with_a_token_alone(tmp_path):
    """But for its metrics, which it gives to everybody."""
    done = subprocess.run(
        [sys.executable, "-c", LISTENING, str(tmp_path / "ray.log")],
        env=sweeping.environment(tmp_path), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answers, joined, refusal = json.loads(done.stdout.splitlines()[-1])
    assert joined != 0
    assert "InvalidAuthToken" in refusal
    assert set(answers) == {"401", "# HELP", "not HTTP"}
    assert answers.count("# HELP") == 1
