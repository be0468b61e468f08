"""The rows of `teacher_cache.py` as lines, as CSV and as curves over bytes per token."""

import csv
from collections.abc import Sequence
from dataclasses import astuple, fields
from pathlib import Path

from excerpt_errors import Errors, Row
from matplotlib.figure import Figure

Outcomes = dict[tuple[str, int], float]  # held-out nll of a student, by teacher and ids per token
PANELS = (
    "KL error, %",
    "error of its gradient, %",
    "held-out nll of the student, less the online teacher's",
)
HEADER = """
                  bytes | as cut: KL,    gradient | healed: KL,    gradient | error | answer write
excerpt     size /token |  bias noise  bias noise |  bias noise  bias noise |     % |   s per step
"""


def line(row: Row) -> str:
    """A row of the printed table."""
    students = " |".join(
        "".join(map(_percent, astuple(student))) for student in (row.cut, row.healed)
    )
    start = f"{row.excerpt:11s}{row.size:5d}{row.bytes_per_token:7.0f} |{students} "
    return f"{start}|{_percent(row.error_pct)} |{row.answer_s:7.3f}{row.write_s:6.3f}"


def _percent(value: float) -> str:
    return f"{value:6.2f}" if value < 99.5 else f"{value:6.0f}"


def keep(rows: Sequence[Row], outcomes: Outcomes, path: Path) -> None:
    """Write the rows as CSV."""
    names = [field.name for field in fields(Errors)]
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file, lineterminator="\n")
        students = [f"{student}_{name}" for student in ("cut", "healed") for name in names]
        results = ("error_pct", "answer_s", "write_s", "heldout_nll")
        out.writerow(["excerpt", "size", "bytes_per_token", *students, *results])
        for row in rows:
            values = [row.bytes_per_token, *astuple(row.cut), *astuple(row.healed)]
            values += [row.error_pct, row.answer_s, row.write_s]
            nll = outcomes.get((row.excerpt, row.size), "")
            out.writerow([row.excerpt, row.size, *(f"{value:.4g}" for value in values), nll])
        for (teacher, size), nll in outcomes.items():
            if not size:
                out.writerow([teacher, size, *[""] * 12, nll])


def draw(rows: Sequence[Row], outcomes: Outcomes, path: Path) -> None:
    """The curves over bytes per token."""
    figure = Figure(figsize=(12.6 if outcomes else 8.4, 3.6), layout="constrained")
    panels = figure.subplots(1, 3 if outcomes else 2)
    for excerpt in dict.fromkeys(row.excerpt for row in rows):
        own = [row for row in rows if row.excerpt == excerpt]
        num_bytes = [row.bytes_per_token for row in own]
        style = {"marker": "o", "markersize": 3, "label": excerpt}
        panels[0].plot(num_bytes, [max(r.cut.kl_pct, r.healed.kl_pct) for r in own], **style)
        gradient = [max(r.cut.gradient_pct, r.healed.gradient_pct) for r in own]
        panels[1].plot(num_bytes, gradient, **style)
        outcome = [r for r in own if (excerpt, r.size) in outcomes]
        if outcome:
            above = [outcomes[excerpt, r.size] - outcomes["online", 0] for r in outcome]
            panels[2].plot([r.bytes_per_token for r in outcome], above, **style)
    for axes, title in zip(panels, PANELS, strict=False):
        axes.set(xscale="log", xlabel="bytes per token")
        axes.set_title(title, fontsize=9)
        if title.endswith("%"):
            axes.set_yscale("log")
        axes.axhline(1 if title.endswith("%") else 0, color="grey", linewidth=0.8, linestyle=":")
    panels[0].legend(fontsize=8)
    figure.savefig(path)
