"""A storage whose trials are finished by hand, and what each place says of them and a control.

Nothing is trained: every trial gets a loss of its own, which tells who was compared with whom.
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
from raydistill.planning.history.sweep_record import CellRequest, all_records, keep, record_of
from raydistill.planning.lr_probe import peak_of, probe_cells, with_best_rates
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
    """A store in which trials are finished by hand, and what is said of them."""

    def __init__(self, root):
        self.store, self.losses = Store(root), itertools.count(1)
        finished.prepare(self.store)
        for base in KNOWN.bases.values():
            self._keep_scores(base.weights_sha256, 3.0)

    def ask(self, script, *flags, without=lambda cell: False):
        """A sweep's command that finishes its cells, but for those `without`."""
        plan = finished.plan(script, self.store, *flags)
        if plan.options.lr_probe:
            probes = probe_cells(plan.cells)  # the higher the rate, the better for a control
            self._finish(sorted(probes, key=lambda c: -peak_of(c) * (c.request.location == NONE)))
            plan = dataclasses.replace(plan, cells=with_best_rates(plan.cells, KNOWN, self.store))
        self._finish([cell for cell in plan.cells if not without(cell)])
        keep(record_of(plan, KNOWN, self.store), self.store)
        return self

    def add(self, like):
        """A student trained elsewhere, beside the cell that `like` chooses."""
        asked = self.asked
        of = next(each for each in asked.cells if like(each.cell))
        none = dict.fromkeys(("budget_tokens", "warmup_tokens", "warm_phase_tokens"), 0)
        recipe = dataclasses.replace(of.spec.train.recipe, **none)
        spec = TrialSpec(
            base=ExternalBase(name=f"{ADDED}: mine", revision="", weights_sha256="m" * 64),
            plan=DropPlan(),
            train=dataclasses.replace(of.spec.train, recipe=recipe, loss="lm", seed=1),
        )
        request = dataclasses.replace(of.cell.request, location=NONE, count=0, budget=0, seed=1)
        cell = dataclasses.replace(of.cell, values={ADDED: "mine"}, request=request)
        self._trained(spec, of.cell.scale)
        added = CellRequest(cell=cell, spec=spec, base_sha256=of.base_sha256)
        keep(dataclasses.replace(asked, cells=(added,)), self.store)
        return self

    def _finish(self, cells):
        for trial in distinct(cells, KNOWN):
            if self.store.trained(trial.trial_id) is None:
                self._trained(trial.trial, trial.scale)

    def _trained(self, spec, scale):
        sha256 = spec.trial_id * 4
        made = planned.finished(spec, scale, train_s=1.0)
        made = dataclasses.replace(made, weights_sha256=sha256)
        self._keep_scores(sha256, 3 + next(self.losses) / 128)
        self.store.save(made, "trials", spec.trial_id, "trained.json")

    def _keep_scores(self, sha256, nll):
        """The same in every document, so that any half of them says it too."""
        for name in (PERPLEXITY, *finished.EVALUATION.tasks):
            each = 100.0 * nll if name == PERPLEXITY else 50.0
            many = len(finished.UNITS)
            scores = UnitScores(units=finished.UNITS, sums=(each,) * many, counts=(100,) * many)
            key = score_key(name, finished.INFO, finished.EVALUATION.heldout_windows)
            self.store.save(scores, "scores", sha256, f"{key}.json")

    @property
    def asked(self):
        (asked,) = all_records(self.store)
        return asked

    @property
    def tracked(self):
        """What MLflow is brought to."""
        state = read_state(self.asked, self.store)
        return for_tracker(state, command="", running=False, environment={}, files={})

    def mlflow(self):
        """By trial, what MLflow says was lost against the control."""
        return {
            cell.spec.trial_id: None
            if isinstance(cell.control, NoControl)
            else cell.outcome.result.after.nll - cell.control.nll
            for cell in self.tracked.cells
            if cell.role != "reference"  # MLflow says of it what it is, not what it lost
        }

    def table(self):
        """The same by the table of the storage."""
        (report,) = from_store(self.store, ())
        return lost(report)

    def served(self, condition=""):
        """The same by the table of a report from MLflow."""
        uri = default_uri(self.store)
        sync_sweep(self.tracked, uri=uri, store=self.store)
        (report,) = from_mlflow(uri, self.store, (), (), condition)
        return lost(report)

    def controls(self):
        """By cell, its control, both as specs; None where there is none."""
        specs = {each.spec.trial_id: each.spec for each in self.asked.cells}
        return [
            (cell.spec, None)
            if isinstance(cell.control, NoControl)
            else (cell.spec, specs[cell.control.weights_sha256[:16]])
            for cell in self.tracked.cells
        ]

    def cards(self):
        """The same by the model card of each student; a control's card says nothing of it."""
        (report,) = from_store(self.store, ())
        asked = {each.spec.trial_id: each for each in self.asked.cells}
        said = {}
        for cell in report.cells:
            if isinstance(cell.outcome, Measured) and cell.role != "control" and not cell.reference:
                trial_id = cell.outcome.result.trained.trial_id
                made = of_trial(report, cell, self.asked, asked[trial_id], finished.INFO)
                drops = made.lost.against_control
                said[trial_id] = drops and drops.delta_nll.value
        return said


def lost(report):
    """By trial, what a row of one seed lost against the control; references are in every block."""
    said = {}
    for cells, block in zip(row_blocks(report.cells), build_table(report).blocks, strict=True):
        for row, shown in zip(cells.rows, block.rows, strict=True):
            entry = shown.against_control.delta_nll
            for cell in row.cells if not row.first.reference else ():
                if isinstance(cell.outcome, Measured):
                    value = entry.value if isinstance(entry, Estimate) else None
                    trial_id = cell.outcome.result.trained.trial_id
                    assert said.setdefault(trial_id, value) == pytest.approx(value, abs=1e-9)
    return said
