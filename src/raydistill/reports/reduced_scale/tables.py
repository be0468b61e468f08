"""The tables of a sweep over shapes; what is said of them stands in `sentences.py`."""

import math
from collections.abc import Iterator, Sequence

from raydistill.laws.fit import Fit
from raydistill.laws.form import load_form
from raydistill.laws.reduced_scale.evidence import PLACES, SMOOTH
from raydistill.laws.reduced_scale.front import BINS
from raydistill.reports.reduced_scale import front_sentences, sentences
from raydistill.reports.reduced_scale.depth import FLOPS, PARAMETERS
from raydistill.reports.reduced_scale.findings import Front, ReducedScaleFindings
from raydistill.reports.reduced_scale.names import (
    flops_text,
    label,
    shape_name,
    tokens_text,
    with_range,
)
from raydistill.reports.reduced_scale.probes import RunGain
from raydistill.reports.reduced_scale.runs import RULES, Run
from raydistill.reports.tables.footnotes import BEST
from raydistill.reports.tables.grids import ABSENT, Section


def reduced_scale_tables(findings: ReducedScaleFindings) -> list[Section]:
    """Every table that there is something for; none of another sweep."""
    if not findings.runs:
        return []
    return [
        _shapes(findings),
        *_fronts(findings),
        *_forms(findings),
        *_slopes(findings),
        *_depth(findings),
        *_texts(findings),
        *_probes(findings),
        *_correlations(findings),
    ]


def _shapes(findings: ReducedScaleFindings) -> Section:
    return Section(
        title="Shapes, with the FLOPs of their pretraining by three rules and held-out nats per "
        "target (a token; of a masked LM a masked one, of which its unigram line is too), all at "
        "the oldest age",
        headers=(
            *("shape", "objective", "text", "parameters", "non-embedding"),
            *(f"FLOPs, {name}" for name in RULES.values()),
            *("nats", "unigram line", "tokens to leave the plateau"),
        ),
        rows=tuple(_shape(run, findings) for run in findings.runs),
        words=(
            *sentences.on_shapes(findings),
            *(
                sentence
                for front in findings.fronts[:1]
                if not front.points
                for sentence in front_sentences.on_front(front, findings.leading)
            ),
        ),
    )


def _shape(run: Run, findings: ReducedScaleFindings) -> tuple[str, ...]:
    line = run.text.unigram_nats
    loss = findings.losses.get(run.oldest.name)
    return (
        *(label(run), run.objective, run.text.name),
        *(tokens_text(n) for n in (run.parameters, run.non_embedding)),
        *(flops_text(run.oldest.flops[rule]) for rule in RULES),
        ABSENT if loss is None else with_range(loss),
        ABSENT if line is None else f"{line:.3f}",
        ABSENT if run.left_at is None else tokens_text(run.left_at.tokens),
    )


def _fronts(findings: ReducedScaleFindings) -> Iterator[Section]:
    for front in findings.fronts[:1]:
        if not front.points:
            return
        yield Section(
            title=f"The front: the lowest loss of any run and age in each bin of FLOPs ({BINS} a "
            f"decade, by the rule {RULES[front.rule]}), of points off the plateau",
            headers=("FLOPs", "shape", "tokens", "nats"),
            rows=tuple(
                (
                    flops_text(point.flops[front.rule]),
                    label(run),
                    tokens_text(point.tokens),
                    f"{point.loss:.3f}",
                )
                for run, point in zip(front.runs, front.points, strict=True)
            ),
            words=front_sentences.on_front(front, findings.leading),
        )


def _forms(findings: ReducedScaleFindings) -> Iterator[Section]:
    for front in findings.fronts:
        if not front.forms.fits:
            continue
        yield Section(
            title=f"Forms of the front, FLOPs by the rule {RULES[front.rule]}: criteria above the "
            "best form's",
            headers=("form", "BIC", "AICc", "exponents", "break, FLOPs", "if no break"),
            rows=tuple(_form(name, fit, front) for name, fit in front.forms.fits.items()),
            words=front_sentences.on_forms(front, findings.leading),
        )


def _form(name: str, fit: Fit, front: Front) -> tuple[str, ...]:
    fits = front.forms.fits.values()
    share = front.forms.looks_broken.get(name)
    return (
        name,
        *(_above(fit, list(fits), criterion) for criterion in ("bic", "aicc")),
        "; ".join(_exponents(fit)),
        _place(name, fit),
        ABSENT if share is None else f"{share:.2%}",
    )


def _above(fit: Fit, fits: Sequence[Fit], criterion: str) -> str:
    """How far a criterion is above the best form's."""
    best = min(getattr(other, criterion) for other in fits)
    return f"{getattr(fit, criterion) - best:.1f}"


def _exponents(fit: Fit) -> Iterator[str]:
    """Of each side; of a smooth break above its floor, the second one without an interval."""
    if fit.form == SMOOTH:
        before, more = fit.parameters["c0"], fit.parameters["c1"]
        yield f"{-before.value:.3f} {_ends(-before.high, -before.low)}"
        yield f"{-before.value - more.value:.3f}"
        return
    for name, one in fit.parameters.items():
        if name.startswith("exponent"):
            yield f"{one.value:.3f} {_ends(one.low, one.high)}"


def _ends(*ends: float) -> str:
    return f"[{' '.join(f'{end:.3f}' if math.isfinite(end) else '…' for end in ends)}]"


def _place(name: str, fit: Fit) -> str:
    """Where the form breaks, within the covered range; beyond it there is no number."""
    parameter = "break" if name == SMOOTH else PLACES.get(name)
    if parameter is None:
        return ABSENT
    place, (low, high) = fit.parameters[parameter], fit.box[load_form(fit.form).inputs[0]]
    if not low <= place.value <= high:
        return "beyond the points"
    ends = (flops_text(end) if low <= end <= high else "…" for end in (place.low, place.high))
    return f"{flops_text(place.value)} [{' '.join(ends)}]"


def _slopes(findings: ReducedScaleFindings) -> Iterator[Section]:
    if findings.slopes:
        yield Section(
            title="One axis at a time, at equal tokens: nats per doubling of FLOPs (exact); "
            f"{BEST} not distinguishable from the best axis (Holm, 5 %), ! told apart from 0",
            headers=(
                *("axis", "values", "tokens", "FLOPs, times"),
                *("nats per doubling", "nats, last minus first"),
            ),
            rows=tuple(
                (
                    slope.axis.replace("_", "-"),
                    " ".join(map(str, slope.values)),
                    tokens_text(slope.points[0].tokens),
                    f"{slope.flops_ratio:.2f}",
                    ABSENT
                    if slope.per_doubling is None
                    else f"{with_range(slope.per_doubling)}{BEST * slope.best}",
                    f"{with_range(slope.end_to_end)}{' !' * slope.is_apart}",
                )
                for slope in findings.slopes
            ),
            words=sentences.on_slopes(findings.slopes),
        )


def _depth(findings: ReducedScaleFindings) -> Iterator[Section]:
    if findings.depth:
        equal = {PARAMETERS: "parameters, non-embedding", FLOPS: "FLOPs, exact"}
        yield Section(
            title="Depth at equal size, within 3 %: nats of the deeper shape above the shallower "
            "one's, paired over documents; ! told apart (Holm, 5 %)",
            headers=("shallow", "deep", "equal", "layers", "tokens", "nats"),
            rows=tuple(
                (
                    label(pair.shallow),
                    label(pair.deep),
                    equal[pair.equal],
                    f"{pair.shallow.shape.layers} and {pair.deep.shape.layers}",
                    tokens_text(pair.tokens),
                    f"{with_range(pair.nats)}{' !' * bool(pair.sign)}",
                )
                for pair in findings.depth
            ),
            words=sentences.on_depth(findings.depth),
        )


def _texts(findings: ReducedScaleFindings) -> Iterator[Section]:
    ladder = findings.ladder
    if ladder is not None:
        yield Section(
            title="Bits per byte by text at equal tokens "
            f"({tokens_text(ladder.tokens)}), each text with its own tokenizer",
            headers=(
                *("text", "words"),
                *(shape_name(shape, ladder.shapes) for shape in ladder.shapes),
            ),
            rows=tuple(
                (
                    text.name,
                    f"{text.words:,}" if text.words else ABSENT,
                    *(_bits(findings, text.name, index) for index in range(len(ladder.shapes))),
                )
                for text in ladder.texts
            ),
            words=sentences.on_texts(ladder),
        )


def _bits(findings: ReducedScaleFindings, text: str, index: int) -> str:
    assert findings.ladder is not None
    score = findings.ladder.scores.get((text, findings.ladder.shapes[index]))
    return ABSENT if score is None else with_range(score.bits)


def _probes(findings: ReducedScaleFindings) -> Iterator[Section]:
    gains = (*findings.gains, *findings.other_gains)
    if not gains:
        return
    probes = list(dict.fromkeys(gain.probe for gain in gains))
    runs = {gain.run.name: gain.run for gain in gains}
    cells = {(gain.run.name, gain.probe): gain for gain in gains}
    columns = "pretrained", "fresh", "gain"
    yield Section(
        title=f"Probes, fine-tuned on {min(gain.seeds for gain in gains)} seeds from "
        "pretrained and from fresh weights of the same shape: accuracies, and the gain by "
        "pretraining over seeds and documents; ! its interval is above 0",
        headers=(
            *("shape", "parameters"),
            *(f"{probe}, {column}" for probe in probes for column in columns),
        ),
        rows=tuple(
            (
                *(label(run), tokens_text(run.parameters)),
                *(text for probe in probes for text in _gain(cells.get((name, probe)))),
            )
            for name, run in runs.items()
        ),
        words=sentences.on_probes(findings.gains, findings.other_gains),
    )


def _gain(gain: RunGain | None) -> tuple[str, str, str]:
    if gain is None:
        return ABSENT, ABSENT, ABSENT
    gained = f"{with_range(gain.gain)}{' !' * gain.helps}"
    return f"{gain.pretrained:.3f}", f"{gain.fresh:.3f}", gained


def _correlations(findings: ReducedScaleFindings) -> Iterator[Section]:
    if findings.correlations:
        yield Section(
            title="Perplexity and scores over models, at the oldest age; intervals over models",
            headers=("score", "models", "Pearson", "Spearman"),
            rows=tuple(
                (of.score, str(of.models), with_range(of.pearson, 2), with_range(of.spearman, 2))
                for of in findings.correlations
            ),
            words=sentences.on_correlations(findings.correlations),
        )
