"""The error of a cached teacher, and the time that it saves.

    python benchmarks/teacher_cache.py                 # errors and seconds, minutes on a core
    python benchmarks/teacher_cache.py --students      # and what students become of it

The laptop scale's own bases are the teachers; a student is the same base without half of its
layers (location `input`): as cut, and after 60 steps of healing without a teacher. Measured on
training windows, through the files, against the online teacher at the same step of 2,048 tokens.

The **KL error** of an excerpt has two parts, for the KL term and for its gradient with respect
to all of the student's parameters, relative to the exact ones:

    bias    the difference that remains when steps and draws are averaged, less what their
            scatter alone would leave there
    noise   the scatter between draws at one step, root mean square; 0 where nothing is drawn

The **error** is the largest √(bias² + noise²) of both terms and both students. That is strict:
bias goes into every step alike, noise averages out as that of the data order does.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TypeVar

import torch
from excerpt_curves import HEADER, draw, keep, line
from excerpt_errors import Ask, Probe, Row, answer_seconds, seconds

from raydistill.core.serialization import from_json, to_json
from raydistill.core.units import parse_tokens
from raydistill.data.batches import TokenFile
from raydistill.data.corpus.preparation import prepare_corpus
from raydistill.distillation.answer_cache import ANSWERS, cached_teacher
from raydistill.distillation.answer_files import WrittenSpec, WrittenTeacher
from raydistill.distillation.answers import TeacherAnswer, WholeAnswer
from raydistill.distillation.loss import load_loss
from raydistill.evaluation.likelihood.perplexity import heldout_nll
from raydistill.models.decoder import Decoder
from raydistill.models.student import Student
from raydistill.models.weights import WEIGHTS, load_weights, save_weights
from raydistill.specs.locations import pick
from raydistill.specs.recipe import lr_at
from raydistill.specs.scale import load_scale
from raydistill.storage.bundled import shipped_bases
from raydistill.storage.manifest import write_text
from raydistill.storage.store import Store
from raydistill.training.bases import base_folder
from raydistill.training.optimizers import Lion

SCALE = load_scale("laptop")
WINDOWS_PER_STEP = SCALE.heal.batch_tokens // SCALE.model.context
STEPS, HEALED_SEED, STUDENT_SEED = 60, 5, 6
MEASURED_STEPS, DRAWS = 4, 4

MEASURED = {
    "top-k": (8, 32, 128, 512),
    "top-k-tail": (8, 32, 128, 512),
    "sampled": (12, 50, 250, 1000),
    "threshold": (8, 32, 128, 192, 256, 320),
}
STUDENTS = (  # loss, teacher, ids of each token
    ("kd", "online", 0),
    ("lm", "nobody", 0),
    *(("kd", "top-k", size) for size in (8, 32)),
    *(("kd", "top-k-tail", size) for size in (8, 32)),
    *(("kd", "sampled", size) for size in (12, 50)),
    *(("kd", "threshold", size) for size in (8, 32, 256)),
)

DRAWN = ("sampled", "threshold")
Probes = Callable[[], tuple[Probe, Probe]]
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """A trained student's result."""

    nll: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """The teacher, and the exact values that excerpts are compared with."""

    teacher_sha256: str
    torch: str
    cut_kl: float
    healed_kl: float
    student_s: float
    online_s: float

    def __str__(self) -> str:
        return (
            f"teacher {self.teacher_sha256[:8]}; torch {self.torch}, one thread; {MEASURED_STEPS} "
            f"steps of {SCALE.heal.batch_tokens} tokens, {DRAWS} draws; exact KL "
            f"{self.cut_kl:.3f} as cut, {self.healed_kl:.3f} healed\nCPU seconds a step: "
            f"the student's own {self.student_s:.3f}, the online answer {self.online_s:.3f}"
        )


class Bench:
    """The teacher, its students and the text."""

    def __init__(self, age: str, storage: Store, answers: Store) -> None:
        torch.set_num_threads(1)
        self.store, self.answers = storage, answers
        self.corpus = prepare_corpus(SCALE.corpus, store=storage, context=SCALE.model.context)
        self.tokens = TokenFile(self.corpus, SCALE.model.context)
        self.sha256 = shipped_bases(SCALE)[0].weights_sha256(parse_tokens(age))
        self.teacher = load_weights(base_folder(self.sha256, storage)).model.requires_grad_(False)

    def cut(self) -> Student:
        """A student right after the cut."""
        student = load_weights(base_folder(self.sha256, self.store))
        student.remove(pick("input", SCALE.model.num_layers, SCALE.model.num_layers // 2))
        return student

    def heal(self, loss: str, ask: Ask, seed: int) -> Student:
        """A student after `STEPS`; `ask` answers for windows by number."""
        student = self.cut()
        batch = SCALE.heal.batch_tokens
        recipe = replace(
            SCALE.heal,
            warm_phase_tokens=0, warmup_tokens=10 * batch, budget_tokens=STEPS * batch,
        )  # fmt: skip
        model = student.model
        optimizer = Lion(model.parameters(), recipe)
        for step in range(STEPS):
            numbers = self.tokens.numbers(seed, step, WINDOWS_PER_STEP)
            ids = self.tokens.windows(numbers)
            value = load_loss(loss)(model(ids[:, :-1]), ids[:, 1:], partial(ask, numbers))
            value.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.grad_clip)
            optimizer.set_lr(lr_at(recipe, (step + 1) * batch))
            optimizer.step()
            optimizer.zero_grad()
        return student

    def online(self, numbers: list[int]) -> TeacherAnswer:
        """The exact answer."""
        with torch.no_grad():
            return WholeAnswer(self.teacher(self.tokens.windows(numbers)[:, :-1]))

    def write(self, excerpt: str, size: int, draw: int, windows: Sequence[int]) -> WrittenTeacher:
        """The answers to some windows, cached."""
        spec = WrittenSpec(
            teacher_sha256=self.sha256,
            corpus_sha256=self.tokens.info.corpus_sha256,
            tokenizer_sha256=self.tokens.info.tokenizer_sha256,
            context=SCALE.model.context,
            vocab_size=SCALE.model.vocab_size,
            excerpt=excerpt,
            size=size,
            draw=draw,
        )
        return cached_teacher(
            spec, windows, tokens=self.tokens, teacher=lambda: self.teacher, store=self.answers,
            cap_bytes=2e10,
        )  # fmt: skip

    def probes(self, folder: Path) -> tuple[Probe, Probe]:
        """A student as cut and one partly healed, at steps spread over the training windows."""
        if not (folder / WEIGHTS).is_file():
            folder.mkdir(parents=True)
            save_weights(folder, self.heal("lm", self.online, HEALED_SEED))
        num_windows = MEASURED_STEPS * WINDOWS_PER_STEP
        spread = [i * self.tokens.num_windows // num_windows for i in range(num_windows)]
        steps = [spread[i::MEASURED_STEPS] for i in range(MEASURED_STEPS)]
        students = self.cut(), load_weights(folder)
        cut, partly = (Probe(s.model, self.tokens, self.online, steps) for s in students)
        return cut, partly

    def setting(self, probes: tuple[Probe, Probe]) -> Setting:
        """The costs and KLs without a cache."""
        steps = probes[0].steps
        return Setting(
            teacher_sha256=self.sha256,
            torch=torch.__version__,
            cut_kl=probes[0].mean_kl,
            healed_kl=probes[1].mean_kl,
            student_s=seconds(self.teacher_free(steps)),
            online_s=answer_seconds(probes[0], self.online),
        )

    def teacher_free(self, steps: Sequence[list[int]]) -> Callable[[int], None]:
        """A teacher-free step without the optimizer."""
        student = self.cut().model

        def work(i: int) -> None:
            ids = self.tokens.windows(steps[i % len(steps)])
            loss = load_loss("lm")(student(ids[:, :-1]), ids[:, 1:], partial(self.online, []))
            loss.backward()

        return work

    def nll(self, model: Decoder) -> float:
        """Held-out nats per token, as a trial is measured."""
        windows = SCALE.evaluation.heldout_windows
        context = SCALE.model.context
        return heldout_nll(model, self.corpus, windows=windows, context=context).value


def measure(bench: Bench, probes: Probes, excerpt: str, size: int) -> Row:
    """Errors, bytes and seconds of one excerpt."""
    steps = probes()[0].steps
    windows = [window for numbers in steps for window in numbers]
    draws, write_s = [], []
    for number in range(DRAWS if excerpt in DRAWN else 1):
        start_s = time.process_time()
        draws.append(bench.write(excerpt, size, number, windows))
        write_s.append(time.process_time() - start_s)
    folder = bench.answers.path(ANSWERS, draws[0].spec.key)
    num_bytes = sum(file.stat().st_size for file in folder.rglob("*.bin"))
    cut, healed = (probe.errors(draws) for probe in probes())
    return Row(
        excerpt=excerpt,
        size=size,
        bytes_per_token=num_bytes / (len(windows) * bench.tokens.context),
        cut=cut,
        healed=healed,
        answer_s=answer_seconds(probes()[0], draws[0].answer),
        write_s=min(write_s) / len(steps),
    )


def train(bench: Bench, loss: str, teacher: str, size: int) -> Outcome:
    """A student of the online teacher, or of an excerpt."""
    ask: Ask = bench.online
    if teacher in MEASURED:
        steps = [
            bench.tokens.numbers(STUDENT_SEED, step, WINDOWS_PER_STEP) for step in range(STEPS)
        ]
        ask = bench.write(teacher, size, 0, sorted({n for step in steps for n in step})).answer
    return Outcome(nll=bench.nll(bench.heal(loss, ask, STUDENT_SEED).model))


def once(path: Path, kind: type[T], make: Callable[[], T]) -> T:
    """The value of `make`, kept at `path`: a run that was stopped resumes."""
    if not path.is_file():
        write_text(path, to_json(make()))
    return from_json(kind, path.read_text(encoding="utf-8"))


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--age", default="320B", help="of the shipped base that teaches")
    parser.add_argument("--students", action="store_true", help="train them, too")
    parser.add_argument("--out", type=Path, default=Path("teacher-cache"), help="CSV and SVG")
    parser.add_argument("--storage", type=Path, help="where the corpus may be already")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        answers = Store(Path(scratch))
        storage = Store(args.storage) if args.storage else answers
        compare(Bench(args.age, storage, answers), args)


def compare(bench: Bench, args: argparse.Namespace) -> None:
    """Every excerpt at every size."""
    results = args.out / args.age
    probes = cache(partial(bench.probes, results / "healed"))
    setting = once(results / "setting.json", Setting, lambda: bench.setting(probes()))
    print(setting)
    print(HEADER)
    rows = []
    for excerpt, sizes in MEASURED.items():
        for size in sizes:
            make = partial(measure, bench, probes, excerpt, size)
            rows.append(once(results / f"{excerpt}-{size}.json", Row, make))
            print(line(rows[-1]), flush=True)
    print(verdict(rows))
    outcomes = {}
    for loss, teacher, size in STUDENTS if args.students else ():
        path = results / f"student-{teacher}-{size}.json"
        outcome = once(path, Outcome, partial(train, bench, loss, teacher, size))
        outcomes[teacher, size] = outcome.nll
        print(f"{teacher:11s}{size:5d}  held-out nll {outcomes[teacher, size]:.4f}", flush=True)
    keep(rows, outcomes, args.out / f"teacher-cache-{args.age}.csv")
    draw(rows, outcomes, args.out / f"teacher-cache-{args.age}.svg")


def verdict(rows: Sequence[Row]) -> str:
    """The cheapest excerpt with an error of at most 1 %."""
    good = [row for row in rows if row.error_pct <= 1]
    if not good:
        return "none has an error of 1 % or less: use an online teacher"
    best = min(good, key=lambda row: row.bytes_per_token)
    name, size = f"{best.excerpt} {best.size}", f"{best.bytes_per_token:.0f} bytes a token"
    return f"cheapest with an error of at most 1 %: {name}, {size}"


if __name__ == "__main__":
    main()
