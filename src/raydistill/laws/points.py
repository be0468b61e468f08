"""Points that a law is fitted to: what was measured, and what was left out and why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from raydistill.core.errors import UsageError

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Exclusion:
    """A point that no fit uses."""

    name: str  # a trial id, or a row of a table
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Points:
    """n measured points, one of a run each, or of a mean over runs.

    Attributes:
        inputs: by name, each (n,): sizes, tokens, FLOPs, losses.
        outputs: (n,), what the law says.
        names: trial ids, or names of rows.
        seeds: of the runs, (n,) or None.
        excluded: what was left out.
        samples_RN: the outputs as measured (row 0) and under R resamples of what they are means
            of (seeds × documents, `evaluation/bootstrap.py`), (R + 1, n). Without it, only the
            scatter of the points about the law is known.

    Raises:
        UsageError: if lengths differ, or a number is not finite.
    """

    inputs: Mapping[str, FloatArray]
    outputs: FloatArray
    names: tuple[str, ...]
    seeds: tuple[int, ...] | None = None
    excluded: tuple[Exclusion, ...] = ()
    samples_RN: FloatArray | None = None

    def __post_init__(self) -> None:
        n = len(self.names)
        columns = {**self.inputs, "outputs": self.outputs}
        if self.seeds is not None:
            columns["seeds"] = np.asarray(self.seeds, dtype=np.float64)
        if self.samples_RN is not None:
            columns["samples"] = self.samples_RN.T
        for name, column in columns.items():
            if len(column) != n:
                raise UsageError(f"{name}: {len(column)} values for {n} points")
            if not np.isfinite(column).all():
                row = int(np.flatnonzero(~np.isfinite(column.reshape(n, -1)).all(axis=1))[0])
                raise UsageError(f"{name} of {self.names[row]} is not finite: leave the point out")

    def __len__(self) -> int:
        return len(self.names)

    def kept(self, keep: Sequence[bool] | NDArray[np.bool_], reason: str) -> Self:
        """The points where `keep` holds; the others are excluded with `reason`."""
        mask = np.asarray(keep, dtype=bool)
        left_out = [Exclusion(name=self.names[i], reason=reason) for i in np.flatnonzero(~mask)]
        return type(self)(
            inputs={name: column[mask] for name, column in self.inputs.items()},
            outputs=self.outputs[mask],
            names=tuple(np.array(self.names, dtype=object)[mask]),
            seeds=self.seeds and tuple(np.array(self.seeds)[mask].tolist()),
            excluded=(*self.excluded, *left_out),
            samples_RN=None if self.samples_RN is None else self.samples_RN[:, mask],
        )

    def within(self, name: str, centre: float, factor: float) -> Self:
        """The points whose input `name` is at most `factor` times above or below `centre`."""
        ratio = self.inputs[name] / centre
        slack = factor * (1 + 1e-9)
        return self.kept(
            (ratio <= slack) & (ratio >= 1 / slack),
            f"not within {factor:g}× of {name} {centre:.6g}",
        )
