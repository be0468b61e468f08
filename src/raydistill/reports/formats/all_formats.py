"""A report in all formats, as files by name."""

from collections.abc import Sequence
from pathlib import Path

from raydistill.core.progress import tracked
from raydistill.reports.capacity_gap import tables as capacity_gap
from raydistill.reports.figures.panels import SUFFIXES, draw_together, save
from raydistill.reports.figures.sweep import HEALING, save_figures
from raydistill.reports.formats.csv import section_csv, to_csv
from raydistill.reports.formats.html import to_page
from raydistill.reports.formats.latex import PREAMBLE, to_latex
from raydistill.reports.formats.markdown import grid, to_markdown
from raydistill.reports.reduced_scale import numbers as reduced_scale
from raydistill.reports.sweep_report import ReportContent
from raydistill.reports.tables import footnotes, grids
from raydistill.reports.tables.custom import CustomTable
from raydistill.reports.tables.grids import Section

_FIGURES = (  # that a report may have
    *("drops", HEALING, "effects", "figure-[123]", "heat-map-*", "capacity-gap", "reduced-scale"),
)
FORMATS = ("markdown", "csv", "latex")


def texts(chapters: Sequence[ReportContent], free: Sequence[CustomTable] = ()) -> dict[str, str]:
    """The files `report.md`, `.csv`, `.tex` and `.html`.

    And `free.csv` if there are free tables, `capacity-gap.csv` of students by their teachers,
    `reduced-scale.csv` of shapes.
    """
    files = {
        "report.md": as_markdown(chapters, free),
        "report.csv": to_csv(chapters),
        "report.tex": as_latex(chapters, free),
        "report.html": to_page(chapters, free),
    }
    if free:
        files["free.csv"] = custom_tables_text(free, "csv")
    if of_students := [c.capacity_gap for c in chapters if c.capacity_gap.groups]:
        files[capacity_gap.NUMBERS] = section_csv(capacity_gap.numbers(of_students))
    if of_shapes := [c.reduced_scale for c in chapters if c.reduced_scale.runs]:
        files[reduced_scale.NUMBERS] = section_csv(reduced_scale.numbers(of_shapes))
    return files


def figures(chapter: ReportContent, folder: Path) -> list[Path]:
    """Write the figures of a sweep as PNG and SVG; those of an earlier report go.

    Students by their teachers and shapes have a figure of their own: from them no layer leaves.
    """
    written = [] if chapter.of_whole_models else list(save_figures(chapter.report, folder))
    for picture in tracked(chapter.pictures, "drawing", "figures"):
        if picture.name != HEALING:
            written += save(draw_together(picture), picture.name, folder)
    for name in _FIGURES:
        for earlier in {path for end in SUFFIXES for path in folder.glob(f"{name}.{end}")}:
            if earlier not in written:
                earlier.unlink()
    return written


def as_markdown(chapters: Sequence[ReportContent], free: Sequence[CustomTable] = ()) -> str:
    """The free tables, then every sweep with the paper's tables that it has."""
    parts = [custom_tables_text(free, "markdown")] if free else []
    for chapter in chapters:
        parts.append(to_markdown(chapter.table))
        parts += [grid(section) for section in chapter.paper_tables]
    return "\n".join(parts)


def as_latex(chapters: Sequence[ReportContent], free: Sequence[CustomTable] = ()) -> str:
    """A table float for each grid of the report."""
    parts = [PREAMBLE, *([custom_tables_text(free, "latex")] if free else [])]
    for chapter in chapters:
        table, about = chapter.table, chapter.table.title.replace("\n", " ")
        notes = footnotes.footnote_lines(table.footnotes)
        layers = [grids.removed_layers(table)] if table.blocks else []
        for section in (*chapter.paper_tables, *layers):
            parts.append(to_latex(section, f"{about}. {section.title}.", section.words))
        for block in grids.readable(table.blocks):
            for section in (grids.against_base(block), grids.against_control(block)):
                caption = f"{about}. {block.title}; {section.title}. {footnotes.LEGEND}"
                parts.append(to_latex(section, caption, notes))
    return "\n".join(parts)


def custom_tables_text(free: Sequence[CustomTable], form: str) -> str:
    """Free tables in one of `FORMATS`, each with its caption."""
    if form == "latex":
        return "\n".join(to_latex(table.grid, table.caption) for table in free)
    if form == "csv":
        return "\n".join(section_csv(_captioned(table)) for table in free)
    return "\n".join(f"{grid(table.grid)}\n{table.caption}\n" for table in free)


def _captioned(table: CustomTable) -> Section:
    """A grid with its caption in a last column, as CSV has no captions."""
    grid_rows = enumerate(table.grid.rows)
    rows = tuple((*row, "" if index else table.caption) for index, row in grid_rows)
    return Section(title=table.grid.title, headers=(*table.grid.headers, "caption"), rows=rows)
