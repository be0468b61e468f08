"""What a plan costs on devices that are not at hand: hours and money as ranges, part by part."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from raydistill.core.units import format_flops, format_seconds
from raydistill.evaluation.probing.stored import tuning_tokens
from raydistill.evaluation.scoring import expected_tokens, requested_scores
from raydistill.planning.artifacts import ages_by_scale, measured_bases
from raydistill.planning.prepared import PreparedSweep, missing_probes
from raydistill.planning.preview.costs import Work, cached_teachers
from raydistill.planning.preview.devices import Assumption
from raydistill.specs.corpus import CorpusInfo
from raydistill.specs.flops import forward_flops_per_token, training_flops_per_token
from raydistill.specs.scale import Scale
from raydistill.storage.store import Store
from raydistill.training.jobs import HELDOUT_AT

PARTS = ("bases", "trials", "teachers", "evaluation")


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One piece of a plan's work: pretraining, training, a teacher's passes, or evaluation."""

    part: str  # one of `PARTS`
    flops: int
    precision: str
    held: int = 1  # devices that all wait for it; training is shared among its devices


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimator:
    """The work of a plan in FLOPs, and its time on devices as they are taken to be."""

    assumed: Assumption
    flops_per_token: int  # of training the whole model of the plan's scale
    scales: Mapping[str, Scale]  # by name
    score_tokens: Mapping[str, int]  # that a model of a scale reads for its scores, about
    curve_tokens: Mapping[str, int]  # and a trial while it trains

    def runs_of(self, work: Work) -> tuple[Run, ...]:
        """What a trial does: it trains, its teacher answers, and it is measured."""
        if work.is_base:
            return ()
        scale = self.scales[work.scale]
        tokens = self.score_tokens[scale.name] + self.curve_tokens[scale.name]
        measuring = tokens * work.pass_flops
        own = work.flops_exact - work.teacher_flops
        return (
            Run(part="trials", flops=own, precision=work.precision),
            Run(part="teachers", flops=work.teacher_flops, precision=work.precision),
            Run(part="evaluation", flops=measuring, precision=work.precision, held=work.devices),
        )

    def trial_text(self, work: Work) -> str:
        """The wall-clock time of a trial, from the fast end to the slow."""
        ends = [format_seconds(s / work.devices) for s in self.device_s(self.runs_of(work))]
        return "–".join(dict.fromkeys(ends))

    def pretraining_hours(self, work: Work) -> tuple[float, float]:
        """The hours of one device for a pretraining, at the fast end and at the slow."""
        run = Run(part="bases", flops=work.flops_exact, precision=work.precision)
        fast_s, slow_s = self.device_s([run])
        return fast_s / 3600, slow_s / 3600

    def device_s(self, runs: Sequence[Run]) -> tuple[float, float]:
        """Seconds times devices, at the fast end and at the slow.

        Raises:
            UsageError: if the device has no units for a precision.
        """
        fast_s = slow_s = 0.0
        for run in runs:
            slow, fast = self.assumed.flops_per_s(run.precision, self.flops_per_token)
            fast_s += run.held * run.flops / fast
            slow_s += run.held * run.flops / slow
        return fast_s, slow_s


def estimator_of(prepared: PreparedSweep, assumed: Assumption) -> Estimator:
    """The estimator of a plan."""
    own, store = prepared.plan.scale.model, prepared.store
    scales = {scale.name: scale for scale, _ in ages_by_scale(prepared.plan.cells)}
    return Estimator(
        assumed=assumed,
        flops_per_token=training_flops_per_token(own, learning=own.num_layers, frozen=0),
        scales=scales,
        score_tokens={
            name: sum(_score_tokens(scale, _corpus(scale, prepared), store).values())
            for name, scale in scales.items()
        },
        curve_tokens={
            name: len(HELDOUT_AT) * scale.evaluation.curve_windows * scale.model.context
            for name, scale in scales.items()
        },
    )


def estimate_table(
    prepared: PreparedSweep, bases: Sequence[Work], trials: Sequence[Work], estimator: Estimator
) -> Iterator[str]:
    """What is left to do, part by part and in all, with hours and money from fast to slow.

    Args:
        prepared: the plan, with its probes.
        bases: the pretrainings that it needs, done or not.
        trials: the most that are left to train.
        estimator: of the plan.
    """
    price = prepared.plan.options.price_per_hour
    runs = list(_runs(prepared, bases, trials, estimator))
    rows = [("", "runs", "FLOPs", "device-hours", *([] if price == "unknown" else ["money"]))]
    for part in (*PARTS, "all"):
        members = [run for run in runs if part in (run.part, "all")]
        if not members:
            continue
        hours = [seconds / 3600 for seconds in estimator.device_s(members)]
        count = "" if part == "all" else str(len(members))
        row = part, count, format_flops(sum(run.flops for run in members)), format_range(hours)
        money = [] if price == "unknown" else [format_range([h * price for h in hours])]
        rows.append((*row, *money))
    yield from aligned(rows)


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The lines of a table: its first column begins at the left, the others end at the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = (text.rjust(width) for text, width in zip(others, widths[1:], strict=True))
        yield "  ".join((first.ljust(widths[0]), *cells))


def estimate_sentences(
    prepared: PreparedSweep, work: Sequence[Work], assumed: Assumption
) -> Iterator[str]:
    """What the times of work rest on, what makes their range, and what they leave out."""
    scale, price = prepared.plan.scale, prepared.plan.options.price_per_hour
    yield from dict.fromkeys(assumed.sentence(w.precision) for w in work)
    scores = _score_tokens(scale, _corpus(scale, prepared), prepared.store)
    absent = [name for name, tokens in scores.items() if not tokens]
    tasks = f"tasks whose items are not here yet ({', '.join(absent)}), " if absent else ""
    yield (
        f"Not in it: {tasks}the reading of text, the scoring of layers, checkpoints, "
        "processes that start, and nodes that wait."
    )
    if price != "unknown":
        yield f"Money is at {price:g} for an hour of one device."


def _runs(
    prepared: PreparedSweep, bases: Sequence[Work], trials: Sequence[Work], estimator: Estimator
) -> Iterator[Run]:
    for work in bases:
        if not work.done:
            yield Run(part="bases", flops=work.flops_exact, precision=work.precision)
    for work in trials:
        yield from (run for run in estimator.runs_of(work) if run.flops)
    for precision, flops in cached_teachers(prepared):
        yield Run(part="teachers", flops=flops, precision=precision)
    for base in measured_bases(prepared.plan.cells):
        model, probes = base.scale.model, missing_probes(base, prepared)
        tokens = tuning_tokens(probes, model.context)
        if base.key not in prepared.artifacts.bases:
            tokens += estimator.score_tokens[base.scale.name]
        if tokens:
            flops = tokens * forward_flops_per_token(model)
            yield Run(part="evaluation", flops=flops, precision=base.scale.heal.precision)


def _corpus(scale: Scale, prepared: PreparedSweep) -> CorpusInfo | None:
    sha256 = prepared.artifacts.corpus_of(scale).corpus_sha256
    return prepared.store.load(CorpusInfo, "corpora", sha256, "corpus.json")


def _score_tokens(scale: Scale, corpus: CorpusInfo | None, store: Store) -> dict[str, int]:
    """By score, about how many tokens a model reads for it; 0 where its items are not here."""
    spec, context = scale.evaluation, scale.model.context
    return {
        name: expected_tokens(name, spec, context, corpus, store) for name in requested_scores(spec)
    }


def format_range(ends: Sequence[float]) -> str:
    """Two digits each, or whole numbers; `?` where nobody knows.

    >>> format_range((0.01234, 3.14)), format_range((98.7, 12345.6)), format_range((5.001, 5.002))
    ('0.012 to 3.1', '99 to 12,346', '5')
    """
    texts = (f"{end:,.0f}" if end >= 10 else f"{end:.2g}" for end in ends)
    return " to ".join(dict.fromkeys(texts)).replace("inf", "?")
