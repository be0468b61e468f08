"""A report in every format, as files by name."""

from collections.abc import Sequence
from pathlib import Path

from raydistill.reports.figures.panels import save, together
from raydistill.reports.figures.sweep import HEALING, save_figures
from raydistill.reports.formats.csv import section_csv, to_csv
from raydistill.reports.formats.html import to_page
from raydistill.reports.formats.latex import PREAMBLE, to_latex
from raydistill.reports.formats.markdown import grid, to_markdown
from raydistill.reports.sweep_report import Chapter
from raydistill.reports.tables.custom import FreeTable
from raydistill.reports.tables.grids import (
    LEGEND,
    Section,
    against_base,
    against_control,
    footnote_lines,
    readable,
    removed_layers,
)

FORMATS = ("markdown", "csv", "latex")


def texts(chapters: Sequence[Chapter], free: Sequence[FreeTable] = ()) -> dict[str, str]:
    """The report as Markdown, CSV, LaTeX and one HTML page."""
    files = {
        "report.md": as_markdown(chapters, free),
        "report.csv": to_csv(chapters),
        "report.tex": as_latex(chapters, free),
        "report.html": to_page(chapters, free),
    }
    if free:
        files["free.csv"] = free_text(free, "csv")
    return files


def figures(chapter: Chapter, folder: Path) -> list[Path]:
    """The figures of a sweep as PNG and SVG."""
    written = list(save_figures(chapter.report, folder))
    for picture in chapter.pictures:
        if picture.name != HEALING:
            written += save(together(picture), picture.name, folder)
    return written


def as_markdown(chapters: Sequence[Chapter], free: Sequence[FreeTable] = ()) -> str:
    """The free tables, then every sweep with the paper's tables that it has."""
    parts = [free_text(free, "markdown")] if free else []
    for each in chapters:
        parts.append(to_markdown(each.table))
        parts += [grid(section) for section in each.paper_tables]
    return "\n".join(parts)


def as_latex(chapters: Sequence[Chapter], free: Sequence[FreeTable] = ()) -> str:
    """A table float for each grid of the report."""
    parts = [PREAMBLE, *([free_text(free, "latex")] if free else [])]
    for each in chapters:
        about = each.table.title.replace("\n", " ")
        notes = footnote_lines(each.table.footnotes)
        for section in (*each.paper_tables, removed_layers(each.table)):
            parts.append(to_latex(section, f"{about}. {section.title}."))
        for block in readable(each.table.blocks):
            for section in (against_base(block), against_control(block)):
                caption = f"{about}. {block.title}; {section.title}. {LEGEND}"
                parts.append(to_latex(section, caption, notes))
    return "\n".join(parts)


def free_text(free: Sequence[FreeTable], form: str) -> str:
    """Free tables in one of `FORMATS`, each with its sentence."""
    if form == "latex":
        return "\n".join(to_latex(each.grid, each.caption) for each in free)
    if form == "csv":
        return "\n".join(section_csv(_captioned(each)) for each in free)
    return "\n".join(f"{grid(each.grid)}\n{each.caption}\n" for each in free)


def _captioned(each: FreeTable) -> Section:
    """A grid whose caption is its last column: CSV has no other place for it."""
    section = each.grid
    rows = tuple((*row, each.caption if not at else "") for at, row in enumerate(section.rows))
    return Section(title=section.title, headers=(*section.headers, "caption"), rows=rows)
