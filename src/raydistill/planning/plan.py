"""A sweep's plan: its cells and how to run them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from raydistill.planning.cell import Cell, axes_of, bases_of
from raydistill.planning.preview.devices import Assumption
from raydistill.planning.sweep import Sweep
from raydistill.specs.scale import Scale


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """How a sweep is run. Nothing here changes what a trial's weights become."""

    storage: Path  # absolute
    tracking_uri: str
    search: str  # one of `SEARCHES`
    trials: int  # how many of the cells; in successive halving, how many finalists
    objectives: tuple[str, ...]  # of a search by Optuna, some of `OBJECTIVES`
    seed: int
    device_counts: range  # that one trial may train on; several only if it is elastic
    concurrent: int | Literal["auto"]  # auto: what the cluster can grow to
    teacher_placement: str  # one of `teacher_placement.PLACEMENTS`
    sharding: str  # one of `jobs.SHARDINGS`
    cache_gb: float  # that cached teachers may take in the storage
    checkpoint_every_s: float  # 0 is after every step
    anew: bool  # train also those trials that the package ships trained
    command: str  # that started it
    debug: bool = False
    probe: bool = False  # its speed is measured first
    lr_probe: bool = False  # each arm trains at the best of three peaks
    price_per_hour: float | Literal["unknown"] = "unknown"  # of one device
    assumed: Assumption | Literal["nothing"] = "nothing"  # of devices that are not at hand
    scale_from: str = ""  # why it is this scale, in words
    task_data: Path | None = None  # where tasks lie that are not made of the corpus


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepPlan:
    """All that a runner needs: the requested cells, and how to run them."""

    sweep: Sweep
    scale: Scale
    cells: tuple[Cell, ...]
    options: Options

    @property
    def shown_scale(self) -> Scale:
        """The scale that stands for all: its own, or the first cell's where none is of its own."""
        names = {cell.scale.name for cell in self.cells}
        return self.scale if self.scale.name in names else self.cells[0].scale

    @property
    def axes(self) -> tuple[str, ...]:
        """The names of all that varies but the seed: the sweep's own axes, and those of flags."""
        return axes_of(tuple(self.sweep.axes), self.cells)


def probed_when_oldest(cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """The cells, of which each scale's at its oldest base alone have probes.

    Each fine-tuning takes seconds even of the smallest models, and a sweep may have many ages.
    """
    oldest = {base.scale.name: base.age for base in bases_of(cells)}  # the last of each
    return tuple(
        cell if cell.base.age == oldest[cell.scale.name] else _without_probes(cell)
        for cell in cells
    )


def _without_probes(cell: Cell) -> Cell:
    evaluation = replace(cell.scale.evaluation, probes=(), probe_sources=())
    return replace(cell, scale=replace(cell.scale, evaluation=evaluation))
