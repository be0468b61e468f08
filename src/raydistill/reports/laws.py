"""What `raydistill law` prints: fits, how far they reach, and answers, as text and as JSON."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

from raydistill.core.errors import UsageError
from raydistill.core.units import format_amount
from raydistill.laws.breaks import break_p_value
from raydistill.laws.extrapolation import Extrapolation
from raydistill.laws.fit import Fit
from raydistill.laws.form import Form, load_form
from raydistill.laws.points import Exclusion
from raydistill.laws.reduced_scale.kept_front import rule_of
from raydistill.reports.tables.grids import Section

LISTED = 5  # rows left out, by name
UNDETERMINED = "not determined"


def amount(value: float) -> str:
    """A number as people write it; one without a value is not determined."""
    return format_amount(value) if math.isfinite(value) else UNDETERMINED


def span(low: float, high: float) -> str:
    """A 95 % interval.

    >>> span(1.5, 2.25), span(float("-inf"), 3.0), span(float("-inf"), float("inf"))
    ('[1.5 2.25]', '[… 3]', 'not determined')
    """
    if not (math.isfinite(low) or math.isfinite(high)):
        return UNDETERMINED
    return f"[{' '.join(amount(end) if math.isfinite(end) else '…' for end in (low, high))}]"


def parameter_section(fit: Fit) -> Section:
    """The parameters of a fit, a line each."""
    return Section(
        title=f"{fit.form}, {fit.objective}",
        headers=("parameter", "estimate", "95 % interval"),
        rows=tuple(
            (name, amount(estimate.value), span(estimate.low, estimate.high))
            for name, estimate in fit.parameters.items()
        ),
    )


def fit_facts(fit: Fit) -> list[tuple[str, str]]:
    """What else is to be known of a fit, as names and texts."""
    tested = fit.leave_one_size_out
    searches = f"{fit.starts.agreeing} of {fit.starts.tried} searches end in this optimum"
    condition = amount(fit.condition) if math.isfinite(fit.condition) else "without limit"
    left_out = next(iter(fit.box))
    return [
        ("points", f"{len(fit.table.names)} used, {_left_out(fit.excluded)}"),
        ("covered range", box_text(fit.box)),
        ("scatter", f"{amount(fit.noise)} about the law, {fit.df} degrees of freedom"),
        (
            "without a size",
            "too few sizes to leave one out"
            if tested is None
            else f"{amount(tested)} is the error at each value of {left_out}, fitted without it",
        ),
        ("searches", f"{searches}; condition {condition}"),
        ("criteria", f"AICc {fit.aicc:.1f}, BIC {fit.bic:.1f}, R² {fit.r_squared:.4f}"),
        *_break_facts(fit),
        *notes(fit),
    ]


def notes(fit: Fit) -> list[tuple[str, str]]:
    """What a reader must know before using the law."""
    return [("note", sentence) for sentence in fit.warnings]


def _break_facts(fit: Fit) -> Iterable[tuple[str, str]]:
    """Of a jump or of knots, whether one power law would look so too."""
    if load_form(fit.form).places:
        share = break_p_value(fit.points, fit.form)
        yield "if no break", f"one power law would look as broken {share:.2%} of the time"


def _left_out(excluded: Sequence[Exclusion]) -> str:
    if not excluded:
        return "none left out"
    named = [f"{one.name}: {one.reason}" for one in excluded[:LISTED]]
    more = [f"and {len(excluded) - LISTED} more"] if len(excluded) > LISTED else []
    return f"{len(excluded)} left out: {'; '.join([*named, *more])}"


def box_text(box: Mapping[str, tuple[float, float]]) -> str:
    """The range of each input.

    >>> box_text({"params": (1e8, 2e9), "tokens": (1e9, 1e9)})
    'params 100M to 2B, tokens 1B'
    """
    return ", ".join(
        f"{name} {amount(low)}" + ("" if low == high else f" to {amount(high)}")
        for name, (low, high) in box.items()
    )


def surface_text(surface: Fit) -> str:
    """What the student's loss without a teacher was fitted to."""
    runs = f"{len(surface.table.names)} runs, {_left_out(surface.excluded)}"
    return f"{surface.form}, {runs}; {box_text(surface.box)}"


def prediction_facts(answer: Extrapolation) -> list[tuple[str, str]]:
    """A prediction's intervals and how far outside the points it is, as names and texts."""
    prediction = answer.prediction
    return [
        ("95 % interval", span(*prediction.interval)),
        ("with noise", f"{span(*prediction.interval_with_noise)}, where one more run would lie"),
        ("reach", answer.notice or "within the points"),
    ]


def listed(fit_id: str, fit: Fit, furthest: float) -> Section:
    """One of the fits in a storage, and how far it reaches."""
    form = _form_of(fit)
    losses = form.like_output if form else ()
    sizes = {name: ends for name, ends in fit.box.items() if name not in losses}
    reach = {name: (low / furthest, high * furthest) for name, (low, high) in sizes.items()}
    rows = [
        ("points", f"{len(fit.table.names)} used, {_left_out(fit.excluded)}"),
        ("covered range", box_text(fit.box)),
        (f"up to {furthest:g}×", box_text(reach)),
    ]
    if rule := rule_of(fit):
        rows.insert(0, ("law of", f"a front, loss over FLOPs by the rule {rule}: law front"))
    title = f"{fit_id}  {fit.form}" + ("" if form else ", a form whose --parts are not given")
    return Section(title=title, headers=(), rows=tuple(row for row in rows if row[1]))


def fit_fields(fit: Fit, fit_id: str | None) -> dict[str, object]:
    """A fit as plain values, with what a reader must know of it."""
    fields = asdict(fit)
    if form := _form_of(fit):  # in the order of the covariance, which a file does not keep
        fields["parameters"] = {name: fields["parameters"][name] for name in form.parameters}
    return {"id": fit_id, **fields, "warnings": fit.warnings}


def _form_of(fit: Fit) -> Form | None:
    """The form of a fit; None if it is one of one's own that is not here."""
    try:
        return load_form(fit.form)
    except UsageError:
        return None


def to_json(value: object) -> str:
    """JSON that every reader takes: what is not determined is null."""
    return json.dumps(_finite(value), indent=1)


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [_finite(inner) for inner in value]
    return value
