"""Blocks with one candidate each, as where counts vary, set as one: a line each, not a table."""

from collections.abc import Sequence
from dataclasses import replace

from raydistill.report.table import Block, Row


def readable(blocks: Sequence[Block]) -> tuple[Block, ...]:
    """`blocks` as they are; if none of several compares anything, all rows in one block.

    Its rows are named by their block. Each is still against its own base and control.
    """
    if len(blocks) < 2 or any(block.compares for block in blocks):
        return tuple(blocks)
    starts: dict[str, list[Block]] = {}
    scales = {block.scale for block in blocks}
    for block in blocks:
        start = f"{block.scale}, {block.age}" if len(scales) > 1 else block.age
        starts.setdefault(start, []).append(block)
    bases = [f"age {start}: {among[0].base}" for start, among in starts.items()]
    joint = replace(
        blocks[0],
        title="\n".join(["Every row against its own base", *bases]),
        rows=tuple(row for start, among in starts.items() for row in _rows(start, among)),
        words=tuple(words for block in blocks for words in block.words),
        paper_checkpoint="",  # each has its own
        mixed_budgets=any(block.mixed_budgets for block in blocks),
    )
    return (joint,)


def _rows(start: str, blocks: Sequence[Block]) -> list[Row]:
    """The candidates of blocks that started at one base, then what they have in common."""
    names = {row.name for block in blocks for row in block.rows if row.role == "candidate"}
    rows: dict[str, Row] = {}
    for is_candidate in (True, False):
        for block in blocks:
            for row in (row for row in block.rows if (row.role == "candidate") == is_candidate):
                name = f"{block.label if is_candidate else start}, {row.name}"
                if is_candidate and len(names) == 1:
                    name = block.label
                elif rows.get(name, row).budget_tokens != row.budget_tokens:
                    name = f"{block.label}, {row.name}"
                rows[name] = replace(row, name=name)
    return list(rows.values())
