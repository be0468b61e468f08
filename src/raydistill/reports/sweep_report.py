"""The content of the report of one sweep, made once for all formats."""

from dataclasses import dataclass, replace

from raydistill.reports.capacity_gap.findings import CapacityGapFindings, capacity_gap_findings
from raydistill.reports.capacity_gap.tables import capacity_gap_tables
from raydistill.reports.figures.capacity_gap import capacity_gap_figure
from raydistill.reports.figures.effects import effects_figure
from raydistill.reports.figures.heat_map import heat_maps
from raydistill.reports.figures.panels import PanelFigure
from raydistill.reports.figures.paper import paper_figures
from raydistill.reports.figures.reduced_scale import reduced_scale_figure
from raydistill.reports.figures.sweep import healing
from raydistill.reports.reduced_scale.findings import ReducedScaleFindings
from raydistill.reports.reduced_scale.from_report import reduced_scale_findings
from raydistill.reports.reduced_scale.tables import reduced_scale_tables
from raydistill.reports.results.cells import SweepReport
from raydistill.reports.results.common_tasks import table_tasks
from raydistill.reports.results.spending import Spending
from raydistill.reports.tables.effects import ablations, effect_table
from raydistill.reports.tables.grids import Section, matrix, readable
from raydistill.reports.tables.paper_arms import paper_tables
from raydistill.reports.tables.points import Point, points
from raydistill.reports.tables.table import Table, build_table


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportContent:
    """A sweep: its table, and those of the paper's tables and figures whose axes it has."""

    report: SweepReport
    table: Table
    points: tuple[Point, ...]  # its rows, for tables and figures over an axis
    findings: tuple[Section, ...]  # of an ablation, of students by their teachers, of shapes
    capacity_gap: CapacityGapFindings
    reduced_scale: ReducedScaleFindings
    paper_tables: tuple[Section, ...]  # and the findings
    pictures: tuple[PanelFigure, ...]

    @property
    def of_whole_models(self) -> bool:
        """Whether no layer leaves in this sweep, so that it has no figures of that."""
        return bool(self.capacity_gap.groups or self.reduced_scale.runs)


def report_content(report: SweepReport) -> ReportContent:
    """The chapter of a sweep."""
    table = build_table(report)
    rows = points(report, table)
    around = ablations(rows, table_tasks(report).chance)
    gap, shapes = capacity_gap_findings(report), reduced_scale_findings(report)
    if shapes.runs:  # bases as they are: every row would say that nothing was lost, and is free
        table = replace(table, blocks=(), spending=Spending())
    findings = [
        *(effect_table(ablation) for ablation in around),
        *capacity_gap_tables(gap, small_scale=report.small_scale),
        *reduced_scale_tables(shapes),
    ]
    tables = [*findings, *paper_tables(report, table, rows)]
    locations = {point.fields["location"] for point in rows}
    if len(locations) > 2 and len(readable(table.blocks)) == len(table.blocks) and not tables:
        tables = [matrix(table, table.columns)]
    return ReportContent(
        report=report,
        table=table,
        points=tuple(rows),
        findings=tuple(findings),
        capacity_gap=gap,
        reduced_scale=shapes,
        paper_tables=tuple(tables),
        pictures=tuple(
            p
            for p in (
                capacity_gap_figure(gap),
                reduced_scale_figure(shapes),
                effects_figure(around),
                *paper_figures(rows),
                *heat_maps(rows),
                *(() if gap.groups or shapes.runs else (healing(report),)),
            )
            if p.panels
        ),
    )
