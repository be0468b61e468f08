"""`raydistill prune`: by every way to say which layers leave."""

import json
import re
import sys
from pathlib import Path

import pytest
import yaml

from raydistill.cli.commands.prune import prune as prune_here
from raydistill.cli.commands.prune import target_count
from raydistill.cli.console import read_command
from raydistill.core.errors import DataError
from raydistill.core.units import format_tokens
from raydistill.models.huggingface.checkpoint import read_checkpoint
from raydistill.models.huggingface.surgery.anatomy import read_anatomy
from raydistill.pruning.mergekit import LayerMap, read_map, write_map
from raydistill.specs.flops import active_parameters
from raydistill.specs.locations import pick
from raydistill.storage.store import Store
from support import sweeping
from support.hub_models import save_model

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from tiny_decoders import tiny_decoder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def storage(tmp_path_factory):
    return tmp_path_factory.mktemp("storage")


def prune(storage, to, *words):
    return sweeping.command(storage, "prune", *words, "--to", to)


WAYS = [
    ("--location max-gap --count 2", pick("max-gap", 6, 2)),
    ("--location 1,3-4", (1, 3, 4)),
    ("--layers 1,3-4", (1, 3, 4)),
    ("--layers 0,5 --allow-ends", (0, 5)),
    ("--location output --target-params 170K", (3, 4)),
]


@pytest.mark.parametrize(("words", "gone"), WAYS)
def test_layers_leave_and_a_stock_folder_stays(storage, folder, tmp_path, words, gone):
    from transformers import AutoModelForCausalLM

    done = prune(storage, tmp_path / "out", "--model", folder, *words.split())
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    whole, short = (AutoModelForCausalLM.from_pretrained(at) for at in (folder, tmp_path / "out"))
    kept = [layer for layer in range(6) if layer not in gone]
    assert short.config.num_hidden_layers == len(kept)
    names = {f"model.layers.{i}.": f"model.layers.{layer}." for i, layer in enumerate(kept)}
    state = whole.state_dict()
    for name, tensor in short.state_dict().items():
        prefix = next((prefix for prefix in names if name.startswith(prefix)), "")
        assert tensor.equal(state[names.get(prefix, "") + name.removeprefix(prefix)])
    written = read_map(tmp_path / "out/mergekit.yml")
    assert written == LayerMap(model=str(folder), kept=tuple(kept), dtype="float32")
    again = prune(storage, tmp_path / "again", "--mergekit", tmp_path / "out/mergekit.yml",
                  "--allow-ends")  # fmt: skip
    assert again.returncode == 0, again.stderr
    for name in ("config.json", "model.safetensors", "mergekit.yml"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_a_score_reads_the_text(storage, folder, tmp_path):
    (tmp_path / "a.txt").write_text("\n".join(f"line {i} of some text" for i in range(999)))
    words = ("--location", "block-influence", "--count", "2", "--text", tmp_path / "a.txt")
    done = prune(storage, tmp_path / "out", "--model", folder, *words, "--windows", "2")
    assert done.returncode == 0, done.stderr
    assert read_checkpoint(str(tmp_path / "out"), "main").model.num_layers == 4


def test_it_says_how_far_it_is(storage, folder, tmp_path, all_progress):
    (tmp_path / "a.txt").write_text("\n".join(f"line {i} of some text" for i in range(999)))
    words = ("--location", "greedy", "--count", "2", "--text", tmp_path / "a.txt")
    done = prune(storage, tmp_path / "out", "--model", folder, *words, "--windows", "2")
    assert done.returncode == 0, done.stderr
    for stage in ("loading weights", "layer scores"):
        assert re.search(rf"^{stage}.*: \d+ .*, about .* left$", done.stderr, re.MULTILINE), stage
    assert "left" not in done.stdout


WRONG = [
    (2, "", "One of --location, --layers and --mergekit; there is none"),
    (2, "--layers 1 --location input", "there is --location and --layers"),
    (2, "--location input", "One of --count and --target-params"),
    (2, "--location input --count 1 --target-params 1M", "One of --count and --target-params"),
    (2, "--layers 1 --count 1", "a list of layers has its own count"),
    (2, "--location input --count 5", "this model has 6 layers; the first and last stay: 1 to 4"),
    (2, "--location midle --count 1", "Did you mean 'middle'?"),
    (2, "--location block-influense --count 1", "Did you mean 'block-influence'?"),
    (2, "--location block-influence --count 9", "the first and last stay: 1 to 4"),
    (2, "--layers 0,1", "0 (the first and last stay)"),
    (2, "--location input --count two", "--count 'two' is not a whole number of layers"),
    (2, "--location input --target-params many", "a number of parameters, such as 0.8B or 350M"),
    (2, "--location input --target-params 1K", "from 177.504K down to 149.664K"),
    (2, "--location input --target-params 1M", "the model has 186.784K; layers leave by 9.28K"),
    (3, "--mergekit nowhere.yml", "nowhere.yml is no mergekit file"),
    (2, "--layers 1 --revision", "argument --revision: expected one argument"),
    (3, "--layers 1 --revision step2", "no revision 'step2' in"),
]


@pytest.mark.parametrize(("code", "words", "message"), WRONG, ids=[words for _, words, _ in WRONG])
def test_what_cannot_be_is_told_in_one_line(storage, folder, tmp_path, code, words, message):
    done = prune(storage, tmp_path / "out", "--model", folder, *words.split())
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.count("\n") == 1
    assert message in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_empty_is_refused_before_anything_is_read(storage, tmp_path):
    (tmp_path / "mine.txt").touch()
    done = prune(storage, tmp_path, "--model", "./nowhere", "--layers", "1")
    assert done.returncode == 2
    assert "is not empty: --overwrite" in done.stderr


def test_killed_between_its_renames_it_leaves_no_map_of_one_model_with_weights_of_another(
    storage, folder, tmp_path
):
    from transformers import AutoModelForCausalLM

    to = tmp_path / "out"
    assert prune(storage, to, "--model", folder, "--layers", "1,3-4").returncode == 0
    words = ("--model", folder, "--layers", "2", "--overwrite")
    assert sweeping.killed_by_plan(storage, "kill@output=2", "prune", *words, "--to", to)
    assert not to.exists()
    done = prune(storage, to, *words)
    assert done.returncode == 0, done.stderr
    assert read_map(to / "mergekit.yml").kept == (0, 1, 3, 4, 5)
    short = AutoModelForCausalLM.from_pretrained(to)
    assert len(short.model.layers) == short.config.num_hidden_layers == 5
    whole = AutoModelForCausalLM.from_pretrained(folder).state_dict()
    assert short.state_dict()["model.layers.2.mlp.up_proj.weight"].equal(
        whole["model.layers.3.mlp.up_proj.weight"]
    )
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_link_to_nothing_is_refused_before_anything_is_read(storage, tmp_path):
    (tmp_path / "out").symlink_to(tmp_path / "nothing")
    done = prune(storage, tmp_path / "out", "--model", "./nowhere", "--layers", "1")
    assert (done.returncode, "out is a link to" in done.stderr) == (2, True)


def test_only_a_checkpoint_is_pruned(storage, tmp_path):
    done = prune(storage, tmp_path / "out", "--layers", "1")
    assert (done.returncode, "prune needs --model" in done.stderr) == (2, True)


def test_a_layer_map_is_what_mergekit_reads():
    text = write_map(LayerMap(model="a/b", kept=(0, 1, 2, 5, 7), dtype="bfloat16"))
    assert yaml.safe_load(text) == {
        "slices": [
            {"sources": [{"model": "a/b", "layer_range": ends}]}
            for ends in ([0, 3], [5, 6], [7, 8])
        ],
        "merge_method": "passthrough",
        "dtype": "bfloat16",
    }


PASSES = {"slices": [{"sources": [{"model": "m", "layer_range": [0, 4]}]}]}
MORE = {"model": "m", "layer_range": [4, 6]}
MAPS = [
    ("", "it has no keys"),
    ("[1", "is no mergekit file"),
    ({"merge_method": "slerp"} | PASSES, "merge_method 'slerp', only passthrough"),
    ({"base_model": "m"} | PASSES, "base_model is more than which layers stay; only dtype"),
    ({"slices": []}, "no list of slices"),
    ({"slices": [{"sources": [MORE, MORE]}]}, r"slices\[0\] must have one source"),
    (
        {"slices": [{"sources": [MORE | {"parameters": {"scale": 2}}]}]},
        r"sources\[0\].parameters is",
    ),
    ({"slices": [{"sources": [{"model": "m", "layer_range": [4, 4]}]}]}, r"layer_range \[4, 4\]"),
    ({"slices": [{"sources": [{"model": "m", "layer_range": "0-4"}]}]}, "layer_range '0-4'"),
    ({"slices": [{"sources": [MORE]}, *PASSES["slices"]]}, "at most once, in ascending order"),
    ({"slices": [{"sources": [MORE]}, {"sources": [MORE]}]}, "at most once"),
    ({"slices": [*PASSES["slices"], {"sources": [MORE | {"model": "n"}]}]}, r"2 models \(m, n\)"),
    ("dtype: a\ndtype: b\n", "has the key dtype twice"),
    ("!!python/object/apply:os.system ['touch payload']", "is no mergekit file"),
]


@pytest.mark.parametrize(("content", "message"), MAPS, ids=[message for _, message in MAPS])
def test_any_other_map_is_refused(tmp_path, monkeypatch, content, message):
    monkeypatch.chdir(tmp_path)
    if isinstance(content, dict):
        content = json.dumps({"merge_method": "passthrough"} | content)
    (tmp_path / "map.yml").write_text(content)
    with pytest.raises(DataError, match=message) as refusal:
        read_map(tmp_path / "map.yml")
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "payload").exists()


def test_a_map_must_fit_the_model(storage, folder, tmp_path):
    for kept, dtype, message in (
        ((0, 7), "", "keeps layer 7, the model has 0 to 5"),
        (tuple(range(6)), "", "keeps all 6 layers"),
        ((0, 1, 5), "float16", "dtype float16, but the model's float32 is kept"),
    ):
        text = write_map(LayerMap(model=str(folder), kept=kept, dtype=dtype))
        (tmp_path / "map.yml").write_text(text)
        done = prune(storage, tmp_path / "out", "--mergekit", tmp_path / "map.yml")
        assert done.returncode == 3
        assert message in done.stderr


@pytest.mark.parametrize("model_type", ["gemma3n_text", "deepseek_v3"])
def test_the_sizes_that_it_tells_are_those_of_the_stock_models(model_type, tmp_path, capsys):
    """With what leaves of tables beside the blocks; of experts, in all and active."""
    from transformers import AutoModelForCausalLM

    whole, short = tmp_path / "whole", tmp_path / "short"
    tiny_decoder(model_type).save_pretrained(whole)
    words = ["prune", "--model", str(whole), "--layers", "1,3", "--to", str(short), "--no-check"]
    capsys.readouterr()
    prune_here(Store(tmp_path / "storage"), read_command(words))
    said = " ".join(capsys.readouterr().out.split())
    for folder, form in ((whole, "6 layers, {} parameters{};"), (short, "4 layers, {}{}, ")):
        model = AutoModelForCausalLM.from_pretrained(folder)
        size = sum(p.numel() for p in model.parameters())
        active = active_parameters(read_checkpoint(str(folder), "main").model)
        few = f" ({format_tokens(active)} active)" if active < size else ""
        assert form.format(format_tokens(size), few) in said
        assert bool(few) == (model_type == "deepseek_v3")


def test_a_size_is_reached_by_the_layers_of_the_location(tmp_path):
    """Of blocks that differ those count that leave: here the first is dense, the others larger."""
    tiny_decoder("deepseek_v3").save_pretrained(tmp_path / "model")
    anatomy = read_anatomy(tmp_path / "model")
    large = max(anatomy.block_parameters)
    text = f"{(anatomy.parameters - 2 * large) / 1000}K"
    assert target_count(anatomy, text, lambda count: range(2, 2 + count)) == 2
    assert target_count(anatomy, text) > 2  # whichever leave
