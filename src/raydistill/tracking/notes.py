"""The note of a run, which MLflow shows above everything else.

Its page shows 100 pixels of a note, which are five lines of a table, and folds what is longer.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from raydistill.specs.evaluation import PERPLEXITY, loss_of_metrics, metric_of, words_of
from raydistill.specs.results import NOT_KNOWN, Finished, TrialFailure
from raydistill.tracking.fields import (
    drop_metrics,
    layers_text,
    own_axes,
    requested_values,
    run_name,
)
from raydistill.tracking.records import TrackedBase, TrackedCell, TrackedSweep

_ROWS = 4  # below the heading
_WIDTH = 89  # letters beside each other, at 1,400 pixels
_GAP = "\u00a0" * 3  # of columns, which MLflow sets without any


def run_note(item: TrackedCell | TrackedBase, metrics: Mapping[str, float]) -> str:
    """What was measured on a cell or a base, and what it lost, as a table."""
    head = _layers(item)
    if "nll" not in metrics:
        return head
    loss = loss_of_metrics(metrics)
    lines = [("measured", *(_number(metrics, metric_of(n, loss), f) for n, f in _MEASURED))]
    for name, suffix in (("the base", ""), ("the control", "_vs_control")):
        if isinstance(item, TrackedCell) and f"delta_nll{suffix}" in metrics:
            lost = [_number(metrics, metric_of(f"{n}{suffix}", loss), f) for n, f in _LOST]
            lines.append((f"lost against {name}", *lost))
    return _table((head, "nll, nats", words_of(PERPLEXITY, loss), "downstream"), lines)


_MEASURED = (("nll", "{:.3f}"), ("perplexity", "{:.4g}"), ("downstream", "{:.3f}"))
_LOST = (
    ("delta_nll", "{:.3f}"),
    ("perplexity_drop_pct", "{:.1f} %"),
    ("downstream_drop_pct", "{:.1f} %"),
)


def failure_note(cell: TrackedCell, reason: str) -> str:
    """Why a cell failed, in place of a table."""
    return f"**Failed.** {reason}\n\n{_layers(cell)}"


def _layers(item: TrackedCell | TrackedBase) -> str:
    """The map, and which layers left; how many, where a heading has no room for them."""
    boxes, layers = item.layer_map, layers_text(item)
    if layers in ("none", NOT_KNOWN):
        return f"`{boxes}` " + ("whole" if layers == "none" else f"layers {layers}")
    if len(boxes) + len(layers) > _WIDTH // 2:
        return f"`{boxes}` without {len(layers.split())} of {len(boxes)}"
    return f"`{boxes}` without {layers}"


def sweep_note(sweep: TrackedSweep) -> str:
    """The cells of a sweep and what they lost, the least first, in columns beside each other."""
    entries = list(_entries(sweep))
    if not entries:
        return f"**{sweep.question}** The table follows when a cell ends."
    longest = max(len(name) for name, _ in entries)
    columns = max(1, min(3, _WIDTH // (longest + 9)))
    if len(entries) > (most := _ROWS * columns):
        more = f"{len(entries) - most + 1} more: table.md"
        entries = [*entries[: most - 1], (more, "")]
    rows = min(_ROWS, len(entries))
    columns = -(-len(entries) // rows)
    entries += [("", "")] * (rows * columns - len(entries))
    lines = [list(chain.from_iterable(entries[row::rows])) for row in range(rows)]
    return _table(("cell", "Δnll") * columns, lines)


def _entries(sweep: TrackedSweep) -> Iterator[tuple[str, str]]:
    """Name and nats lost of every cell that ended, the least first; failures last."""
    ended, axes = [], tuple(own_axes(sweep))
    for cell in sweep.cells:
        values = requested_values(cell) | {"seed": str(cell.spec.train.seed)}
        name = run_name(cell.role, values, axes)
        if isinstance(cell.outcome, TrialFailure):
            ended.append((math.inf, (name, "failed")))
        elif isinstance(cell.outcome, Finished) and cell.role != "reference":
            result = cell.outcome.result
            lost = drop_metrics(result.before, result.after)["delta_nll"]
            ended.append((lost, (name, f"{lost:.3f}")))
    yield from (entry for _, entry in sorted(ended, key=lambda e: (not e[0] < math.inf, e[0])))


def _number(metrics: Mapping[str, float], name: str, form: str) -> str:
    return form.format(metrics[name]) if name in metrics else "–"


def _table(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    head, *rows = (f"| {f'{_GAP} | '.join(row)} |" for row in (headings, *lines))
    return "\n".join([head, f"|{'---|' * len(headings)}", *rows])
