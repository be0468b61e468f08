"""The memory of a plan as text: a row for each kind of training, and what fits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from raydistill.core.text.lines import wrap
from raydistill.core.units import format_bytes
from raydistill.planning.memory.fitting import fits, proposals_of, refusal_of
from raydistill.planning.memory.kinds import Kind
from raydistill.planning.memory.limits import PROCESS_BYTES, Limit
from raydistill.planning.memory.node_types import NodeType, node_types, smallest_that_fits
from raydistill.planning.preview.costs import Rates
from raydistill.planning.preview.estimate import aligned
from raydistill.training.throughput import Rate

MOST_ROWS = 4
_HEADS = (
    "weights", "gradients", "optimizer", "activations", "logits", "teacher", "at once",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryText:
    """A plan's memory: the lines of its table, and sentences below the plan."""

    table: tuple[str, ...]
    sentences: tuple[str, ...]


def memory_text(
    kinds: Sequence[Kind], limit: Limit | Literal["unknown"], rates: Rates | None, width: int
) -> MemoryText:
    """The memory of a plan in lines of at most `width` columns.

    Args:
        kinds: of what is left to train, the largest first.
        limit: of the plan's devices.
        rates: what was measured before, by scale; none where the devices are not at hand.
        width: columns of a line.
    """
    types = node_types(Path.cwd())
    sentences = memory_sentences(kinds, limit, rates, types)
    return MemoryText(table=tuple(memory_table(kinds, width)), sentences=tuple(sentences))


def memory_table(kinds: Sequence[Kind], width: int) -> Iterator[str]:
    """Bytes on each device, by part, of the largest kinds; nothing where nothing is trained.

    The parts are not all largest at once, so the last column is less than their sum.
    """
    if not kinds:
        return
    rows: list[tuple[str, ...]] = [("memory of a device", *_HEADS)]
    for kind in kinds[:MOST_ROWS]:
        memory = kind.memory
        parts = (
            memory.weights, memory.gradients, memory.optimizer, memory.activations,
            memory.logits, memory.teacher, memory.resident,
        )  # fmt: skip
        texts = (format_bytes(size) if size else "–" for size in parts)
        rows.append((_row_name(kind), *texts))
    lines = list(aligned(rows))
    if max(map(len, lines)) <= width:
        yield from lines
    else:
        values = aligned([("  ", *row[1:]) for row in rows])
        for row, line in zip(rows, values, strict=True):
            yield from wrap(row[0], width, "  ")
            yield from wrap(line, width, "    ") if len(line) > width else (line,)
    more = len(kinds) - MOST_ROWS
    if more > 0:
        yield f"… and {more} smaller {'kind' if more == 1 else 'kinds'} of training"


def _row_name(kind: Kind) -> str:
    devices = f" on {kind.setup.devices}" if kind.setup.devices > 1 else ""
    return f"{kind.name}{devices}" + (f" ({kind.trials})" if kind.trials > 1 else "")


def memory_sentences(
    kinds: Sequence[Kind],
    limit: Limit | Literal["unknown"],
    rates: Rates | None,
    types: Sequence[NodeType],
) -> Iterator[str]:
    """The most of a device by this arithmetic and as measured, and whether it fits.

    Args:
        kinds: of what is left to train, the largest first.
        limit: of the plan's devices.
        rates: what was measured before, by scale.
        types: of nodes, of the cluster files at hand; told where it is not this machine that fits.
    """
    if not kinds:
        return
    yield f"Memory on each device: at most {format_bytes(kinds[0].peak)} at once{_measured(rates)}."
    if limit != "unknown":
        yield from _fitting(kinds, limit)
    if types and not _fits_here(kinds, limit):
        yield smallest_that_fits(kinds, types)


def _fits_here(kinds: Sequence[Kind], limit: Limit | Literal["unknown"]) -> bool:
    if limit == "unknown" or not limit.name.startswith("this machine"):
        return False
    return all(fits(kind.setup, limit) for kind in kinds)


def _measured(rates: Rates | None) -> str:
    """What finished trials or a probe held."""
    known = [rate for rate in (rates or {}).values() if isinstance(rate, Rate)]
    if not known:
        return ", by arithmetic alone"
    most = max(pace.peak_bytes for rate in known for pace in rate.paces)
    sources = " and ".join(sorted({rate.source for rate in known}))
    on_cpu = any(rate.device == "cpu" for rate in known)
    means = " (the resident size of a process, libraries included)" if on_cpu else ""
    return f" by arithmetic; {sources} held at most {format_bytes(most)}{means}"


def _fitting(kinds: Sequence[Kind], limit: Limit) -> Iterator[str]:
    if refusal := refusal_of(kinds, limit):
        yield f"warning: it cannot fit: {refusal}."
        return
    too_large = [kind for kind in kinds if not fits(kind.setup, limit)]
    devices = (too_large or kinds)[0].setup.devices
    shared = ""
    if limit.on_cpu:
        processes = f"{devices} processes" if devices > 1 else "a process"
        shared = f", {format_bytes(PROCESS_BYTES)} of it for the libraries of {processes}"
    if not too_large:
        yield f"It fits: {limit}{shared}."
        return
    more = f" and {len(too_large) - 1} more" if len(too_large) > 1 else ""
    proposals = proposals_of(too_large[0].setup, limit)
    instead = f"; it would with {', or with '.join(proposals)}" if proposals else ""
    others = " (other micro-batches and another precision train to other bits)" if proposals else ""
    yield f"warning: {too_large[0].name}{more} may not fit: {limit}{shared}{instead}{others}."
