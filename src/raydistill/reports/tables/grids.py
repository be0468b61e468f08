"""The grids of a table: rows and columns of text, for every format."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from raydistill.core.units import format_tokens
from raydistill.evaluation.bootstrap import Entry, Missing
from raydistill.evaluation.performance_drops import Drops
from raydistill.reports.results.cells import CANDIDATES
from raydistill.reports.results.spending import HEADERS
from raydistill.reports.tables.footnotes import BEST
from raydistill.reports.tables.table import Block, Row, Table
from raydistill.specs.evaluation import words_of


def readable(blocks: Sequence[Block]) -> tuple[Block, ...]:
    """`blocks` as they are; if none of several compares anything, all rows in one block.

    As where counts vary: a line for each, not a table. Its rows are named by their block. Each is
    still against its own base and control.
    """
    if len(blocks) < 2 or any(block.compares for block in blocks):
        return tuple(blocks)
    starts: dict[str, list[Block]] = {}
    scales = {block.scale for block in blocks}
    for block in blocks:
        start = f"{block.scale}, {block.age}" if len(scales) > 1 else block.age
        starts.setdefault(start, []).append(block)
    bases = [f"age {start}: {group[0].base}" for start, group in starts.items()]
    joint = replace(
        blocks[0],
        title="\n".join(["Every row against its own base", *bases]),
        rows=tuple(row for start, group in starts.items() for row in _rows(start, group)),
        words=tuple(words for block in blocks for words in block.words),
        paper_checkpoint="",  # each has its own
        mixed_budgets=any(block.mixed_budgets for block in blocks),
        one_control=all(block.one_control for block in blocks),
    )
    return (joint,)


def _rows(start: str, blocks: Sequence[Block]) -> list[Row]:
    """The candidates of blocks that start from one base, then their other rows, each once."""
    names = {row.name for block in blocks for row in block.rows if row.role in CANDIDATES}
    rows: dict[str, Row] = {}
    for is_candidate in (True, False):
        for block in blocks:
            for row in (row for row in block.rows if (row.role in CANDIDATES) == is_candidate):
                name = f"{block.label if is_candidate else start}, {row.name}"
                if is_candidate and len(names) == 1:
                    name = block.label
                elif rows.get(name, row).budget_tokens != row.budget_tokens:
                    name = f"{block.label}, {row.name}"
                rows[name] = replace(row, name=name)
    return list(rows.values())


ABSENT = "–"


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A grid of text: each row starts with its label, `headers` begin with the label's.

    `words` are sentences on it.
    """

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: tuple[str, ...] = ()


def matrix(table: Table, names: Sequence[str]) -> Section:
    """Table 5's shape: checkpoints by the locations `names`, the paper's lines between ours."""
    rows = []
    in_paper = any(block.paper_checkpoint for block in table.blocks)
    for block in table.blocks:
        by_name = {row.name: row for row in block.rows}
        rows.append((f"here {block.label}", *(_downstream(by_name.get(name)) for name in names)))
        if block.paper_checkpoint:
            printed = (_paper(by_name.get(name)) for name in names)
            rows.append((f"paper {block.paper_checkpoint}", *printed))
    return Section(
        title="Downstream drop against the base, %" + (", as in Table 5" if in_paper else ""),
        headers=("checkpoint", *names),
        rows=tuple(rows),
    )


def removed_layers(table: Table) -> Section:
    """The layers that each row removes; once for all blocks where these agree."""
    by_name: dict[str, dict[str, list[Block]]] = {name: {} for name in table.columns}
    for block in table.blocks:
        for row in block.rows:
            by_name[row.name].setdefault(row.layer_map, []).append(block)
    rows = []
    for name, maps in by_name.items():
        by_count = len({blocks[0].count for blocks in maps.values()}) == len(maps)
        for boxes, blocks in maps.items():
            labels = [f"count {blocks[0].count}"] if by_count else [b.label for b in blocks]
            rows.append((name if len(maps) == 1 else f"{name}, {'; '.join(labels)}", boxes))
    header = _row_header([row for block in table.blocks for row in block.rows])
    return Section(title="Layers that leave", headers=(header, "layers"), rows=tuple(rows))


def against_base(block: Block) -> Section:
    """Every row of a block against its base, beside the paper's number."""
    tokens, printed = block.mixed_budgets, bool(block.paper_checkpoint)
    return Section(
        title="against the base",
        headers=(
            _row_header(block.rows),
            *(["tokens"] if tokens else []),
            *_drop_headers(block),
            "retention, above chance",
            *(["paper, drop %"] if printed else []),
        ),
        rows=tuple(
            (
                _label(row),
                *([format_tokens(row.budget_tokens)] if tokens else []),
                *_drops(row.against_base, row),
                with_interval(row.against_base.retention, 2, signed=False),
                *([_paper(row)] if printed else []),
            )
            for row in block.rows
        ),
    )


def against_control(block: Block) -> Section:
    """Every row but the control against the control: the effect of the removal alone."""
    each_own = "" if block.one_control else "; rows have controls of their own, so no star"
    rows = [row for row in block.rows if row.role != "control"]
    return Section(
        title=f"against the control (same training, nothing removed{each_own})",
        headers=(_row_header(block.rows), *_drop_headers(block)),
        rows=tuple(
            (_label(row), *_drops(row.against_control, row, stars=block.one_control))
            for row in rows
        ),
    )


def spending(table: Table) -> Section:
    """Time and memory of every trial, beside its estimate."""
    return Section(title="Cost", headers=HEADERS, rows=table.spending.rows)


def _row_header(rows: Sequence[Row]) -> str:
    return "location" if all(row.name == row.location for row in rows) else "cell"


_DROPS = ("delta_nll, nats/token", "perplexity, drop %", "downstream, drop %")


def _drop_headers(block: Block) -> list[str]:
    return [words_of(header, block.loss) for header in _DROPS]


def with_interval(entry: Entry, digits: int, *, best: bool = False, signed: bool = True) -> str:
    """A value, signed or not, and its 95 % interval; marked with `*` if among the best.

    >>> from raydistill.evaluation.bootstrap import Estimate
    >>> with_interval(Estimate(value=5.41, low=3.2, high=7.63), 1, best=True)
    '+5.4* [3.2 7.6]'
    """
    if isinstance(entry, Missing):
        return ABSENT
    digits = 0 if abs(entry.value) >= 1000 else digits
    low, high = (f"{_rounded(bound, digits):.{digits}f}" for bound in (entry.low, entry.high))
    value = with_sign(entry, digits) if signed else f"{_rounded(entry.value, digits):.{digits}f}"
    return f"{value}{BEST if best else ''} [{low} {high}]"


def with_sign(entry: Entry, digits: int) -> str:
    """A value with its sign."""
    if isinstance(entry, Missing):
        return ABSENT
    return f"{_rounded(entry.value, digits):+.{digits}f}"


def _rounded(value: float, digits: int) -> float:
    return round(value, digits) + 0.0  # no "-0.0"


def _drops(drops: Drops, row: Row, *, stars: bool = True) -> tuple[str, str, str]:
    return (
        with_interval(drops.delta_nll, 3, best=stars and row.best_nll),
        with_interval(drops.perplexity_drop_pct, 1),
        with_interval(drops.downstream_drop_pct, 1, best=stars and row.best_downstream),
    )


def label(row: Row) -> str:
    """The name of a row, with `(control)` behind a control that is named by its location."""
    is_control = row.role == "control" and row.name != row.role
    return f"{row.name} (control)" if is_control else row.name


def _label(row: Row) -> str:
    return " ".join([label(row), *(f"({number})" for number in row.notes)])


def _downstream(row: Row | None) -> str:
    if row is None:
        return ""
    mark = BEST if row.best_downstream else ""
    return with_sign(row.against_base.downstream_drop_pct, 1) + mark


def _paper(row: Row | None) -> str:
    if row is None or isinstance(row.paper_drop_pct, Missing):
        return ""
    return f"{row.paper_drop_pct:+.2f}"
