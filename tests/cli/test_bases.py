"""`raydistill base --to`: bases laid out as the package ships them, whole or not at all."""

import json

from raydistill.models.weights import load_weights
from raydistill.specs.scale import load_scale
from raydistill.storage.manifest import sha256_of, verify
from support import sweeping


def test_killed_at_its_rename_the_same_command_lays_bases_out(prepared, tmp_path, ray_address):
    """They are trained already: nothing of that is done again."""
    storage, to = prepared(tmp_path / "storage"), tmp_path / "bases"
    words = ("base", "--scale", "smoke", "--to", to)
    more = {"RAY_ADDRESS": ray_address}
    assert sweeping.killed_by_plan(storage, "kill@output=1", *words, **more)
    assert not to.exists()
    done = sweeping.command(storage, *words, **more)
    assert done.returncode == 0, done.stderr
    assert "pretraining" not in done.stdout.partition("bases:")[0]
    verify(to)
    about = json.loads((to / "base.json").read_text())
    assert about["ages"].keys() == {"80B", "320B"}
    for name, base in about["ages"].items():
        assert sha256_of(to / name / "model.safetensors") == base["weights_sha256"]
        assert load_weights(to / name).model.config == load_scale("smoke").model
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bases", "storage"]


def test_a_folder_that_holds_something_is_refused_before_anything_is_trained(tmp_path):
    (tmp_path / "out/80B").mkdir(parents=True)  # as a killed run of an earlier version left it
    done = sweeping.command(
        tmp_path / "storage", "base", "--scale", "smoke", "--to", tmp_path / "out"
    )
    assert done.returncode == 2
    assert done.stderr.endswith("is not empty: --overwrite replaces what is written anew\n")
    assert not (tmp_path / "storage").exists()
