"""Bits per byte by text and width at equal tokens: what a smaller vocabulary of words gains."""

from collections.abc import Sequence
from dataclasses import dataclass

from raydistill.evaluation.bootstrap import Estimate, FloatArray, PairedBootstrap, estimate
from raydistill.reports.reduced_scale.runs import CAUSAL, Run, RunPoint, Shape, Text


@dataclass(frozen=True, kw_only=True, slots=True)
class TextScore:
    """One shape on one text: bits per byte of held-out text."""

    run: Run
    point: RunPoint
    bits: Estimate


@dataclass(frozen=True, kw_only=True, slots=True)
class TextDifference:
    """The bits per byte of one shape on `fewer` words above those on `more`; unpaired."""

    shape: Shape
    fewer: Text
    more: Text
    bits: Estimate


@dataclass(frozen=True, kw_only=True, slots=True)
class TextLadder:
    """Shapes that every text was read by, at equal tokens.

    Attributes:
        texts: the one with the most words first.
        shapes: ascending in parameters.
        tokens: that all had seen.
        scores: by name of the text and shape.
        differences: of every text with fewer words than the first.
    """

    texts: tuple[Text, ...]
    shapes: tuple[Shape, ...]
    tokens: int
    scores: dict[tuple[str, Shape], TextScore]
    differences: tuple[TextDifference, ...]


def text_ladder(runs: Sequence[Run]) -> TextLadder | None:
    """Causal runs of several texts; None where no shape was trained on two of them.

    Each text's documents are drawn anew, as they are other documents.
    """
    known = [run for run in runs if run.objective == CAUSAL and run.text.bits_per_nat > 0]
    texts = sorted(
        {run.text.name: run.text for run in known}.values(),
        key=lambda t: (t.words > 0, -t.words, t.name),
    )
    by_place = {(run.text.name, run.shape): run for run in known}
    shared = {
        shape
        for shape in {run.shape for run in known}
        if all((text.name, shape) in by_place for text in texts)
    }
    if len(texts) < 2 or not shared:
        return None
    compared = {place: run for place, run in by_place.items() if place[1] in shared}
    tokens = set.intersection(*({p.tokens for p in run.points} for run in compared.values()))
    if not tokens:
        return None
    most = max(tokens)
    sizes = {run.shape: run.parameters for run in compared.values()}
    bits_R: dict[tuple[str, Shape], FloatArray] = {}
    scores: dict[tuple[str, Shape], TextScore] = {}
    for seed, text in enumerate(texts):
        of_text = {shape: compared[text.name, shape] for shape in shared}
        points = {s: next(p for p in r.points if p.tokens == most) for s, r in of_text.items()}
        bootstrap = PairedBootstrap(
            (unit for point in points.values() for unit in point.nats.units), seed=seed
        )
        for shape, point in points.items():
            place = text.name, shape
            bits_R[place] = bootstrap.values(point.nats) * text.bits_per_nat
            bits = estimate(bits_R[place], "not a number")
            if isinstance(bits, Estimate):
                scores[place] = TextScore(run=of_text[shape], point=point, bits=bits)
    shapes = tuple(sorted(shared, key=lambda shape: (sizes[shape], shape)))
    return TextLadder(
        texts=tuple(texts),
        shapes=shapes,
        tokens=most,
        scores=scores,
        differences=tuple(
            TextDifference(shape=shape, fewer=text, more=texts[0], bits=difference)
            for text in texts[1:]
            for shape in shapes
            if isinstance(
                difference := estimate(
                    bits_R[text.name, shape] - bits_R[texts[0].name, shape], "not a number"
                ),
                Estimate,
            )
        ),
    )
