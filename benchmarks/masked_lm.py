"""What a step on hidden tokens costs, its head on them alone, and beside transformers' BERT.

    python benchmarks/masked_lm.py                                 # the reduced scale, and Honey's
    python benchmarks/masked_lm.py --scales reduced+mask=0.15 --rounds 40

Four steps of training on the same batch alternate in one process on one thread, so that a slower
machine slows all of them: ours, whose head computes hidden positions alone; the same with the head
on all positions; and `BertForMaskedLM` of the same widths, without dropout, with torch's attention
and with its own. All have the same targets, clipping and optimizer, and ours draws them in the
step. BERT has no matrix from embeddings to hidden states, and so 0.1 to 1.3 % fewer parameters.
Medians over the rounds with quartiles, of CPU seconds of the process and of the clock.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import torch
import transformers
from torch import Tensor, nn
from transformers import BertConfig, BertForMaskedLM

from raydistill.data.batches import Batch
from raydistill.distillation.divergence import NO_TARGET
from raydistill.distillation.loss import View
from raydistill.distillation.teachers import no_teacher
from raydistill.models.decoder import build
from raydistill.models.distributed import World
from raydistill.models.student import Student
from raydistill.specs.model import FactorisedConfig, ModelConfig
from raydistill.specs.scale import Scale, load_scale
from raydistill.specs.trial import Recipe
from raydistill.training.loop import Objective
from raydistill.training.optimizers import optimizer_of

LARGEST = "embedding=256+feed_forward=1024+heads=8+layers=8+width=256"
SCALES = (
    "reduced+mask=0.15",
    "honey",
    "reduced+embedding=128+feed_forward=512+mask=0.15+width=128",
    f"honey+{LARGEST}",
)
HIDDEN, ALL, SDPA, EAGER = "hidden positions", "all positions", "BERT, sdpa", "BERT, eager"
CPU = torch.device("cpu")
_WARM_UP = 2  # rounds that are not counted


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One step of training, and what it took so far."""

    model: nn.Module
    loss: Callable[[Batch], Tensor]
    cpu_s: list[float] = field(default_factory=list)
    clock_s: list[float] = field(default_factory=list)

    @property
    def num_parameters(self) -> int:
        """Of its model, tied ones once."""
        return sum(p.numel() for p in self.model.parameters())


def main() -> None:
    """Measure and print."""
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("--scales", nargs="+", default=SCALES)
    flags.add_argument("--rounds", type=int, default=15)
    flags.add_argument("--windows", type=int, default=16, help="of a batch")
    args = flags.parse_args()
    World.here()  # one thread
    for name in args.scales:
        steps = measured(load_scale(name), windows=args.windows, rounds=args.rounds)
        print("\n".join(lines(name, steps)), flush=True)


def measured(scale: Scale, *, windows: int, rounds: int) -> dict[str, Step]:
    """The steps of a masked scale, each measured in as many rounds."""
    steps = contenders(scale)
    takes = {name: training_step(step, scale.pretrain) for name, step in steps.items()}
    for number in range(rounds + _WARM_UP):
        batch = random_batch(scale, windows, number)
        names = list(steps)[number % len(steps) :] + list(steps)[: number % len(steps)]
        for name in names:
            cpu_s, clock_s = time.process_time(), time.perf_counter()
            takes[name](batch)
            if number >= _WARM_UP:
                steps[name].cpu_s.append(time.process_time() - cpu_s)
                steps[name].clock_s.append(time.perf_counter() - clock_s)
    return steps


def contenders(scale: Scale) -> dict[str, Step]:
    """The four steps; both of ours begin at the same weights."""
    gathered = Objective.of(scale.objective, no_teacher)
    everywhere = replace(gathered, view=lambda batch: on_all_positions(gathered.view(batch)))
    steps = {
        name: Step(model=model, loss=partial(objective, Student(model), model, device=CPU))
        for name, objective in ((HIDDEN, gathered), (ALL, everywhere))
        for model in [build(scale.model, seed=0)]
    }
    for name, attention in ((SDPA, "sdpa"), (EAGER, "eager")):
        bert = bert_like(scale.model, attention)
        steps[name] = Step(model=bert, loss=partial(bert_loss, bert, everywhere.view))
    return steps


def on_all_positions(view: View) -> View:
    """The same targets where they stand, and none elsewhere."""
    assert view.at is not None
    targets_BT = torch.full_like(view.inputs, NO_TARGET).scatter(1, view.at, view.targets)
    return View(inputs=view.inputs, targets=targets_BT)


def bert_like(model: ModelConfig, attention: str) -> BertForMaskedLM:
    """A BERT of the same widths, without dropout; its embeddings are as wide as hidden states."""
    assert isinstance(model, FactorisedConfig), model
    config = BertConfig(
        vocab_size=model.vocab_size,
        hidden_size=model.dim,
        num_hidden_layers=model.num_layers,
        num_attention_heads=model.num_heads,
        intermediate_size=model.feed_forward,
        max_position_embeddings=model.positions,
        type_vocab_size=model.types,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        tie_word_embeddings=False,
    )
    config._attn_implementation = attention
    bert = BertForMaskedLM(config)
    bert.cls.predictions.bias = bert.cls.predictions.decoder.bias  # an untied head leaves one idle
    return bert


def bert_loss(bert: BertForMaskedLM, view: Callable[[Batch], View], batch: Batch) -> Tensor:
    """Its own loss on the same batch and targets."""
    read = view(batch)
    loss: Tensor = bert(input_ids=read.inputs, labels=read.targets).loss
    return loss


def training_step(step: Step, recipe: Recipe) -> Callable[[Batch], None]:
    """The function that trains on a batch."""
    parameters = list(step.model.parameters())
    optimizer = optimizer_of(parameters, recipe)
    optimizer.set_lr(recipe.peak_lr)

    def take(batch: Batch) -> None:
        step.loss(batch).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, recipe.grad_clip)
        optimizer.step()
        optimizer.zero_grad()

    return take


def random_batch(scale: Scale, windows: int, seed: int) -> Batch:
    """Windows of random tokens, which do not change the time."""
    rng = torch.Generator().manual_seed(seed)
    shape = (windows, scale.model.context + 1)
    ids = torch.randint(1, scale.model.vocab_size, shape, generator=rng)
    return Batch(tuple(range(windows)), ids, seed, (0,) * windows, 0)


def lines(name: str, steps: Mapping[str, Step]) -> Iterator[str]:
    """A scale's times, and how many times as long as ours the others take."""
    yield f"{name}, torch {torch.__version__}, transformers {transformers.__version__}"
    heads = f"{'CPU ms (quartiles)':>22}  {'times':>6}  {'clock ms':>9}  times"
    yield f"{'':18}{'parameters':>12}  {heads}"
    first = steps[HIDDEN]
    for kind, step in steps.items():
        low, middle, high = (1000 * q for q in statistics.quantiles(step.cpu_s, n=4))
        clock = 1000 * statistics.median(step.clock_s)
        times = [ratio(step.cpu_s, first.cpu_s), ratio(step.clock_s, first.clock_s)]
        quartiles = f"{middle:.1f} ({low:.1f} to {high:.1f})"
        yield (
            f"{kind:18}{step.num_parameters:>12,}  {quartiles:>22}  {times[0]:>6.2f}  "
            f"{clock:>9.1f}  {times[1]:.2f}"
        )


def ratio(seconds: Sequence[float], of: Sequence[float]) -> float:
    """The median of what rounds say."""
    return statistics.median(one / other for one, other in zip(seconds, of, strict=True))


if __name__ == "__main__":
    main()
