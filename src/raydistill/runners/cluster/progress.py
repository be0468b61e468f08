"""How far the workers of a job are, sent to its driver beside their results.

A worker puts its newest `StageProgress` into Ray's own key-value store about once a second, and the
driver looks there as often: no task waits for it, and how tasks are retried is not changed by it.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace

import ray
from ray.experimental.internal_kv import (
    _internal_kv_del,
    _internal_kv_get,
    _internal_kv_list,
    _internal_kv_put,
)

from raydistill.core.background import repeated
from raydistill.core.progress import StageProgress, joined, listening, report
from raydistill.runners.cluster.work import REPORT_EVERY_S

Reports = Mapping[str, StageProgress]  # the newest of every worker, by its name


@contextmanager
def progress_sent(name: str) -> Iterator[None]:
    """On a worker: what the block reports goes to the driver, under this name."""
    key, sent_s = _prefix() + name, -REPORT_EVERY_S

    def send(progress: StageProgress) -> None:
        nonlocal sent_s
        now_s = time.monotonic()
        if now_s - sent_s >= REPORT_EVERY_S:
            sent_s = now_s
            with suppress(Exception):  # the work matters more
                _internal_kv_put(key, json.dumps(asdict(progress)), overwrite=True)

    try:
        with listening(send):
            yield
    finally:
        with suppress(Exception):
            _internal_kv_del(key)


@contextmanager
def progress_received(on_reports: Callable[[Reports], None]) -> Iterator[None]:
    """In the driver: call `on_reports` about once a second, in a thread of its own.

    A worker that sends no more, as it has ended or was lost, stays as its last report.
    """
    reports: dict[str, StageProgress] = {}

    def poll() -> None:
        with suppress(Exception):  # Ray may be going
            newest = _newest()
            gone = reports.keys() - newest.keys()
            reports.update({name: _ended(reports[name]) for name in gone} | newest)
            if reports:
                on_reports(reports)

    try:
        with repeated(poll, REPORT_EVERY_S):
            yield
    finally:
        with suppress(Exception):  # what killed workers left
            for key in _internal_kv_list(_prefix()):
                _internal_kv_del(key)


@contextmanager
def tasks_shown(tasks: int) -> Iterator[None]:
    """In the driver: report the progress of a stage of so many tasks, by that of each."""
    with progress_received(lambda reports: report(joined(reports.values(), tasks))):
        yield


def _ended(progress: StageProgress) -> StageProgress:
    return replace(progress, done=progress.total, part="")


def _newest() -> dict[str, StageProgress]:
    prefix = _prefix()
    values = {key.decode(): _internal_kv_get(key) for key in _internal_kv_list(prefix)}
    return {
        key.removeprefix(prefix): StageProgress(**json.loads(value))
        for key, value in values.items()
        if value is not None
    }


def _prefix() -> str:
    return f"raydistill/progress/{ray.get_runtime_context().get_job_id()}/"
