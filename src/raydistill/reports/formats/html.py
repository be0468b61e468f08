"""The report as one HTML page that needs nothing else: no network, no folder beside it.

Every name and sentence is escaped by the template; the only script and style are ours, and the
page's own policy forbids any other, and any request.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from raydistill import __version__
from raydistill.core.units import format_tokens
from raydistill.evaluation.bootstrap import Entry, Estimate, Missing
from raydistill.evaluation.performance_drops import Drops
from raydistill.reports.figures.panels import Picture, alone
from raydistill.reports.sweep_report import Chapter
from raydistill.reports.tables.custom import FreeTable
from raydistill.reports.tables.grids import (
    ABSENT,
    LEGEND,
    label,
    readable,
    spending,
    with_interval,
    with_sign,
)
from raydistill.reports.tables.table import Block, Row

DROPS = (("delta_nll", "nats/token"), ("perplexity", "drop %"), ("downstream", "drop %"))

RETENTION = ("retention", "above chance")

_DOWNSTREAM = 2
"""Its place in `DROPS`: the measure that the paper prints."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """One number: its text, what it is sorted by, and its interval in percent of a bar."""

    value: str
    sort: str  # empty where there is no number
    best: bool
    interval: str = ""
    drawn: bool = True  # whether the interval is a picture too
    paper: str = ""
    zero: float = 0.0
    low: float = 0.0
    high: float = 0.0
    at: float = 0.0
    paper_at: float = 0.0


NOTHING = (Shown(value="", sort="", best=False),) * len(DROPS)
"""A control against itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownRow:
    """A row of a block."""

    name: str
    aside: bool  # no candidate for the best
    tokens: str  # of training, where rows differ in them
    layer_map: str
    notes: tuple[int, ...]
    against_base: tuple[Shown, ...]
    against_control: tuple[Shown, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownBlock:
    """A block of a table."""

    title: str
    first: str  # the header of the names
    rows: tuple[ShownRow, ...]
    words: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownPanel:
    """One panel of a figure; small enough for a phone."""

    uri: str
    alt: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownFigure:
    """A figure of the paper's, or one of ours."""

    caption: str
    panels: tuple[ShownPanel, ...]


def to_page(chapters: Sequence[Chapter], free: Sequence[FreeTable] = ()) -> str:
    """The whole report as HTML.

    Args:
        chapters: one a sweep.
        free: tables that were asked for by their rows and columns; they come first.
    """
    import jinja2  # noqa: PLC0415  (not needed by `--help`)
    from markupsafe import Markup  # noqa: PLC0415  (as above)

    loader = jinja2.PackageLoader("raydistill", "reports/formats")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    files = resources.files("raydistill.reports.formats")
    style, script = ((files / f"page.{kind}").read_text("utf-8") for kind in ("css", "js"))
    digest = hashlib.sha256(script.encode()).digest()
    return environment.get_template("page.html.jinja").render(
        title=_title(chapters),
        version=__version__,
        style=Markup(style),  # noqa: S704  (our own file)
        script=Markup(script),  # noqa: S704  (our own file)
        script_sha256=base64.b64encode(digest).decode(),
        heads={"base": (*DROPS, RETENTION), "control": DROPS},
        legend=LEGEND,
        free=free,
        chapters=[_chapter(chapter) for chapter in chapters],
    )


def _title(chapters: Sequence[Chapter]) -> str:
    if len(chapters) == 1:
        return chapters[0].report.question
    names = dict.fromkeys(chapter.report.sweep for chapter in chapters)
    return f"raydistill: {', '.join(names) or 'no sweep'}"


def _chapter(chapter: Chapter) -> dict[str, object]:
    question, _, about = chapter.table.title.partition("\n")
    return {
        "name": f"{chapter.report.sweep} ({chapter.report.scale})",
        "question": question,
        "about": about,
        "table": chapter.table,
        "spending": spending(chapter.table),
        "paper_tables": chapter.paper_tables,
        "blocks": [_block(block) for block in readable(chapter.table.blocks)],
        "figures": [_figure(picture) for picture in chapter.pictures],
    }


def _figure(picture: Picture) -> ShownFigure:
    panels = []
    for panel in picture.panels:
        data = base64.b64encode(alone(panel).encode()).decode()
        panels.append(ShownPanel(uri=f"data:image/svg+xml;base64,{data}", alt=panel.alt))
    return ShownFigure(caption=picture.caption, panels=tuple(panels))


def _block(block: Block) -> ShownBlock:
    reach = [_reach(block.rows, place) for place in range(len(DROPS))]
    return ShownBlock(
        title=block.title,
        first="arm" if block.mixed_budgets else "location",
        words=block.words,
        rows=tuple(
            ShownRow(
                name=label(row),
                aside=row.role != "candidate",
                tokens=format_tokens(row.budget_tokens) if block.mixed_budgets else "",
                layer_map=row.layer_map,
                notes=row.notes,
                against_base=(
                    *_measures(row, row.against_base, reach, paper=True),
                    _kept(row.against_base.retention),
                ),
                against_control=NOTHING
                if row.role == "control"
                else _measures(row, row.against_control, reach, paper=False),
            )
            for row in block.rows
        ),
    )


def _entries(lost: Drops) -> tuple[Entry, Entry, Entry]:
    return lost.delta_nll, lost.perplexity_drop_pct, lost.downstream_drop_pct


def _reach(rows: Sequence[Row], place: int) -> tuple[float, float]:
    """The least and the greatest that any bar of a column shows; 0 is always among them."""
    entries = [_entries(lost)[place] for r in rows for lost in (r.against_base, r.against_control)]
    ends = [0.0, *(end for e in entries if isinstance(e, Estimate) for end in (e.low, e.high))]
    if place == _DOWNSTREAM:
        ends += [row.paper_drop_pct for row in rows if isinstance(row.paper_drop_pct, float)]
    return min(ends), max(ends)


def _measures(
    row: Row, lost: Drops, reach: Sequence[tuple[float, float]], *, paper: bool
) -> tuple[Shown, ...]:
    bests = (row.best_nll, False, row.best_downstream)
    printed = row.paper_drop_pct if paper else Missing(reason="against the base only")
    return tuple(
        _shown(
            entry,
            reach[place],
            digits=3 if place == 0 else 1,
            best=bests[place],
            paper=printed if place == _DOWNSTREAM else Missing(reason="not printed"),
        )
        for place, entry in enumerate(_entries(lost))
    )


def _kept(entry: Entry) -> Shown:
    if isinstance(entry, Missing):
        return Shown(value=ABSENT, sort="", best=False)
    value, _, interval = with_interval(entry, 2, signed=False).partition(" ")
    return Shown(value=value, sort=f"{entry.value:.9g}", best=False, interval=interval, drawn=False)


def _shown(
    entry: Entry,
    reach: tuple[float, float],
    *,
    digits: int,
    best: bool,
    paper: float | Missing,
) -> Shown:
    printed = "" if isinstance(paper, Missing) else f"{paper:+.2f}"
    if isinstance(entry, Missing):
        return Shown(value=ABSENT, sort="", best=False, paper=printed)
    low, width = reach[0], max(reach[1] - reach[0], 1e-9)

    def place(value: float) -> float:
        return round(3 + 94 * (value - low) / width, 2)

    return Shown(
        value=with_sign(entry, digits),
        sort=f"{entry.value:.9g}",
        best=best,
        interval=with_interval(entry, digits).partition(" ")[2],
        paper=printed,
        zero=place(0),
        low=place(entry.low),
        high=place(entry.high),
        at=place(entry.value),
        paper_at=0.0 if isinstance(paper, Missing) else place(paper),
    )
