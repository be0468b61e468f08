"""Writes runs into one MLflow experiment, each of them once.

The step of a metric is tokens, or 0 for a final value (MLflow draws those as bars). A point
of a curve carries its run's start as its time: the same step with another time would be a
second point.
"""

import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from raydistill.core.fault_injection import fault_point
from raydistill.tracking.client import search_runs
from raydistill.tracking.fields import HIDDEN
from raydistill.tracking.run_content import NOTE, RunContent

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run


KEY, WRITTEN = f"{HIDDEN}key", f"{HIDDEN}written"
_FORMER = {"raydistill.key", "raydistill.written"}  # what these tags were called
_METRICS_PER_CALL = 800  # MLflow allows 1,000 metrics, parameters and tags in all
_INFINITE = 1e300  # MLflow keeps infinity as the largest float


class ContradictionError(Exception):
    """A curve in MLflow and in the store disagree: the run belongs to another training."""


class Writer:
    """The runs that one storage has in one experiment, found by their keys."""

    def __init__(self, client: "MlflowClient", experiment_id: str, storage: str) -> None:
        self.client, self.experiment_id = client, experiment_id
        self.runs: dict[str, Run] = {}
        self.written = 0
        for run in list(search_runs(client, [experiment_id], f"tags.storage = '{storage}'")):
            tags = run.data.tags
            key = tags.get(KEY) or tags.get("raydistill.key", run.info.run_id)
            if self.runs.setdefault(key, run) is not run:
                # The answer to its creation was lost, and the next sync made another.
                client.delete_run(run.info.run_id)

    def scales(self) -> set[str]:
        """The scales of its runs."""
        return {run.data.tags["scale"] for run in self.runs.values() if "scale" in run.data.tags}

    def find_or_create(self, content: RunContent, parent_id: str = "") -> "Run":
        """The run of that key."""
        if content.key not in self.runs:
            parent = {"mlflow.parentRunId": parent_id} if parent_id else {}
            self.runs[content.key] = self.client.create_run(
                self.experiment_id,
                start_time=(*content.started_ms, _now_ms())[0],
                run_name=content.name,
                tags={KEY: content.key, **parent, **content.tags},
            )
        return self.runs[content.key]

    def deliver(self, content: RunContent, parent_id: str = "") -> str:
        """Make the run of `content.key` hold all of `content`; returns its id."""
        run = self.find_or_create(content, parent_id)
        if run.data.tags.get(WRITTEN) == content.digest and run.info.status == content.status:
            return _id(run)
        fault_point("tracking")
        self.written += 1
        try:
            points = self._points_to_add(run, content)
        except ContradictionError:
            self.client.delete_run(_id(self.runs.pop(content.key)))
            run = self.find_or_create(content, parent_id)
            points = self._points_to_add(run, content)
        self._describe(run, content)
        metrics = [*_finals_to_add(run, content), *points]
        for start in range(0, len(metrics), _METRICS_PER_CALL):
            self.client.log_batch(_id(run), metrics=metrics[start : start + _METRICS_PER_CALL])
        for name, text in content.files.items():
            self.client.log_text(_id(run), text, name)
        self._set_status(run, content)
        self.client.set_tag(_id(run), WRITTEN, content.digest)
        return _id(run)

    def end_others(self, keys: set[str], scale: str) -> None:
        """Close the open runs of this scale that are not in `keys`: their command was killed."""
        for key, run in self.runs.items():
            of_scale = run.data.tags.get("scale") == scale
            if of_scale and run.info.status == "RUNNING" and key not in keys:
                self.client.set_terminated(_id(run), status="KILLED")

    def _points_to_add(self, run: "Run", content: RunContent) -> list["Metric"]:
        """The points of the curves that MLflow lacks; raises a ContradictionError."""
        from mlflow.entities import Metric  # noqa: PLC0415  (mlflow is slow to import)

        names = {name for name, _, _ in content.curve} & run.data.metrics.keys()
        values = {
            (name, point.step): point.value
            for name in names
            for point in self.client.get_metric_history(_id(run), name)
        }
        for name, tokens, value in content.curve:
            if (name, tokens) in values and not _same(values[name, tokens], value):
                raise ContradictionError
        return [
            Metric(name, value, run.info.start_time, tokens)
            for name, tokens, value in content.curve
            if (name, tokens) not in values
        ]

    def _describe(self, run: "Run", content: RunContent) -> None:
        """Write parameters and tags; the digest is withdrawn until all else is written."""
        from mlflow.entities import Param, RunTag  # noqa: PLC0415  (mlflow is slow to import)

        own = {KEY: content.key, WRITTEN: "not yet"}
        tags = {**content.context, **_mlflow_tags(content), **content.tags, **own}
        new = {k: v for k, v in content.params.items() if k not in run.data.params}
        self.client.log_batch(
            _id(run),
            params=[Param(name, value) for name, value in new.items()],
            tags=[RunTag(name, value) for name, value in tags.items()],
        )
        for name in ({"failure"} | _FORMER) & run.data.tags.keys() - content.tags.keys():
            self.client.delete_tag(_id(run), name)

    def _set_status(self, run: "Run", content: RunContent) -> None:
        if content.status == "RUNNING":
            if run.info.status != "RUNNING":
                self.client.update_run(_id(run), status="RUNNING")
            return
        ended_ms = (*content.ended_ms, _now_ms())[0]
        self.client.set_terminated(_id(run), status=content.status, end_time=ended_ms)


def _finals_to_add(run: "Run", content: RunContent) -> list["Metric"]:
    """The final values that MLflow lacks, or has from an earlier measurement."""
    from mlflow.entities import Metric  # noqa: PLC0415  (mlflow is slow to import)

    values = run.data.metrics
    return [
        Metric(name, value, _now_ms(), 0)
        for name, value in content.finals.items()
        if name not in values or not _same(values[name], value)
    ]


def _mlflow_tags(content: RunContent) -> Mapping[str, str]:
    """What MLflow's own page shows: the note, the user, the source and its commit."""
    context = content.context
    commit = {"mlflow.source.git.commit": context["git_commit"]} if "git_commit" in context else {}
    return {
        NOTE: content.note,
        "mlflow.user": context["owner"],
        "mlflow.source.name": context["command"],
        "mlflow.source.type": "LOCAL",
        **commit,
    }


def _same(one: float, other: float) -> bool:
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    if abs(other) > _INFINITE:
        return abs(one) > _INFINITE
    return math.isclose(one, other, rel_tol=1e-12)


def _id(run: "Run") -> str:
    return str(run.info.run_id)


def _now_ms() -> int:
    return int(1000 * time.time())
