"""Inputs with a shared prefix as one row, which holds the prefix once.

Such a row is a flattened tree, one branch after the other. A token attends to its ancestors only,
and its position is its depth. A row of one branch is ordinary causal text.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

MIN_SHARED_TOKENS = (
    24  # tokens from which sharing pays: below, a mask costs more than reading them again
)
MAX_TREE_TOKENS = 1024  # tokens of a tree; a single input may be longer


@dataclass(frozen=True, slots=True)
class Branch:
    """Tokens that follow the token at index `parent` of their row, or begin it (-1)."""

    tokens: tuple[int, ...]
    parent: int
    depth: int  # of the first token


@dataclass(slots=True)
class Row:
    """One row, and the positions in it of each input's tokens, by the input's index."""

    branches: list[Branch] = field(default_factory=list)
    positions: dict[int, list[int]] = field(default_factory=dict)
    size: int = 0
    depth: int = 0  # of its deepest token, counted from 1

    def add(self, tokens: tuple[int, ...], path: Sequence[int]) -> list[int]:
        """Add a branch of `tokens` after those at positions `path`; returns the path to its end."""
        parent = path[-1] if path else -1
        self.branches.append(Branch(tokens, parent, len(path)))
        own = range(self.size, self.size + len(tokens))
        self.size += len(tokens)
        self.depth = max(self.depth, len(path) + len(tokens))
        return [*path, *own]


def rows_of(inputs: Sequence[tuple[int, ...]], deepest: int) -> list[Row]:
    """Rows that hold every input once; no row is empty.

    An input that is a prefix of another one has no tokens of its own. Sharing is chosen for each
    input: from `MIN_SHARED_TOKENS` on, while the row is short enough and no deeper than `deepest`.
    """
    rows: list[Row] = []
    previous: tuple[int, ...] = ()
    path: list[int] = []
    # In this order the longest shared prefix of an input is with the one right before it.
    for i in sorted(range(len(inputs)), key=lambda i: inputs[i], reverse=True):
        tokens = inputs[i]
        shared = _shared_prefix(previous, tokens)
        new = len(tokens) - shared
        if new and not (shared >= MIN_SHARED_TOKENS and _fits(rows[-1], len(tokens), new, deepest)):
            rows.append(Row())
            shared, path = 0, []
        path = path[:shared]
        if shared < len(tokens):
            path = rows[-1].add(tokens[shared:], path)
        rows[-1].positions[i] = path
        previous = tokens
    return rows


def _fits(row: Row, depth: int, new: int, deepest: int) -> bool:
    return row.size + new <= MAX_TREE_TOKENS and max(row.depth, depth) <= deepest


def _shared_prefix(left: tuple[int, ...], right: tuple[int, ...]) -> int:
    """How many tokens both begin with."""
    size = min(len(left), len(right))
    if left[:size] == right[:size]:
        return size
    return next(i for i in range(size) if left[i] != right[i])


def tokens_of(rows: Sequence[Row]) -> Tensor:
    """Int64 [B, T], padded with 0 at the end."""
    tokens_BT = torch.zeros(len(rows), max(row.size for row in rows), dtype=torch.long)
    for b, row in enumerate(rows):
        flat = [token for branch in row.branches for token in branch.tokens]
        tokens_BT[b, : row.size] = torch.tensor(flat)
    return tokens_BT


def shape_of(rows: Sequence[Row]) -> tuple[Tensor, Tensor]:
    """Positions, int64 [B, T], and the attention mask, bool [B, T, T]; padding sees itself."""
    longest = max(row.size for row in rows)
    positions_BT = torch.zeros(len(rows), longest, dtype=torch.long)
    visible_BTT = torch.eye(longest, dtype=torch.bool).repeat(len(rows), 1, 1)
    for b, row in enumerate(rows):
        start = 0
        for branch in row.branches:
            size = len(branch.tokens)
            end = start + size
            positions_BT[b, start:end] = torch.arange(branch.depth, branch.depth + size)
            if branch.parent >= 0:
                visible_BTT[b, start:end] = visible_BTT[b, branch.parent]
            visible_BTT[b, start:end, start:end] = torch.ones(size, size).tril().bool()
            start = end
    return positions_BT, visible_BTT
