"""The table of a sweep as Markdown, for a tracking server, a README or a paper's appendix."""

from raydistill.reports.tables import footnotes, grids
from raydistill.reports.tables.grids import Section
from raydistill.reports.tables.table import Table


def to_markdown(table: Table) -> str:
    """The whole report as GitHub-flavoured Markdown, with the content of `print_table`."""
    question, _, scale = table.title.partition("\n")
    parts = [f"# {_escaped(question)}", _escaped(scale), _list(table.warnings)]
    blocks = grids.readable(table.blocks)
    if blocks:
        if len(blocks) == len(table.blocks):
            parts += _section(grids.matrix(table, table.columns))
        parts += _section(grids.removed_layers(table))
    for block in blocks:
        title, *bases = block.title.splitlines()
        parts += [f"## {_escaped(title)}", _list(bases)]
        parts += [*_section(grids.against_base(block)), *_section(grids.against_control(block))]
        parts.append(_list(block.words))
    if table.blocks:
        parts += [_escaped(footnotes.LEGEND), _list(footnotes.footnote_lines(table.footnotes))]
    if table.spending.trials:
        parts += [*_section(grids.spending(table)), _list(table.spending.words)]
    return "\n\n".join(part for part in parts if part) + "\n"


def grid(section: Section) -> str:
    """One grid below its title, and its words."""
    return "\n\n".join(filter(None, (*_section(section), _list(section.words)))) + "\n"


def _section(section: Section) -> tuple[str, str]:
    ruler = "|---|" + "--:|" * (len(section.headers) - 1)
    lines = [_line(section.headers), ruler, *map(_line, section.rows)]
    return f"**{_escaped(section.title)}**", "\n".join(lines)


def _line(values: tuple[str, ...]) -> str:
    return f"| {' | '.join(map(_escaped, values))} |"


def _list(lines: tuple[str, ...] | list[str]) -> str:
    return "\n".join(f"- {_escaped(line)}" for line in lines)


def _escaped(text: str) -> str:
    """`text` as it is: no emphasis, no HTML, no new cell."""
    for special in "\\*_|<`[":
        text = text.replace(special, f"\\{special}")
    return text.replace("\n", " ")
