"""`raydistill base` and `raydistill ui`, as a user starts them."""

import json

import pytest

from raydistill.models.weights import load_weights
from raydistill.storage.manifest import sha256_of, verify
from support import sweeping


@pytest.fixture(scope="module")
def trained(tmp_path_factory, ray_address):
    """A tiny base, and its storage and the command's output."""
    storage = tmp_path_factory.mktemp("storage")
    target = storage / "shipped"
    words = ("base", "--scale", "smoke", "--to", str(target))
    done = sweeping.command(storage, *words, RAY_ADDRESS=ray_address)
    assert done.returncode == 0, done.stderr
    return storage, target, done


def test_a_base_is_laid_out_as_the_package_ships_one(trained):
    _, target, done = trained
    assert "bits are not" in done.stdout
    verify(target)
    about = json.loads((target / "base.json").read_text())
    assert about["command"] == "raydistill base --scale smoke"
    for name, age in about["ages"].items():
        assert sha256_of(target / name / "model.safetensors") == age["weights_sha256"]
        assert len(load_weights(target / name).kept) == 6


def test_a_base_is_not_laid_over_another(trained):
    storage, target, _ = trained
    again = sweeping.command(storage, "base", "--scale", "smoke", "--to", str(target))
    assert again.returncode == 2
    assert again.stderr.startswith(f"error: {target} ")


def test_a_sweep_on_that_storage_starts_from_it(trained):
    storage, target, _ = trained
    ages = json.loads((target / "base.json").read_text())["ages"]
    known = {path.name for path in (storage / "bases").iterdir()}
    assert {age["weights_sha256"] for age in ages.values()} == known


def test_the_pages_need_a_sweep_first(tmp_path):
    done = sweeping.command(tmp_path, "ui")
    assert done.returncode == 4
    assert "run a sweep first" in done.stderr
