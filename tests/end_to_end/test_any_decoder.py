"""The whole way of a checkpoint, command by command, for one type of each cause of trouble."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from tiny_decoders import tiny_decoder

from support import sweeping
from support.hub_models import VOCABULARY, save_tokenizer

CAUSES = {  # type → the layers that leave
    "deepseek_v3": "1,3",  # a dense prefix, then experts
    "qwen3_next": "1,2",  # an index list, two kinds of attention
    "granitemoehybrid": "1,3",  # attention and state space, a scaled head
    "gemma3": "1,3",  # a wrapper, sliding windows
    "gemma4_text": "1,4",  # shared keys and values
    "cohere2": "1,3",  # a scaled head, sliding windows
    "llama4_text": "1,3",
}


def logits(folder):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    with torch.no_grad():
        return model(input_ids=torch.arange(40)[None] * 7 % VOCABULARY).logits


def succeeds(done):
    assert done.returncode == 0, f"{done.args}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


@pytest.mark.soak
@pytest.mark.parametrize("devices", ["1", "2"])
@pytest.mark.parametrize("model_type", CAUSES)
def test_ranked_pruned_swept_exported_and_added(model_type, devices, run_sweep, prepared, tmp_path):
    model, layers = tmp_path / "model", CAUSES[model_type]
    tiny_decoder(model_type, vocabulary=VOCABULARY).save_pretrained(model)
    save_tokenizer(model)
    storage = prepared(tmp_path / "storage")
    if devices == "1":
        ranking = ("rank", model, "--windows", "2", "--seq-len", "32", "--to", tmp_path / "ranked")
        assert "Next:" in succeeds(sweeping.command(storage, *ranking))
        pruning = ("prune", "--model", model, "--layers", layers, "--to", tmp_path / "pruned")
        assert "without" in succeeds(sweeping.command(storage, *pruning))
    flags = ("--model", str(model), "--location", layers, "--seed", "1", "--no-lr-probe",
             "--devices-per-trial", devices, "--set", f"micro_batches={devices}",
             "--limit", "8")  # fmt: skip
    arms = "teacher-free,kd" if devices == "1" else "kd"
    succeeds(run_sweep("teacher_free_vs_kd", storage, "--arm", arms, *flags))
    trials = sorted(path.parent.name for path in storage.glob("trials/*/trained.json"))
    assert len(trials) == len(arms.split(","))
    exported = tmp_path / "exported"
    succeeds(sweeping.command(storage, "export", trials[0], "--to", exported, "--no-measure"))
    assert torch.isfinite(logits(exported)).all()
    succeeds(sweeping.command(storage, "add", exported, "--like", trials[0]))
