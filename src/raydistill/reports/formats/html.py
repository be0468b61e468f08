"""The report as one HTML page that needs nothing else: no network, no folder beside it.

Every name and sentence is escaped by the template; the only script and style are ours, and the
page's own policy forbids any other, and any request.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

from raydistill import __version__
from raydistill.core.units import format_tokens
from raydistill.evaluation.bootstrap import Entry, Estimate, Missing
from raydistill.evaluation.performance_drops import Drops
from raydistill.reports.figures.panels import Panel, panel_svg
from raydistill.reports.results.cells import CANDIDATES
from raydistill.reports.sweep_report import ReportContent
from raydistill.reports.tables import footnotes, grids
from raydistill.reports.tables.custom import CustomTable
from raydistill.reports.tables.table import Block, Row
from raydistill.specs.evaluation import words_of

DROPS = (("delta_nll", "nats/token"), ("perplexity", "drop %"), ("downstream", "drop %"))
RETENTION = ("retention", "above chance")
_DOWNSTREAM = 2  # index in `DROPS` of the measure that the paper prints


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    """One number: its text, its sort key, and its interval in percent of the width of a bar."""

    value: str
    sort: str = ""  # empty where there is no number
    best: bool = False
    interval: str = ""
    drawn: bool = True  # whether the interval is drawn as a bar too
    paper: str = ""
    zero: float = 0.0
    low: float = 0.0
    high: float = 0.0
    at: float = 0.0
    paper_at: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class PageRow:
    """A row of a block."""

    name: str
    aside: bool  # no candidate for the best
    tokens: str  # of training, where rows differ in them
    layer_map: str
    notes: tuple[int, ...]
    against_base: tuple[Measure, ...]
    against_control: tuple[Measure, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class PageBlock:
    """A block of a table."""

    title: str
    first: str  # the header of the names
    heads: Mapping[str, Sequence[tuple[str, str]]]  # of the measures, with their units
    rows: tuple[PageRow, ...]
    words: tuple[str, ...]


def to_page(chapters: Sequence[ReportContent], free: Sequence[CustomTable] = ()) -> str:
    """The whole report as HTML.

    Args:
        chapters: one a sweep.
        free: tables by rows and columns of the user's choice; they come first.
    """
    import jinja2  # noqa: PLC0415  (not needed by `--help`)
    from markupsafe import Markup  # noqa: PLC0415  (as above)

    loader = jinja2.PackageLoader("raydistill", "reports/formats")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    environment.filters["data_uri"] = _data_uri
    files = resources.files("raydistill.reports.formats")
    style, script = ((files / f"page.{kind}").read_text("utf-8") for kind in ("css", "js"))
    digest = hashlib.sha256(script.encode()).digest()
    return environment.get_template("page.html.jinja").render(
        title=_title(chapters),
        version=__version__,
        style=Markup(style),  # noqa: S704  (our own file)
        script=Markup(script),  # noqa: S704  (our own file)
        script_sha256=base64.b64encode(digest).decode(),
        legend=footnotes.LEGEND,
        free=free,
        chapters=[_chapter(chapter) for chapter in chapters],
    )


def _title(chapters: Sequence[ReportContent]) -> str:
    if len(chapters) == 1:
        return chapters[0].report.question
    names = dict.fromkeys(chapter.report.sweep for chapter in chapters)
    return f"raydistill: {', '.join(names) or 'no sweep'}"


def _chapter(chapter: ReportContent) -> dict[str, object]:
    question, _, about = chapter.table.title.partition("\n")
    return {
        "name": f"{chapter.report.sweep} ({chapter.report.scale})",
        "question": question,
        "about": about,
        "table": chapter.table,
        "spending": grids.spending(chapter.table),
        "paper_tables": chapter.paper_tables,
        "blocks": [_block(block) for block in grids.readable(chapter.table.blocks)],
        "figures": chapter.pictures,
    }


def _data_uri(panel: Panel) -> str:
    """A panel by itself, small enough for a phone."""
    return f"data:image/svg+xml;base64,{base64.b64encode(panel_svg(panel).encode()).decode()}"


def _block(block: Block) -> PageBlock:
    ranges = [_range(block.rows, index) for index in range(len(DROPS))]
    drops = tuple((words_of(name, block.loss), unit) for name, unit in DROPS)
    no_measures = (Measure(value=""),) * len(DROPS)  # a control against itself
    return PageBlock(
        title=block.title,
        first="arm" if block.mixed_budgets else "location",
        heads={"base": (*drops, RETENTION), "control": drops},
        words=block.words,
        rows=tuple(
            PageRow(
                name=grids.label(row),
                aside=row.role not in CANDIDATES,
                tokens=format_tokens(row.budget_tokens) if block.mixed_budgets else "",
                layer_map=row.layer_map,
                notes=row.notes,
                against_base=(
                    *_measures(row, row.against_base, ranges, row.paper_drop_pct),
                    _retention(row.against_base.retention),
                ),
                against_control=no_measures
                if row.role == "control"
                else _measures(row, row.against_control, ranges, stars=block.one_control),
            )
            for row in block.rows
        ),
    )


def _entries(drops: Drops) -> tuple[Entry, Entry, Entry]:
    return drops.delta_nll, drops.perplexity_drop_pct, drops.downstream_drop_pct


def _range(rows: Sequence[Row], index: int) -> tuple[float, float]:
    """The least and the greatest value of any bar of a column; 0 is always among them."""
    entries = [
        _entries(drops)[index] for r in rows for drops in (r.against_base, r.against_control)
    ]
    ends = [0.0, *(end for e in entries if isinstance(e, Estimate) for end in (e.low, e.high))]
    if index == _DOWNSTREAM:
        ends += [row.paper_drop_pct for row in rows if isinstance(row.paper_drop_pct, float)]
    return min(ends), max(ends)


_NOT_PRINTED = Missing(reason="not printed")


def _measures(
    row: Row,
    drops: Drops,
    ranges: Sequence[tuple[float, float]],
    paper: float | Missing = _NOT_PRINTED,
    *,
    stars: bool = True,
) -> tuple[Measure, ...]:
    nll, perplexity, downstream = _entries(drops)
    return (
        _measure(nll, ranges[0], 3, best=stars and row.best_nll),
        _measure(perplexity, ranges[1], 1),
        _measure(
            downstream, ranges[_DOWNSTREAM], 1, best=stars and row.best_downstream, paper=paper
        ),
    )


def _retention(entry: Entry) -> Measure:
    if isinstance(entry, Missing):
        return Measure(value=grids.ABSENT)
    value, _, interval = grids.with_interval(entry, 2, signed=False).partition(" ")
    return Measure(value=value, sort=f"{entry.value:.9g}", interval=interval, drawn=False)


def _measure(
    entry: Entry,
    ends: tuple[float, float],
    digits: int,
    *,
    best: bool = False,
    paper: float | Missing = _NOT_PRINTED,
) -> Measure:
    printed = "" if isinstance(paper, Missing) else f"{paper:+.2f}"
    if isinstance(entry, Missing):
        return Measure(value=grids.ABSENT, paper=printed)
    low, width = ends[0], max(ends[1] - ends[0], 1e-9)

    def x(value: float) -> float:
        return round(3 + 94 * (value - low) / width, 2)

    return Measure(
        value=grids.with_sign(entry, digits),
        sort=f"{entry.value:.9g}",
        best=best,
        interval=grids.with_interval(entry, digits).partition(" ")[2],
        paper=printed,
        zero=x(0),
        low=x(entry.low),
        high=x(entry.high),
        at=x(entry.value),
        paper_at=0.0 if isinstance(paper, Missing) else x(paper),
    )
