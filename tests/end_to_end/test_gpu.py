"""On a GPU: the bits are as steady as on a CPU, and its kernels say what a CPU in float64 says.

What trains, resumes and scores here is what every other test runs on a CPU.
"""

import dataclasses
import importlib.util
import json

import pytest
import torch
import torch.distributed as dist

from raydistill.data.corpus.preparation import prepare_corpus
from raydistill.models.attention import attend
from raydistill.models.decoder import build
from raydistill.models.distributed import World
from raydistill.specs.evaluation import EvalSpec
from raydistill.specs.model import ModelConfig
from raydistill.specs.results import Progress
from raydistill.specs.trial import (
    CachedTeacher,
    DropPlan,
    ExternalBase,
    LayerDrop,
    NoTeacher,
    RandomBase,
    Recipe,
    TrainSpec,
    TrialSpec,
)
from raydistill.storage.store import Store
from raydistill.training.devices import matmul_flops_per_s
from raydistill.training.jobs import PretrainJob, TrialJob
from raydistill.training.pretraining import AGES, pretrain
from raydistill.training.trial import trial
from support import sweeping
from support.tiny import run_trial

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

HEAD = 64  # as in the paper's models
MODEL = ModelConfig(
    family="palm", num_layers=4, dim=4 * HEAD, num_heads=4, vocab_size=2048, context=1024
)
RECIPE = Recipe(
    peak_lr=1e-3, budget_tokens=131_072, batch_tokens=8192, micro_batches=2, warmup_tokens=16_384,
    precision="bfloat16",
)  # fmt: skip
HALF = RECIPE.budget_tokens // 2
MEASURED = EvalSpec(tasks=("continuation", "last-word"), heldout_windows=4, curve_windows=2)


def close(actual, expected, share):
    """Whether two tensors differ by at most this share of the norm of the expected one."""
    actual, expected = actual.double().cpu(), expected.double().cpu()
    return (actual - expected).norm() <= share * expected.norm()


def heads(dtype, device="cuda"):
    """Queries, keys and values [B, T, H, K], always the same."""
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn((2, 256, 4, HEAD), generator=generator).to(device, dtype).requires_grad_()
        for _ in range(3)
    ]


@pytest.mark.parametrize(("dtype", "share"), [(torch.bfloat16, 0.02), (torch.float32, 1e-3)])
def test_attention_and_its_gradients_are_those_of_a_cpu_in_float64(dtype, share):
    on_gpu, on_cpu = heads(dtype), heads(torch.float64, "cpu")
    actual, expected = attend(*on_gpu), attend(*on_cpu)
    actual.float().square().sum().backward()
    expected.square().sum().backward()
    assert close(actual, expected, share)
    assert all(close(a.grad, b.grad, share) for a, b in zip(on_gpu, on_cpu, strict=True))


@pytest.mark.skipif(not importlib.util.find_spec("flash_attn"), reason="needs the gpu extra")
def test_half_precision_goes_through_flash_attn(monkeypatch):
    import flash_attn

    calls, plain = [], flash_attn.flash_attn_func
    monkeypatch.setattr(
        flash_attn, "flash_attn_func", lambda *a, **k: calls.append(k) or plain(*a, **k)
    )
    attend(*heads(torch.bfloat16))
    attend(*heads(torch.float32))
    assert [call["causal"] for call in calls] == [True]


@pytest.fixture(scope="module")
def train_spec(tmp_path_factory):
    corpus = prepare_corpus("smoke", store=Store(tmp_path_factory.mktemp("corpus")))
    info = json.loads((corpus / "corpus.json").read_text())
    return TrainSpec(
        recipe=RECIPE, loss="lm", seed=0, corpus_sha256=info["corpus_sha256"],
        tokenizer_sha256=info["tokenizer_sha256"],
    )  # fmt: skip


def pretrained(folder, train_spec):
    """A storage with its corpus and a base trained here; the base's sha256."""
    store = Store(folder)
    prepare_corpus("smoke", store=store)
    spec = TrialSpec(base=RandomBase(model=MODEL, seed=0), plan=DropPlan(), train=train_spec)
    job = PretrainJob(
        spec=spec, ages_tokens=(RECIPE.total_tokens,), evaluation=MEASURED, storage=str(folder)
    )
    list(pretrain(job, world=World.here()))
    ages = json.loads(store.path("pretraining", spec.trial_id, AGES).read_text())
    return ages[str(RECIPE.total_tokens)]


def healing(folder, train_spec, base_sha256, loss="lm", placement="online"):
    """A cut in the middle of a training, teacher-free or with the base as the teacher."""
    base = ExternalBase(name="tiny", revision="tiny", weights_sha256=base_sha256)
    teacher = {"lm": NoTeacher()}.get(loss, base)
    if placement == "cached":
        teacher = CachedTeacher(base=base, excerpt="top-k-tail=32")
    spec = TrialSpec(
        base=base,
        plan=DropPlan(drops=(LayerDrop(at_tokens=HALF // 2, layer=1),)),
        train=dataclasses.replace(train_spec, seed=1, loss=loss),
        teacher=teacher,
    )
    return TrialJob(
        spec=spec, base_sha256=base_sha256, evaluation=MEASURED, storage=str(folder), sweep="test",
        checkpoint_every_s=0.0,
    )  # fmt: skip


def stop_at(job, tokens):
    items = trial(job, world=World.here())
    while not (isinstance(item := next(items), Progress) and item.tokens == tokens):
        pass
    items.close()


@pytest.mark.parametrize(
    ("loss", "placement"), [("lm", "online"), ("kd", "online"), ("logits-only", "cached")]
)
def test_the_same_spec_gives_the_same_bits_stopped_or_not(tmp_path, train_spec, loss, placement):
    results = []
    for name, stopped_at in (("whole", 0), ("stopped", HALF)):
        base = pretrained(tmp_path / name, train_spec)
        job = healing(tmp_path / name, train_spec, base, loss, placement)
        if stopped_at:
            stop_at(job, stopped_at)
        results.append(run_trial(job, world=World.here()))
    whole, stopped = results
    assert whole.trained.spec == stopped.trained.spec  # the same base, too
    assert whole.trained.weights_sha256 == stopped.trained.weights_sha256
    assert whole.trained.curve == stopped.trained.curve
    assert (whole.before, whole.after) == (stopped.before, stopped.after)
    assert "NVIDIA" in whole.trained.made_by.device


def test_a_sharded_teacher_says_what_a_whole_one_says(tmp_path):
    ids_BT = torch.randint(0, 2048, (4, 128), device="cuda")
    whole, sharded = (build(MODEL, 0).to("cuda").requires_grad_(False).eval() for _ in range(2))
    dist.init_process_group("nccl", init_method=f"file://{tmp_path}/met", rank=0, world_size=1)
    try:
        World.here().shard(sharded, sharded.blocks)
        with torch.no_grad(), torch.autocast("cuda", torch.bfloat16):
            assert torch.equal(whole(ids_BT), sharded(ids_BT))
    finally:
        dist.destroy_process_group()


def test_its_matrices_are_faster_in_half_precision():
    world = World.here()
    assert matmul_flops_per_s("bfloat16", world) > 2 * matmul_flops_per_s("float32", world) > 1e12


@pytest.mark.timeout(300)
def test_a_sweep_takes_the_gpu_and_goes_on_after_a_kill_to_the_same_bits(prepared, tmp_path):
    flags = ("--age", "320B", "--location", "none,input", "--set", "precision=bfloat16")
    prepared(tmp_path / "whole"), prepared(tmp_path / "killed")
    done = sweeping.run(tmp_path / "whole", *flags)
    assert done.returncode == 0, done.stderr
    fault = {"RAYDISTILL_FAULTS": "kill@step=9"}
    again = sweeping.run(tmp_path / "killed", *flags, "--checkpoint-every", "0", **fault)
    assert again.returncode == 0, again.stderr
    assert [path.name for path in (tmp_path / "killed/faults").iterdir()] == [
        "kill@step=9,rank=0-1"
    ]
    whole, killed = sweeping.results(tmp_path / "whole"), sweeping.results(tmp_path / "killed")
    assert whole == killed
    assert all("NVIDIA" in trained["made_by"]["device"] for trained, _ in whole.values())


def test_the_doctor_names_the_gpu(tmp_path):
    done = sweeping.command(tmp_path, "doctor")
    assert torch.cuda.get_device_name() in done.stdout
