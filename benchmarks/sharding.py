"""A trial on two ranks with its student sharded, and with a copy on each: memory and CPU seconds.

    python benchmarks/sharding.py                            # 304M parameters, AdamW
    python benchmarks/sharding.py --dim 64 --layers 4 --vocabulary 512 --context 64

Each is a training by the real loop, with fresh weights and random tokens, in two gloo processes;
one after the other in one run, forked from one that has imported torch. Memory is the most that a
process had resident, with Python and torch; CPU seconds are those of a process for a step, without
the first.
"""

import argparse
import functools
import multiprocessing
import os
import socket
import statistics
import time
from dataclasses import replace
from multiprocessing.queues import SimpleQueue

import torch

from raydistill.models.decoder import build
from raydistill.models.distributed import World
from raydistill.models.student import Student
from raydistill.specs.model import ModelConfig
from raydistill.specs.results import Progress
from raydistill.specs.trial import DropPlan, LayerDrop, Recipe, TrainSpec
from raydistill.training.devices import peak_bytes
from raydistill.training.loop import initial_state, train
from raydistill.training.probe import _random_batch

RANKS, GOAL_MEMORY, GOAL_CPU = 2, 0.6, 1.25


def main() -> None:
    """Measure and print."""
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("--dim", type=int, default=1024)
    flags.add_argument("--layers", type=int, default=24)
    flags.add_argument("--vocabulary", type=int, default=50_304)
    flags.add_argument("--context", type=int, default=128)
    flags.add_argument("--steps", type=int, default=4)
    args = flags.parse_args()
    print(f"{'sharding':<10}{'peak MB':>10}{'CPU s a step':>14}{'loss':>22}")
    found = {sharding: _ranks(args, sharding) for sharding in ("none", "fully")}
    for sharding, ranks in found.items():
        for of in ranks:
            row = f"{of['peak'] / 1e6:>10,.0f}{of['cpu_s']:>14.2f}{of['loss']:>22.15f}"
            print(f"{sharding:<10}{row}", flush=True)
    for name, goal in (("peak", GOAL_MEMORY), ("cpu_s", GOAL_CPU)):
        whole, shares = (max(of[name] for of in found[how]) for how in ("none", "fully"))
        print(f"{name}: fully / none = {shares / whole:.2f} (goal: at most {goal})")


def measured(args: argparse.Namespace, sharding: str) -> dict[str, float]:
    """Train a few steps, across a removal."""
    torch.distributed.init_process_group("gloo")
    world = replace(World.here(), sharded=sharding == "fully")
    model = ModelConfig(
        family="palm", num_layers=args.layers, dim=args.dim, num_heads=4,
        vocab_size=args.vocabulary, context=args.context,
    )  # fmt: skip
    batch = RANKS * args.context
    recipe = Recipe(
        peak_lr=1e-4, budget_tokens=1000 * batch, batch_tokens=batch, micro_batches=RANKS,
        warmup_tokens=0, optimizer="adamw",
    )  # fmt: skip
    plan = DropPlan(drops=(LayerDrop(at_tokens=(args.steps - 1) * batch, layer=1),))
    items = train(
        initial_state(Student(build(model, seed=0)), plan, recipe, world),
        functools.partial(_random_batch, model.vocab_size, model.context, RANKS),
        plan=plan,
        spec=TrainSpec(recipe=recipe, loss="lm", seed=0, corpus_sha256="", tokenizer_sha256=""),
        world=world,
        heldout_nll=lambda _: 0.0,
    )
    seconds: list[float] = []
    loss = 0.0
    start_s = time.process_time()
    for item in items:
        if isinstance(item, Progress):
            seconds.append(time.process_time() - start_s)
            start_s, loss = time.process_time(), item.loss
        if len(seconds) == args.steps:
            break
    return {"peak": peak_bytes(world), "cpu_s": statistics.median(seconds[1:]), "loss": loss}


def _ranks(args: argparse.Namespace, sharding: str) -> list[dict[str, float]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    variables = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(RANKS)}
    fork = multiprocessing.get_context("fork")
    found: list[SimpleQueue[dict[str, float]]] = [fork.SimpleQueue() for _ in range(RANKS)]
    processes = [
        fork.Process(target=_rank, args=(args, sharding, variables | {"RANK": str(rank)}, of))
        for rank, of in enumerate(found)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise SystemExit(f"--sharding {sharding}: a process failed")
    return [of.get() for of in found]


def _rank(
    args: argparse.Namespace,
    sharding: str,
    variables: dict[str, str],
    found: SimpleQueue[dict[str, float]],
) -> None:
    os.environ.update(variables)
    found.put(measured(args, sharding))


if __name__ == "__main__":
    main()
