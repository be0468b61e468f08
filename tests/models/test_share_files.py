"""What ranks write of a sharded model: shares beside training, or whole tensors to one file."""

import json

import pytest

from support.ranks import outcomes

PROGRAM = """
from dataclasses import replace
from pathlib import Path
import torch
from support import tiny
from raydistill.models.distributed import World
from raydistill.models.share_files import ShareFiles, load_whole, stored_tensors
from raydistill.models.sharding import local, whole
from raydistill.models.weights import save_weights
from raydistill.specs.results import Record
from raydistill.training.checkpoint import save_checkpoint
from raydistill.training.loop import initial_state

folder = Path(sys.argv[4])
here = World.here()
world = replace(here, sharded=here.size > 1)
state = initial_state(tiny.student(), tiny.plan(1), tiny.RECIPE, world)
said = {}
save_weights(folder / f"of-{world.size}" if world.leads else None, state.student)
if world.sharded:
    shares, tensors = ShareFiles(), state.named_tensors()
    expected = {name: whole(tensor).clone() for name, tensor in tensors.items()}
    shares.save(folder / "shares", tensors, lambda: None)
    for tensor in tensors.values():
        local(tensor).zero_()  # training goes on
    shares.wait()
    shares.load(folder / "shares", tensors)
    said["same"] = all(torch.equal(whole(tensors[n]), t) for n, t in expected.items())
    read = {n: torch.zeros(size, dtype=dtype)
            for n, (size, dtype) in stored_tensors(folder / "shares").items()}
    load_whole(folder / "shares", read)
    said["alone"] = all(torch.equal(read[n], t) for n, t in expected.items())

    def full_disk():
        raise OSError("full")

    shares.save(folder / "again", tensors, full_disk)
    try:
        shares.wait()
    except OSError as error:
        said["error"] = str(error)
    state.step = 7
    save_checkpoint(folder / f"apart-{world.rank}", state, Record(), world)
    save_checkpoint(folder / "together", state, Record(), world)
    state.shares.wait()
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("written")
    for name in ("of-1", "of-2", "shares", "again"):
        (folder / name).mkdir()
    said = [outcomes(PROGRAM, folder / f"meeting-{n}", n, folder) for n in (1, 2)]
    return folder, said[1]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_gathered_weights_are_the_file_of_one_rank_byte_for_byte(written):
    one, two = (written[0] / f"of-{n}" / "model.safetensors" for n in (1, 2))
    assert one.read_bytes() == two.read_bytes()
    assert one.stat().st_mode == two.stat().st_mode


def test_shares_are_those_of_when_they_were_saved_and_read_by_any_number_of_ranks(written):
    assert [(said["same"], said["alone"]) for said in written[1]] == [(True, True)] * 2
    assert len(names(written[0] / "shares")) == 2  # a file each, no pickle


def test_a_writing_that_failed_is_told_to_what_trains_and_leaves_nothing(written):
    assert [said["error"] for said in written[1]] == ["full", "full"]
    assert not (written[0] / "again").exists()


def test_ranks_that_see_one_folder_write_shares_and_others_gather(written):
    together, apart = written[0] / "together/step-7", written[0] / "apart-0/step-7"
    shards = [f"shard-0000{n}-model-00001-of-00001.safetensors" for n in (1, 2)]
    assert names(together) == ["manifest.json", "notes.json", *shards, "shares.json"]
    files = json.loads((together / "manifest.json").read_text())["files"]
    assert sorted(files) == ["notes.json", *shards, "shares.json"]
    assert names(apart) == [
        "manifest.json", "model.safetensors", "notes.json", "optimizer.safetensors",
    ]  # fmt: skip
    assert not (written[0] / "apart-1").exists()
