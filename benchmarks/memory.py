"""The plan's arithmetic of memory beside the resident size of processes that train.

    python benchmarks/memory.py                              # 95M parameters, on 1 and 2 gloo ranks
    python benchmarks/memory.py --dim 64 --layers 4 --vocabulary 512 --context 64

Each case is a training by the real loop, with fresh weights and random tokens, in processes of its
own. Measured is the most that a process has resident, less what it had before: once it has trained
a tiny model, which imports what torch imports late, and before the model is built.
"""

import argparse
import functools
import json
import os
import socket
import subprocess
import sys
from dataclasses import replace

import torch

from raydistill.distillation.teachers import OnlineTeacher, no_teacher
from raydistill.models.decoder import build
from raydistill.models.distributed import World
from raydistill.models.student import Student
from raydistill.specs.memory.setup import TeacherAt
from raydistill.specs.memory.trial_memory import trial_memory
from raydistill.specs.model import ModelConfig
from raydistill.specs.results import Progress
from raydistill.specs.trial import DropPlan, LayerDrop, Recipe, TrainSpec
from raydistill.training.devices import forget_peak_bytes, peak_bytes
from raydistill.training.loop import initial_state, train
from raydistill.training.memory.expected import setup_of
from raydistill.training.probe import _random_batch

MB = 10**6
STEPS = 3
CASES = {  # ranks, optimizer, loss, and settings of memory
    "lm, Lion": (1, "lion", "lm", {}),
    "lm, AdamW, 2 ranks": (2, "adamw", "lm", {}),
    "kd": (1, "lion", "kd", {}),
    "lm, Lion, 2 ranks, blocks again": (2, "lion", "lm", {"activation_checkpointing": "blocks"}),
}


def main() -> None:
    """Measure and print."""
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("--dim", type=int, default=768)
    flags.add_argument("--layers", type=int, default=12)
    flags.add_argument("--vocabulary", type=int, default=32_000)
    flags.add_argument("--context", type=int, default=256)
    flags.add_argument("--case", choices=sorted(CASES), action="append")
    flags.add_argument("--child", help=argparse.SUPPRESS)
    args = flags.parse_args()
    if args.child:
        print(json.dumps(measured(args, args.child)))
        return
    print(f"{'case':<34}{'ranks':>6}{'planned MB':>12}{'measured MB':>13}{'off':>8}")
    for case in args.case or CASES:
        for size in run(case):
            planned, own = size["planned"], size["measured"]
            off = 100 * (planned / own - 1)
            row = f"{planned / MB:>12,.0f}{own / MB:>13,.0f}{off:>+7.0f} %"
            print(f"{case:<34}{CASES[case][0]:>6}{row}", flush=True)


def run(case: str) -> list[dict[str, int]]:
    """The bytes of each rank, each in a process of its own."""
    ranks = CASES[case][0]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(ranks)}
    words = [sys.executable, __file__, *sys.argv[1:], "--child", case]
    processes = [
        subprocess.Popen(  # noqa: S603  (ourselves)
            words,
            env={**os.environ, **shared, "RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(ranks)
    ]
    texts = [process.communicate()[0] for process in processes]
    if any(process.returncode for process in processes):
        raise SystemExit(f"{case}: a process failed")
    return [json.loads(text.splitlines()[-1]) for text in texts]


def measured(args: argparse.Namespace, case: str) -> dict[str, int]:
    """Train a few steps of a case; the bytes that they took, and those of the arithmetic."""
    ranks, optimizer, loss, settings = CASES[case]
    if ranks > 1:
        torch.distributed.init_process_group("gloo")
    model = ModelConfig(
        family="palm", num_layers=args.layers, dim=args.dim, num_heads=4,
        vocab_size=args.vocabulary, context=args.context,
    )  # fmt: skip
    batch = ranks * args.context
    recipe = Recipe(
        peak_lr=1e-4, budget_tokens=1000 * batch, batch_tokens=batch, micro_batches=ranks,
        warmup_tokens=0, optimizer=optimizer, **settings,
    )  # fmt: skip
    leaving = (1, 2)  # after the steps that are measured
    plan = DropPlan(drops=tuple(LayerDrop(at_tokens=900 * batch, layer=n) for n in leaving))
    world = World.here()
    tiny = replace(model, num_layers=4, dim=16, vocab_size=64)
    steps_of(tiny, plan, recipe, loss, world)
    held = forget_peak_bytes(world)
    own = steps_of(model, plan, recipe, loss, world) - held
    teacher = TeacherAt(model=model) if loss == "kd" else "none"
    setup = setup_of(model, plan, recipe, loss, on_cpu=True, teacher=teacher)

    return {"measured": own, "planned": trial_memory(replace(setup, devices=ranks)).resident}


def steps_of(model: ModelConfig, plan: DropPlan, recipe: Recipe, loss: str, world: World) -> int:
    """Train; the most bytes that the process had."""
    student = Student(build(model, seed=0))
    teacher = OnlineTeacher(build(model, seed=1), recipe, world) if loss == "kd" else no_teacher
    windows = recipe.batch_tokens // model.context
    items = train(
        initial_state(student, plan, recipe),
        functools.partial(_random_batch, model.vocab_size, model.context, windows),
        plan=plan,
        spec=TrainSpec(recipe=recipe, loss=loss, seed=0, corpus_sha256="", tokenizer_sha256=""),
        world=world,
        heldout_nll=lambda _: 0.0,
        teacher=teacher,
    )
    for _ in range(STEPS):
        while not isinstance(next(items), Progress):
            pass
    return peak_bytes(world)


if __name__ == "__main__":
    main()
