"""The cost of an online teacher: a KD step against a teacher-free one and a teacher's forward pass.

    python benchmarks/online_kd.py                # the laptop scale, its shipped base as teacher
    python benchmarks/online_kd.py --rounds 40

The three alternate in one process on one thread, so that a slower machine slows all of them;
medians over the rounds are printed. KD should cost at most 10 % more than the other two together.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from raydistill.data.batches import Batch
from raydistill.distillation.teachers import OnlineTeacher, no_teacher
from raydistill.models.decoder import build
from raydistill.models.distributed import World
from raydistill.models.student import Student
from raydistill.specs.locations import input_side
from raydistill.specs.scale import Scale, load_scale
from raydistill.specs.trial import DropPlan, Recipe
from raydistill.training.loop import Objective, Training, initial_state


def main() -> None:
    """Measure and print."""
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("--scale", default="laptop")
    flags.add_argument("--rounds", type=int, default=30)
    args = flags.parse_args()
    scale, world = load_scale(args.scale), World.here()
    parts = contenders(scale, world)
    seconds: dict[str, list[float]] = {name: [] for name in parts}
    for number in range(args.rounds + 3):
        batch = random_batch(scale, number).to(world.device)
        for name, part in parts.items():
            start_s = time.perf_counter()
            part(batch)
            if world.device.type == "cuda":
                torch.cuda.synchronize()
            if number >= 3:  # the first ones warm up
                seconds[name].append(time.perf_counter() - start_s)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    allowed = medians["teacher-free"] + medians["teacher forward"]
    print(f"{args.scale}, {world.device_kind}, {args.rounds} rounds of one batch each, medians")
    for name, median in medians.items():
        print(f"{name:16} {1000 * median:8.1f} ms")
    print(f"KD / (teacher-free + teacher forward) = {medians['kd'] / allowed:.3f}")


def contenders(scale: Scale, world: World) -> dict[str, Callable[[Batch], object]]:
    """A teacher-free step, the teacher's forward pass, and a step of KD, each of a batch."""
    teacher = OnlineTeacher(build(scale.model, seed=0), scale.heal, world)
    students = [cut(scale, world) for _ in range(2)]
    teacher_free, kd = Objective.of("lm", no_teacher), Objective.of("kd", teacher)
    return {
        "teacher-free": lambda batch: step(students[0], teacher_free, batch, scale.heal),
        "teacher forward": teacher,
        "kd": lambda batch: step(students[1], kd, batch, scale.heal),
    }


def cut(scale: Scale, world: World) -> Training:
    """A student with half of its layers gone, ready to train."""
    student = Student(build(scale.model, seed=0))
    student.model.to(world.device)
    student.remove(input_side(scale.model.num_layers, scale.model.num_layers // 2))
    return initial_state(student, DropPlan(), scale.heal)


def step(state: Training, objective: Objective, batch: Batch, recipe: Recipe) -> None:
    """One optimizer step."""
    model = state.student.model
    objective(state.student, model, batch, next(model.parameters()).device).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.grad_clip)
    state.optimizer.step()
    state.optimizer.zero_grad()


def random_batch(scale: Scale, seed: int) -> Batch:
    """A batch of the scale's size; its tokens do not change the time."""
    windows = scale.heal.batch_tokens // scale.model.context
    rng = torch.Generator().manual_seed(seed)
    shape = (windows, scale.model.context + 1)
    ids = torch.randint(0, scale.model.vocab_size, shape, generator=rng)
    return Batch(tuple(range(windows)), ids, seed, (0,) * windows, 0)


if __name__ == "__main__":
    main()
