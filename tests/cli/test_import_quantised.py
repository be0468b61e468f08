"""`raydistill import` of quantised checkpoints: in bfloat16, as transformers dequantises them."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from raydistill.core.errors import DataError
from raydistill.models.huggingface.surgery.anatomy import read_anatomy
from raydistill.models.huggingface.surgery.end_check import check_imported
from support import quantised_models as made
from support import sweeping
from support.hub_models import fresh, save_model
from support.printed import commands_in, run_printed

RAGGED = made.SIZES | {"intermediate_size": 321}  # three blocks of 107 would be even, and wrong


def import_model(source, to, *words):
    return sweeping.command(to.parent / "storage", "import", source, "--to", to, *words)


def stock(folder, **more):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, **more).eval()


def weights_in(folder):
    tensors = {}
    for file in folder.glob("*.safetensors"):
        tensors |= load_file(file)
    return tensors


@pytest.mark.parametrize(
    ("family", "sizes", "quantise", "settings", "words"),
    [
        ("deepseek_v3", made.DEEPSEEK, made.fp8, made.FP8, "128x128 block"),
        ("gpt_oss", made.GPT_OSS, made.mxfp4, made.MXFP4, "power of two for each 32 values"),
    ],
)
def test_it_is_to_the_bit_what_transformers_dequantises(
    tmp_path, family, sizes, quantise, settings, words
):
    source, to = tmp_path / "source", tmp_path / "out"
    meant = made.save_quantised(source, family, quantise, settings, shards=3, **sizes)
    done = import_model(source, to)
    assert done.returncode == 0, done.stderr
    assert words in done.stdout
    assert "out: 4 layers, " in done.stdout
    assert "Every tensor is to the bit as transformers dequantises it" in done.stdout
    assert "Loading" not in done.stderr  # transformers' own bars
    written = weights_in(to)
    assert written.keys() == meant.keys()
    assert all(torch.equal(written[name], tensor) for name, tensor in meant.items())
    config = json.loads((to / "config.json").read_text("utf-8"))
    assert config["dtype"] == "bfloat16"
    assert "quantization_config" not in config
    theirs, ours = stock(source, dtype=torch.bfloat16), stock(to, dtype="auto")
    tensors = dict(theirs.state_dict())
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in ours.state_dict().items())
    tokens_BT = torch.arange(24)[None]
    assert torch.equal(ours(tokens_BT).logits, theirs(tokens_BT).logits)
    assert (to / "tokenizer.json").is_file()
    pruned = sweeping.command(
        tmp_path / "storage", "prune", "--model", to, "--layers", "2", "--to", tmp_path / "short"
    )
    assert pruned.returncode == 0, pruned.stderr


def test_blocks_at_the_end_may_be_smaller_which_transformers_gets_wrong(tmp_path):
    source, to = tmp_path / "source", tmp_path / "out"
    meant = made.save_quantised(source, "llama", made.fp8, made.FP8, **RAGGED)
    done = import_model(source, to)
    assert done.returncode == 0, done.stderr
    assert "It was not compared with what transformers" in done.stdout
    written = weights_in(to)
    assert all(torch.equal(written[name], tensor) for name, tensor in meant.items())


def test_what_is_no_weight_of_the_model_is_left_out_and_told(tmp_path):
    """Code that nobody needs, and the layer of multi-token prediction behind the last."""
    source, to = tmp_path / "source", tmp_path / "out"
    meant = made.save_quantised(source, "deepseek_v3", made.fp8, made.FP8, **made.DEEPSEEK)
    config = json.loads((source / "config.json").read_text("utf-8"))
    config["auto_map"] = {"AutoModelForCausalLM": "modeling_deepseek.DeepseekV3ForCausalLM"}
    (source / "config.json").write_text(json.dumps(config), "utf-8")
    tensors = weights_in(source) | {"model.layers.61.eh_proj.weight": torch.ones(2, 2)}
    made.write_shards(source, tensors)
    done = import_model(source, to)
    assert done.returncode == 0, done.stderr
    assert (
        "what transformers does not load, model.layers.61.eh_proj.weight and 0 more" in done.stdout
    )
    assert "auto_map, as transformers has a 'deepseek_v3' itself" in done.stdout
    assert weights_in(to).keys() == meant.keys()
    assert "auto_map" not in json.loads((to / "config.json").read_text("utf-8"))
    assert read_anatomy(to).num_layers == 4


def test_weights_that_are_no_numbers_leave_nothing_behind(tmp_path):
    source = tmp_path / "source"
    made.save_quantised(source, "llama", made.fp8, made.FP8, **made.SIZES)
    tensors = weights_in(source)
    bytes_ = tensors["model.layers.1.mlp.up_proj.weight"].view(torch.uint8)
    bytes_[3, 5] = 0x7F
    made.write_shards(source, tensors)
    done = import_model(source, tmp_path / "out")
    assert (done.returncode, "hold NaN or Inf" in done.stderr) == (3, True)
    assert not (tmp_path / "out").exists()
    unchecked = import_model(source, tmp_path / "out", "--no-check")
    assert unchecked.returncode == 0, unchecked.stderr
    assert "compared" not in unchecked.stdout


def test_one_bit_of_difference_is_found(tmp_path):
    folder = save_model(tmp_path / "model")
    model = fresh("llama")
    assert check_imported(lambda: model, folder) > 16
    with safe_open(folder / "model.safetensors", framework="pt") as opened:
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    tensors["model.norm.weight"][7] += 2**-23
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DataError, match=r"1 tensors differ, the first model\.norm\.weight"):
        check_imported(lambda: model, folder)
    assert check_imported(None, folder) > 16


@pytest.mark.parametrize("command", ["rank", "prune"])
def test_elsewhere_it_is_refused_with_the_command_that_imports_it(tmp_path, command):
    source = tmp_path / "my model"
    made.save_quantised(source, "gpt_oss", made.mxfp4, made.MXFP4, **made.GPT_OSS)
    words = {"rank": ["rank", source], "prune": ["prune", "--layers", "1", "--model", source]}
    to = ("--to", tmp_path / "out")
    refused = sweeping.command(tmp_path / "storage", *words[command], *to)
    assert refused.returncode == 3
    assert "is quantised (MXFP4: 4-bit floats" in refused.stderr
    (printed,) = commands_in(refused.stderr)
    done = run_printed(printed, "--storage", str(tmp_path / "storage"), "--no-check")
    assert done.returncode == 0, done.stderr
    words = ["prune", "--layers", "1", "--model", f"{source}-bf16"]
    read = sweeping.command(tmp_path / "storage", *words, *to)
    assert read.returncode == 0, read.stderr


def test_a_form_that_is_not_read_is_named_with_the_way(tmp_path):
    source = save_model(tmp_path / "source")
    config = json.loads((source / "config.json").read_text("utf-8"))
    config |= {"quantization_config": {"quant_method": "gptq", "bits": 4}, "_name_or_path": "o/n"}
    (source / "config.json").write_text(json.dumps(config), "utf-8")
    words = "is quantised (gptq, 4 bits){}: bring the checkpoint that it was made of, o/n"
    done = import_model(source, tmp_path / "out")
    assert done.returncode == 3
    assert words.format(", which import does not read") in done.stderr
    done = sweeping.command(tmp_path / "storage", "rank", source)
    assert (done.returncode, words.format("") in done.stderr) == (3, True)


@pytest.mark.parametrize(
    ("quantise", "settings"), [(made.fp8_rows, made.ROWS), (made.int4, made.INT4)]
)
def test_what_compressed_tensors_made_is_read_without_it(tmp_path, quantise, settings):
    source, to = tmp_path / "source", tmp_path / "out"
    meant = made.save_quantised(source, "llama", quantise, settings, shards=2, **made.SIZES)
    done = import_model(source, to, "--no-check")
    assert done.returncode == 0, done.stderr
    written = weights_in(to)
    assert written.keys() == meant.keys()
    assert all(torch.equal(written[name], tensor) for name, tensor in meant.items())


@pytest.mark.parametrize(
    ("quantise", "settings"), [(made.fp8_rows, made.ROWS), (made.int4, made.INT4)]
)
def test_with_it_what_transformers_reads_is_the_same(tmp_path, quantise, settings):
    pytest.importorskip("compressed_tensors", reason="needs the quantised extra")
    made.save_quantised(tmp_path / "source", "llama", quantise, settings, **made.SIZES)
    done = import_model(tmp_path / "source", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "Every tensor is to the bit as transformers dequantises it" in done.stdout
