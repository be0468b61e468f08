"""A storage whose trials are finished by hand, and their losses against a control, by source.

Nothing is trained: every trial gets a loss of its own, which identifies its control.
"""

import dataclasses
import itertools

import pytest

from raydistill.driver.from_mlflow import from_mlflow
from raydistill.driver.tracking_snapshot import for_tracker
from raydistill.evaluation.bootstrap import Estimate
from raydistill.evaluation.scoring import PERPLEXITY, score_key
from raydistill.export.lineage import of_trial
from raydistill.planning.cell import ADDED
from raydistill.planning.history.state import read_state
from raydistill.planning.history.sweep_record import (
    CellRequest,
    all_records,
    record_of,
    save_record,
)
from raydistill.planning.lr_probe import peak_of, probe_cells, with_best_rates
from raydistill.planning.prepared import prepare
from raydistill.planning.resolve import distinct
from raydistill.reports.results.blocks import row_blocks
from raydistill.reports.results.cells import Measured
from raydistill.reports.sources.from_store import from_store
from raydistill.reports.tables.table import build_table
from raydistill.specs.locations import NONE
from raydistill.specs.results import NoControl, UnitScores
from raydistill.specs.scale import load_scale
from raydistill.specs.trial import DropPlan, ExternalBase, TrialSpec
from raydistill.storage.store import Store
from raydistill.tracking.destination import default_uri
from raydistill.tracking.sync import sync_sweep as sync_sweep
from support import finished, planned

SIZES = [load_scale(name) for name in ("smoke", "smoke_small")]
KNOWN = dataclasses.replace(
    planned.all_known(finished.SMOKE),
    bases={
        (size.name, age): ExternalBase(
            name=size.name, revision="some", weights_sha256=f"{size.name}{age}".ljust(64, "0")
        )
        for size in SIZES for age in size.ages
    },
)  # fmt: skip


class Storage:
    """A store in which trials are finished by hand."""

    def __init__(self, root):
        self.store, self.losses = Store(root), itertools.count(1)
        finished.prepare(self.store)
        for base in KNOWN.bases.values():
            self._keep_scores(base.weights_sha256, 3.0)

    def run(self, script, *flags, without=lambda cell: False):
        """A sweep's command that finishes its cells, but for those `without`."""
        sweep = prepare(finished.plan(script, self.store, *flags), self.store, KNOWN)
        if sweep.plan.options.lr_probe:
            probes = probe_cells(sweep.plan.cells)  # the higher the rate, the better for a control
            self._finish(sorted(probes, key=lambda c: -peak_of(c) * (c.request.location == NONE)))
            sweep = with_best_rates(sweep)
        self._finish([cell for cell in sweep.plan.cells if not without(cell)])
        save_record(record_of(sweep), self.store)
        return self

    def add(self, like):
        """A student trained elsewhere, beside the cell that `like` chooses."""
        record = self.record
        model = next(requested for requested in record.cells if like(requested.cell))
        untrained = dict.fromkeys(("budget_tokens", "warmup_tokens", "warm_phase_tokens"), 0)
        recipe = dataclasses.replace(model.spec.train.recipe, **untrained)
        spec = TrialSpec(
            base=ExternalBase(name=f"{ADDED}: mine", revision="", weights_sha256="m" * 64),
            plan=DropPlan(),
            train=dataclasses.replace(model.spec.train, recipe=recipe, loss="lm", seed=1),
        )
        request = dataclasses.replace(model.cell.request, location=NONE, count=0, budget=0, seed=1)
        cell = dataclasses.replace(model.cell, values={ADDED: "mine"}, request=request)
        self._keep_trained(spec, model.cell.scale)
        added = CellRequest(cell=cell, spec=spec, base_sha256=model.base_sha256)
        save_record(dataclasses.replace(record, cells=(added,)), self.store)
        return self

    def _finish(self, cells):
        for trial in distinct(cells, KNOWN):
            if self.store.trained(trial.trial_id) is None:
                self._keep_trained(trial.trial, trial.scale)

    def _keep_trained(self, spec, scale):
        sha256 = spec.trial_id * 4
        trained = planned.finished(spec, scale, train_s=1.0)
        trained = dataclasses.replace(trained, weights_sha256=sha256)
        self._keep_scores(sha256, 3 + next(self.losses) / 128)
        self.store.save(trained, "trials", spec.trial_id, "trained.json")

    def _keep_scores(self, sha256, nll):
        """The same in every document, so that it is that of any half of them too."""
        for name in (PERPLEXITY, *finished.EVALUATION.tasks):
            total = 100.0 * nll if name == PERPLEXITY else 50.0
            n = len(finished.UNITS)
            scores = UnitScores(units=finished.UNITS, sums=(total,) * n, counts=(100,) * n)
            key = score_key(name, finished.INFO, finished.EVALUATION.heldout_windows)
            self.store.save(scores, "scores", sha256, f"{key}.json")

    @property
    def record(self):
        (record,) = all_records(self.store)
        return record

    @property
    def tracked(self):
        """The snapshot that MLflow is synchronised to."""
        state = read_state(self.record, self.store)
        return for_tracker(state, command="", running=False, environment={}, files={})

    def mlflow(self):
        """By trial, the loss against the control as MLflow has it."""
        return {
            cell.spec.trial_id: None
            if isinstance(cell.control, NoControl)
            else cell.outcome.result.after.nll - cell.control.nll
            for cell in self.tracked.cells
            if cell.role != "reference"  # MLflow has its scores, not its losses
        }

    def table(self):
        """The same by the table of the storage."""
        (report,) = from_store(self.store, ())
        return losses_in_table(report)

    def tables_from_mlflow(self, *conditions):
        """The same by the tables of reports from MLflow, one of the runs of each condition."""
        uri = default_uri(self.store)
        sync_sweep(self.tracked, uri=uri, store=self.store)
        for condition in conditions:
            (report,) = from_mlflow(uri, self.store, (), (), condition)
            yield losses_in_table(report)

    def controls(self):
        """By cell, its control, both as specs; None where there is none."""
        specs = {cell.spec.trial_id: cell.spec for cell in self.record.cells}
        return [
            (cell.spec, None)
            if isinstance(cell.control, NoControl)
            else (cell.spec, specs[cell.control.weights_sha256[:16]])
            for cell in self.tracked.cells
        ]

    def cards(self):
        """The same by the model card of each student; a control's card has no such loss."""
        (report,) = from_store(self.store, ())
        requested = {cell.spec.trial_id: cell for cell in self.record.cells}
        losses = {}
        for cell in report.cells:
            if isinstance(cell.outcome, Measured) and cell.role != "control" and not cell.reference:
                trial_id = cell.outcome.result.trained.trial_id
                record, cell_request = self.record, requested[trial_id]
                lineage = of_trial(report, cell, record, cell_request, finished.INFO, self.store)
                drops = lineage.lost.against_control
                losses[trial_id] = drops and drops.delta_nll.value
        return losses


def losses_in_table(report):
    """By trial, what a row of one seed lost against the control; references are in every block."""
    losses = {}
    for cells, block in zip(row_blocks(report.cells), build_table(report).blocks, strict=True):
        for row_cells, row in zip(cells.rows, block.rows, strict=True):
            entry = row.against_control.delta_nll
            for cell in row_cells.cells if not row_cells.first.reference else ():
                if isinstance(cell.outcome, Measured):
                    value = entry.value if isinstance(entry, Estimate) else None
                    trial_id = cell.outcome.result.trained.trial_id
                    assert losses.setdefault(trial_id, value) == pytest.approx(value, abs=1e-9)
    return losses
