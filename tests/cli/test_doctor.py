"""`raydistill doctor` finds what a sweep would stumble over, and says what helps."""

import os
import shutil
import sys

import pytest

from raydistill.runners.diagnostics.disk import diagnose_storage
from raydistill.runners.diagnostics.finding import Level
from raydistill.runners.diagnostics.nodes import NodeView, compare, view_of_this_node
from raydistill.runners.diagnostics.packages import diagnose_packages, versions
from raydistill.runners.diagnostics.token_files import diagnose_token_files
from raydistill.runners.diagnostics.upload import diagnose_upload
from raydistill.storage.urls import copy_of
from support import sweeping
from support.mlflow_server import free_port
from support.object_store import KEYS, object_store

AREAS = ["versions", "storage", "ray", "tracking", "tokens", "upload"]


def remedies(findings):
    """What helps against each thing that is not as it should be, by what that is."""
    return {f.what: f.remedy for f in findings if f.level is not Level.OK}


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home without tokens, and an environment that speaks of none."""
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def test_where_all_is_well_it_says_what_it_saw(ray_address, home, tmp_path):
    storage = tmp_path / "storage"
    done = sweeping.command(storage, "doctor", RAY_ADDRESS=ray_address, RAY_AUTH_MODE="disabled")
    lines = [line.split() for line in done.stdout.splitlines()]
    seen = [line[1] for line in lines if line[0] in tuple(Level)]
    assert list(dict.fromkeys(seen)) == AREAS
    assert "1 node(s) with 2 CPU, 0 GPU" in done.stdout
    assert "wrong " not in done.stdout
    assert (done.returncode, lines[-1][:2]) == (0, ["0", "wrong,"])
    assert not list(storage.iterdir())  # its samples are gone


def test_it_goes_on_after_each_thing_that_is_wrong(home):
    storage = "/proc/raydistill"  # where not even root makes a folder
    uri = f"http://ann:geheim@127.0.0.1:{free_port()}"
    done = sweeping.command(
        storage, "doctor", "--tracking-uri", uri, RAY_ADDRESS="http://127.0.0.1:1",
        RAY_AUTH_MODE="token",
    )  # fmt: skip
    wrong = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("wrong")]
    assert wrong == ["storage", "ray", "tracking", "tokens"]
    assert "4 wrong, 1 to note" in done.stdout  # that nothing is left there
    assert done.stdout.count("→") == 5
    assert "geheim" not in done.stdout + done.stderr
    assert done.returncode == 4


def test_a_token_that_others_may_read(home):
    file = home / ".ray" / "auth_token"
    file.parent.mkdir()
    file.write_text("planted")
    file.chmod(0o644)
    [(what, remedy)] = remedies(diagnose_token_files()).items()
    assert (remedy, "mode 644" in what) == (f"chmod 600 {file}", True)
    file.chmod(0o600)
    assert not remedies(diagnose_token_files())


def test_a_token_that_is_wanted_and_not_there(home, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    assert "get-auth-token --generate" in remedies(diagnose_token_files()).popitem()[1]
    monkeypatch.setenv("RAY_AUTH_TOKEN", "planted")
    assert not remedies(diagnose_token_files())
    monkeypatch.delenv("RAY_AUTH_MODE")
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:8265")
    assert remedies(diagnose_token_files()).popitem()[1] == "export RAY_AUTH_MODE=token"


def test_a_package_that_is_too_old(tmp_path, monkeypatch):
    assert not remedies(diagnose_packages())
    old = tmp_path / "optuna-1.0.dist-info"
    old.mkdir()
    (old / "METADATA").write_text("Metadata-Version: 2.1\nName: optuna\nVersion: 1.0\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert remedies(diagnose_packages()) == {
        "optuna 1.0: raydistill needs >=5.0": "pip install 'optuna>=5.0'"
    }


def test_a_storage_that_everybody_may_write_to(tmp_path):
    assert not remedies(diagnose_storage(tmp_path))
    tmp_path.chmod(0o777)
    assert f"chmod o-w {tmp_path}" in remedies(diagnose_storage(tmp_path)).values()
    assert not list(tmp_path.iterdir())


def test_an_object_store_that_answers_and_one_that_does_not(home, monkeypatch, tmp_path):
    monkeypatch.setenv("RAYDISTILL_LOCAL_COPIES", str(tmp_path / "copies"))
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    with object_store() as url:
        assert all(f.level is not Level.WRONG for f in diagnose_storage(copy_of(url)))
        other = copy_of(url.replace("s3://sweeps", "s3://of-nobody"))
        assert "keys and the address" in remedies(diagnose_storage(other)).popitem()[1]


def a_node(**more):
    view = {
        "host": "n1", "versions": versions(), "gpus": (), "flash_attn": False, "storage": "",
        "shared_memory_mb": 8000,
    }  # fmt: skip
    return NodeView(**(view | more))


@pytest.mark.parametrize(
    ("node", "gpus", "remedy"),
    [
        (a_node(), 0, None),
        (a_node(gpus=("H100",), flash_attn=True), 1, None),
        (a_node(versions=versions() | {"torch": "2.9.0"}), 0, "the same image"),
        (a_node(), 1, "a torch built for CUDA"),
        (a_node(gpus=("H100",), flash_attn=True), 0, "--num-gpus"),
        (a_node(gpus=("H100",)), 1, "raydistill[gpu]"),
        (a_node(shared_memory_mb=64), 0, "--shm-size"),  # as Docker gives it
        (a_node(storage="it does not see /mnt"), 0, "a folder that every node mounts"),
    ],
)
def test_what_is_said_of_a_node(node, gpus, remedy):
    texts = list(remedies(compare(node, versions(), gpus=gpus)).values())
    assert len(texts) == (remedy is not None)
    assert not texts or remedy in texts[0]


def test_a_node_that_does_not_see_the_storage_says_so(tmp_path):
    assert view_of_this_node(str(tmp_path / "probe"), "").storage == f"it does not see {tmp_path}"
    (tmp_path / "probe").touch()
    seen = view_of_this_node(str(tmp_path / "probe"), "")
    memory_mb = shutil.disk_usage("/dev/shm").total // 1_000_000
    assert seen == a_node(host=os.uname().nodename, shared_memory_mb=memory_mb)


def test_what_a_submission_would_upload(tmp_path):
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps" / "mine.py").write_text("pass\n")
    assert "1 files, 0.0 MiB of at most 100" in diagnose_upload(tmp_path).what
    with (tmp_path / "model.bin").open("wb") as file:
        file.truncate(200 << 20)
    finding = diagnose_upload(tmp_path)
    assert "model.bin (200 MiB)" in finding.what
    assert ".rayignore" in finding.remedy
    (tmp_path / ".rayignore").write_text("*.bin\n")
    assert diagnose_upload(tmp_path).level is Level.OK
