"""Everything the report of one sweep holds, made once for every format."""

from collections.abc import Sequence
from dataclasses import dataclass

from raydistill.reports.figures.panels import Picture
from raydistill.reports.figures.paper import paper_figures
from raydistill.reports.figures.sweep import healing
from raydistill.reports.results.cells import SweepReport
from raydistill.reports.tables.grids import Section, matrix, readable
from raydistill.reports.tables.paper_arms import paper_tables
from raydistill.reports.tables.points import Point, points
from raydistill.reports.tables.table import Table, build_table


@dataclass(frozen=True, kw_only=True, slots=True)
class Chapter:
    """A sweep: its table, the paper's tables and figures that it has the axes of."""

    report: SweepReport
    table: Table
    points: tuple[Point, ...]  # its rows, for tables and figures over an axis
    paper_tables: tuple[Section, ...]
    pictures: tuple[Picture, ...]


def chapter(report: SweepReport) -> Chapter:
    """The chapter of a sweep."""
    table = build_table(report)
    found = points(report, table)
    pictures: Sequence[Picture] = [*paper_figures(found), healing(report)]
    tables = paper_tables(report, table, found)
    places = {point.fields["location"] for point in found}
    if len(places) > 2 and len(readable(table.blocks)) == len(table.blocks) and not tables:
        tables = [matrix(table, table.columns), *tables]
    return Chapter(
        report=report,
        table=table,
        points=tuple(found),
        paper_tables=tuple(tables),
        pictures=tuple(picture for picture in pictures if picture.panels),
    )
