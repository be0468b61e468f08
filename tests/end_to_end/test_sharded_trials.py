"""`--sharding fully` from the command line: two ranks through Ray Train inside Tune."""

import pytest

from raydistill.core.serialization import from_json
from raydistill.models.distributed import World
from raydistill.specs.results import Trained
from raydistill.specs.scale import load_scale
from raydistill.training.jobs import TrialJob
from support import sweeping
from support.tiny import run_trial

FLAGS = (
    "--age", "320B", "--seed", "1", "--arm", "kd", "--devices-per-trial", "2",
    "--sharding", "fully", "--set", "micro_batches=2", "--checkpoint-every", "0",
)  # fmt: skip


def test_a_sharded_trial_is_the_trial_of_one_device(run_sweep, prepared, tmp_path):
    """Its id, its losses within a millionth, and weights of which no tensor is missing."""
    sharded, alone = prepared(tmp_path / "sharded"), prepared(tmp_path / "alone")
    done = run_sweep("teacher_free_vs_kd", sharded, *FLAGS)
    assert done.returncode == 0, done.stderr
    (path,) = sharded.glob("trials/*/trained.json")
    trained = from_json(Trained, path.read_text())
    assert (trained.made_by.world_size, trained.made_by.sharding) == (2, "fully")
    job = TrialJob(
        spec=trained.spec,
        base_sha256=trained.spec.base.weights_sha256,
        evaluation=load_scale("smoke").evaluation,
        storage=str(alone),
        sweep=trained.trained_in,
    )
    expected = run_trial(job, world=World.here()).trained
    assert trained.trial_id == expected.trial_id
    assert trained.kept == expected.kept
    losses = [point.loss for point in expected.curve]
    assert [point.loss for point in trained.curve] == pytest.approx(losses, abs=1e-6)
    held_out = [point.nll for point in expected.heldout_curve]
    assert [point.nll for point in trained.heldout_curve] == pytest.approx(held_out, abs=1e-6)
    (scores, *_), (others, *_) = (sweeping.results(s).values() for s in (sharded, alone))
    assert scores[1].keys() == others[1].keys()
