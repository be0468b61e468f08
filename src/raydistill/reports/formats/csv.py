"""Tables as CSV: a line a row, plain numbers, for a spreadsheet or pandas."""

import csv
import io
import re
from collections.abc import Mapping, Sequence

from raydistill.evaluation.bootstrap import Estimate, Missing
from raydistill.reports.sweep_report import ReportContent
from raydistill.reports.tables.grids import Section
from raydistill.reports.tables.points import LOST, MEASURED, VS_CONTROL, Point, number
from raydistill.reports.trial_rows import column, token_columns
from raydistill.specs.evaluation import metric_of


def to_csv(chapters: Sequence[ReportContent]) -> str:
    """Every row of every sweep, with all drops, their intervals, and the measurements.

    A missing value is empty; `note` says why. A metric whose name has no unit has two columns: one
    by its name, and one by that of `api.results`.
    """
    lines = [_line(chapter, point) for chapter in chapters for point in chapter.points]
    return _text(list(dict.fromkeys(name for line in lines for name in line)), lines)


def section_csv(section: Section) -> str:
    """A grid with its texts as they are."""
    return _text(
        section.headers, [dict(zip(section.headers, r, strict=True)) for r in section.rows]
    )


def _text(header: Sequence[str], lines: Sequence[Mapping[str, object]]) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, header, lineterminator="\n")
    writer.writerow({name: spreadsheet_cell(name) for name in header})
    writer.writerows(
        {name: spreadsheet_cell(value) for name, value in line.items()} for line in lines
    )
    return file.getvalue()


def spreadsheet_cell(value: object) -> object:
    """A value, quoted where a spreadsheet would take a text for a formula.

    >>> spreadsheet_cell("=1+1"), spreadsheet_cell("-0.5 [-0.7, -0.3]"), spreadsheet_cell(-0.5)
    ("'=1+1", '-0.5 [-0.7, -0.3]', -0.5)
    """
    if not isinstance(value, str) or not value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return value
    return value if re.fullmatch(r"[-+][-+\d.,\s%\[\]…–*†‡e]*", value) else f"'{value}"


def _line(chapter: ReportContent, point: Point) -> dict[str, object]:
    row = point.row
    cell = point.cells[0]
    line: dict[str, object] = {"name": row.name, "role": row.role, **point.fields}
    bases = {(base.scale, base.age): base for base in chapter.report.bases}
    tokens = token_columns(cell, bases.get((cell.scale, cell.age)))
    tokens.pop("gap_tokens")  # a field, where layers left
    line |= {name: "" if value is None else value for name, value in tokens.items()}
    line["layers"] = " ".join(map(str, row.layers))
    line["seeds"] = " ".join(map(str, row.seeds))
    reasons = []
    lost = (*LOST, *(f"{name}{VS_CONTROL}" for name in LOST))
    for metric in (metric_of(name, row.loss) for name in lost):
        entry = number(point, metric)
        for name in dict.fromkeys((metric, column(metric))):
            for part, end in (("value", ""), ("low", "_low"), ("high", "_high")):
                line[f"{name}{end}"] = getattr(entry, part, "")
        reasons += [entry.reason] if isinstance(entry, Missing) else []
    measured = (metric_of(name, row.loss) for name in MEASURED)
    for metric in (*measured, *(f"task:{task}" for task in chapter.table.tasks)):
        entry = number(point, metric)
        value = entry.value if isinstance(entry, Estimate) else ""
        line |= {metric: value, column(metric): value}
    line["window_tokens"] = row.window_tokens or ""
    line["max_length"] = max((t.max_length for t in row.truncation.values()), default="")
    line |= {f"truncated:{task}": t.truncated for task, t in sorted(row.truncation.items())}
    line |= {"best_nll": row.best_nll, "best_downstream": row.best_downstream}
    printed = row.paper_drop_pct
    line["paper_downstream_drop_pct"] = "" if isinstance(printed, Missing) else printed
    line["note"] = "; ".join(dict.fromkeys(reasons))
    return line
