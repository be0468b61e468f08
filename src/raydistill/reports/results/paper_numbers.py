"""The numbers that Jha et al. (2023) print, as data. Drops have their sign turned: + is worse."""

import math
from dataclasses import dataclass

from raydistill.core.units import B

# The columns of Table 5, in its order.
LOCATIONS = (
    *("max-gap", "input", "output", "both", "middle"),
    *("alt-input", "alt-output", "alt-both", "alt-middle"),
)
# The columns of Table 3, in its order.
TASKS = (
    *("piqa", "hellaswag", "winogrande", "boolq", "openbookqa", "sciq", "arc_easy"),
    *("arc_challenge", "copa", "rte", "cb", "mrpc", "sst2"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class PaperScores:
    """One line of Table 3: `tasks` in the order of `TASKS`."""

    method: str
    model: str
    tasks: tuple[float, ...]
    perplexity: float

    @property
    def downstream(self) -> float:
        """The mean of the printed task values."""
        return math.fsum(self.tasks) / len(self.tasks)


def _line(header: str, scores: str) -> PaperScores:
    """`header` holds method, model and perplexity; `scores` are in the order of `TASKS`."""
    method, model, perplexity = header.split()
    tasks = tuple(map(float, scores.split()))
    return PaperScores(method=method, model=model, tasks=tasks, perplexity=float(perplexity))


TABLE_3 = (  # section 5.1: half of the layers leave, 20B tokens follow
    _line(
        "base 300M-320B 15.594",
        ".7171 .4695 .5241 .6073 .3300 .8160 .5281 .2809 .7300 .5523 .4107 .8105 .4920",
    ),
    _line(
        "kd 300M-320B 27.05",
        ".6502 .3371 .4917 .6089 .2760 .7280 .4579 .2107 .6300 .5668 .3929 .8117 .4931",
    ),
    _line(
        "teacher-free 300M-320B 24.76",
        ".6627 .3447 .5051 .6107 .2940 .7470 .4368 .2308 .6500 .5740 .4286 .8129 .5780",
    ),
    _line(
        "base 1.1B-160B 12.987",
        ".7443 .5681 .5517 .6254 .3440 .8510 .5702 .2910 .7700 .5487 .5000 .8105 .6170",
    ),
    _line(
        "kd 1.1B-160B 18.371",
        ".7046 .4243 .5249 .6220 .2860 .8180 .5175 .2575 .7000 .5343 .4107 .8117 .6112",
    ),
    _line(
        "teacher-free 1.1B-160B 17.27",
        ".7051 .4429 .5162 .6220 .2940 .8090 .5140 .2508 .7100 .5271 .4107 .8088 .5310",
    ),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class PaperCost:
    """One line of Table 4."""

    method: str
    model: str
    flops: float
    wall_clock_hours: float
    devices: int  # A100-80GB


TABLE_4 = (
    PaperCost(method="kd", model="300M", flops=33.44e18, wall_clock_hours=48.5, devices=4),
    PaperCost(method="teacher-free", model="300M", flops=21.3e18, wall_clock_hours=26.5, devices=4),
    PaperCost(method="kd", model="1.1B", flops=117.2e18, wall_clock_hours=48, devices=8),
    PaperCost(method="teacher-free", model="1.1B", flops=72.8e18, wall_clock_hours=32, devices=8),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class LocationRow:
    """One line of Table 5: `downstream_drop_pct` by location, `removed` of `num_layers` gone."""

    checkpoint: str
    age_tokens: int
    num_layers: int
    removed: int
    downstream_drop_pct: dict[str, float]

    def fits(self, *, num_layers: int, removed: int) -> bool:
        """Whether the same share of the layers leaves."""
        return self.removed * num_layers == removed * self.num_layers


TABLE_5 = (
    LocationRow(
        checkpoint="300M-80B",
        age_tokens=80 * B,
        num_layers=24,
        removed=8,
        downstream_drop_pct=dict(
            zip(LOCATIONS, (2.56, 2.40, 9.86, 3.66, 3.68, 5.35, 4.50, 4.15, 3.47), strict=True)
        ),
    ),
    LocationRow(
        checkpoint="300M-320B",
        age_tokens=320 * B,
        num_layers=24,
        removed=8,
        downstream_drop_pct=dict(
            zip(LOCATIONS, (5.49, 5.95, 10.97, 5.61, 5.76, 5.02, 6.25, 6.34, 6.60), strict=True)
        ),
    ),
    LocationRow(
        checkpoint="1.1B-160B",
        age_tokens=160 * B,
        num_layers=24,
        removed=12,
        downstream_drop_pct={"max-gap": 11.39, "input": 10.20, "both": 12.56, "middle": 13.77},
    ),
)
