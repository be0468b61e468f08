"""Checkpoints that cannot be read: one line, exit code 3, and nothing left behind."""

import shutil

import pytest

from support import sweeping
from support.bad_models import FOUND_AT_ONCE, FOUND_WHILE_LOADING, config
from support.hub_models import save_model

LINKS = ["tokenizer.json", "generation_config.json", "chat_template.jinja", "config.json"]
NOWHERE = [
    # model, part of the error
    ("./nowhere", "no model at {}/nowhere: name a folder with a config.json"),
    ("a.txt", "{}/a.txt is a file: name the folder with its config.json"),
    (".", "no config.json in {}; name revisions: --age good"),
    ("nobody/nothing", "no folder {}/nobody/nothing, and the hub gave no 'nobody/nothing'"),
]


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A checkpoint as it must be."""
    return save_model(tmp_path_factory.mktemp("model") / "good")


@pytest.fixture(params=["sweep", "rank", "prune"])
def named(request, refused, tmp_path):
    """`named(model)` in each way to name a model: the exit code and the error."""

    def run(model):
        if request.param == "sweep":
            code, (out, error) = refused(["--model", str(model)])
        else:
            flags = {"rank": [model], "prune": ["--model", model, "--layers", "1"]}[request.param]
            words = (request.param, *flags, "--to", tmp_path / "out")
            done = sweeping.command(tmp_path / "storage", *words)
            code, out, error = done.returncode, done.stdout, done.stderr
            assert not (tmp_path / "out").exists()
        assert out == ""
        assert error.count("\n") == 1
        return code, error

    return run


@pytest.mark.parametrize(("model", "message"), NOWHERE, ids=[model for model, _ in NOWHERE])
def test_a_model_that_is_not_there_is_told_in_one_line(
    named, good, tmp_path, monkeypatch, model, message
):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(sweeping, "ROOT", tmp_path)  # where commands run
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").touch()
    (tmp_path / "good").symlink_to(good)
    code, error = named(model)
    assert code == 3
    assert message.format(tmp_path) in error


@pytest.mark.parametrize(
    ("spoil", "message"),
    [pytest.param(spoil, message, id=what) for _, what, spoil, message in FOUND_AT_ONCE],
)
def test_a_checkpoint_that_is_not_whole_is_told_before_anything_starts(
    named, good, tmp_path, monkeypatch, spoil, message
):
    monkeypatch.chdir(tmp_path)
    model = shutil.copytree(good, tmp_path / "bad")
    spoil(model)
    code, error = named(model)
    assert code == 3
    assert message.format(model) in error
    assert not list(tmp_path.rglob("payload"))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [pytest.param(s, message, id=what) for _, what, s, message in FOUND_WHILE_LOADING],
)
def test_a_checkpoint_of_other_tensors_is_told_when_it_is_loaded(good, tmp_path, spoil, message):
    model = shutil.copytree(good, tmp_path / "bad")
    spoil(model)
    done = sweeping.command(tmp_path / "storage", "rank", model, "--to", tmp_path / "out")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.count("\n") == 1
    assert message.format(model) in done.stderr
    assert not (tmp_path / "out").exists()


def test_flash_attn_that_is_not_installed_is_done_without(good, tmp_path, caplog):
    from raydistill.models.attention import has_flash_attn, warn_no_flash

    warn_no_flash.cache_clear()
    model = shutil.copytree(good, tmp_path / "flash")
    config(attn_implementation="flash_attention_2")(model)
    words = ("--model", model, "--layers", "1", "--to", tmp_path / "out")
    done = sweeping.command(tmp_path / "storage", "prune", *words)
    assert done.returncode == 0, done.stderr
    assert has_flash_attn() or caplog.text.count("pip install") == 1


@pytest.mark.parametrize("name", LINKS)
def test_a_link_out_of_a_checkpoint_is_refused_and_its_text_goes_nowhere(
    named, good, tmp_path, name
):
    folder, secret = tmp_path / "linked", tmp_path / "secret"
    shutil.copytree(good, folder)
    secret.write_bytes((good / name).read_bytes() if (good / name).is_file() else b"{}")
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(secret)
    code, error = named(folder)
    assert code == 3
    assert f"{folder / name} is a link out of its checkpoint, to {secret}" in error


def test_links_within_a_checkpoint_and_the_hubs_cache_are_followed(good, tmp_path):
    snapshot = tmp_path / "models--me--mine" / "snapshots" / "abc"
    blobs = snapshot.parents[1] / "blobs"
    shutil.copytree(good, blobs)
    snapshot.mkdir(parents=True)
    for file in blobs.iterdir():
        (snapshot / file.name).symlink_to(f"../../blobs/{file.name}")
    words = ("prune", "--model", snapshot, "--layers", "1", "--to", tmp_path / "out")
    done = sweeping.command(tmp_path / "storage", *words)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "tokenizer.json").read_bytes() == (
        good / "tokenizer.json"
    ).read_bytes()
