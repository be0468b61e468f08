"""Planned faults come where and as often as they are planned, and nothing is lost by them."""

import errno
import signal
import subprocess
import sys

import pytest

from raydistill.core import fault_injection as faults
from raydistill.core.errors import UsageError
from raydistill.core.fault_injection import PlannedError, fault_point
from support import sweeping, trained_here

SWEEP = ("--age", "320B", "--location", "none,input,output", "--checkpoint-every", "0")
CELLS = [("320B", "none"), ("320B", "input"), ("320B", "output")]


@pytest.fixture
def planned(monkeypatch, tmp_path):
    """`planned(text)` plans faults for this process, and returns where they are noted."""

    def plan(text):
        faults._occurrences.clear()
        monkeypatch.setenv(faults.PLAN_VARIABLE, text)
        monkeypatch.setenv(faults.LOG_VARIABLE, str(tmp_path / "faults"))
        return tmp_path / "faults"

    return plan


def names(folder):
    return sorted(path.name for path in folder.glob("*"))


def test_a_fault_comes_at_its_passing_once_and_is_noted(planned):
    log = planned("raise@evaluation=2; enospc@checkpoint")
    fault_point("evaluation")
    assert names(log) == []
    with pytest.raises(PlannedError):
        fault_point("evaluation")
    with pytest.raises(OSError, match="No space left") as full:
        fault_point("checkpoint")
    assert full.value.errno == errno.ENOSPC
    fault_point("checkpoint")
    assert names(log) == ["enospc@checkpoint=0,rank=0-1", "raise@evaluation=2,rank=0-1"]


def test_another_process_or_repetition_does_not_meet_it_again(planned):
    planned("raise@step=7")
    with pytest.raises(PlannedError):
        fault_point("step", number=7)
    faults._occurrences.clear()  # as in a new process
    fault_point("step", number=7)


def test_it_comes_as_often_as_planned_on_its_rank_alone(planned):
    log = planned("raise@step=7,rank=1,times=2")
    fault_point("step", number=7, rank=0)
    for _ in range(2):
        with pytest.raises(PlannedError):
            fault_point("step", number=7, rank=1)
    fault_point("step", number=7, rank=1)
    assert len(names(log)) == 2


def test_a_killed_process_is_gone_at_once(planned):
    planned("kill@tracking=2")
    code = "from raydistill.core.fault_injection import fault_point\nfault_point('tracking')\n"
    code += "print('1', flush=True)\nfault_point('tracking')\nprint('2')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "1\n")


def test_without_a_plan_a_point_is_nothing(monkeypatch):
    monkeypatch.delenv(faults.PLAN_VARIABLE, raising=False)
    before = dict(faults._occurrences)
    fault_point("step", number=1)
    assert dict(faults._occurrences) == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kil@step=7", "no action 'kil'. Did you mean 'kill'?"),
        ("kill@stepp=7", "no point 'stepp'. Did you mean 'step'?"),
        ("kill step 7", "'kill step 7' is no fault; write one as kill@step=7,rank=1"),
    ],
)
def test_a_plan_with_a_mistake_is_refused(text, message):
    with pytest.raises(UsageError) as refusal:
        faults.parse(text)
    assert message in str(refusal.value)


@pytest.fixture(scope="module")
def calm(prepared, tmp_path_factory):
    """What the trials come to where nothing happens, without Ray."""
    storage = prepared(tmp_path_factory.mktemp("calm"))
    trained_here.train(storage, *SWEEP)
    return sweeping.results(storage)


def test_faults_of_every_kind_fail_one_trial_and_the_repetition_ends_as_if_nothing_had_happened(
    calm, prepared, tmp_path, ray_address
):
    """The control gets nowhere at step 7. Another trial fails as often, and gets further each time.

    An evaluation is killed, MLflow is down.
    """
    plan = "enospc@checkpoint=3; kill@step=7,times=3; raise@removal=1; kill@evaluation=5; "
    plan += "kill@step=9; kill@step=15; "
    storage = prepared(tmp_path)

    def run():
        return sweeping.here(
            "where_to_drop", storage, *SWEEP, "--concurrent", "1",
            RAY_ADDRESS=ray_address, RAYDISTILL_FAULTS=plan + "raise@tracking=2",
        )  # fmt: skip

    done = run()
    assert done.returncode == 1, done.stdout + done.stderr
    assert len(names(storage / "faults")) == 9
    assert "failed in training after 4 tries: its process died" in " ".join(done.stdout.split())
    assert len(sweeping.results(storage)) == 2
    second = run()
    assert second.returncode == 0, second.stderr
    assert sweeping.results(storage) == calm
    sweeping.assert_tracked_once(storage, CELLS)
