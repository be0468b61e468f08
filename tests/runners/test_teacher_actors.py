"""Teachers on devices of their own."""

from dataclasses import replace
from types import MappingProxyType

import pytest

from raydistill.core.errors import SetupError
from raydistill.runners.teacher_actors import teacher_actors
from raydistill.specs.trial import DropPlan, ExternalBase, LayerDrop, TrialSpec
from support.reported import TRAIN

CPU = MappingProxyType({"CPU": 1.0})


def taught_by(sha256):
    teacher = ExternalBase(name="other", revision="main", weights_sha256=sha256)
    plan = DropPlan(drops=(LayerDrop(at_tokens=0, layer=1),))
    return TrialSpec(base=replace(teacher, weights_sha256="c" * 64), plan=plan, train=TRAIN,
                     teacher=teacher)  # fmt: skip


def test_more_teachers_than_the_cluster_holds_beside_a_trial_are_refused(
    joined_cluster, tmp_path, monkeypatch
):
    monkeypatch.setenv("RAYDISTILL_WAIT_S", "0.5")
    specs = [taught_by(sha256) for sha256 in ("a" * 64, "b" * 64)]
    with (
        pytest.raises(SetupError, match=r"2 teacher.* needs 3 CPU; the cluster has 2 CPU"),
        teacher_actors(specs, CPU, str(tmp_path), beside=1, say=print),
    ):
        pass
