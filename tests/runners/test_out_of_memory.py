"""A process that Ray's memory monitor kills is a lost one like any other, whatever it did.

Here the monitor kills whatever works. `tests/end_to_end/test_memory.py` has kills that pass.
"""

import time

import pytest

from raydistill.core.errors import SetupError
from raydistill.data.corpus import draft as drafts
from raydistill.data.corpus.preparation import begin_corpus
from raydistill.data.corpus.request import CorpusRequest
from raydistill.data.tokenizer import shipped_tokenizer
from raydistill.runners.cluster import memory
from raydistill.runners.cluster.connection import connected
from raydistill.runners.cluster.tasks import run_each_once, run_once
from raydistill.runners.cluster.work import Candidate
from raydistill.runners.tokenization import tokenise_shards
from raydistill.runners.tune.in_order import InOrder
from raydistill.runners.tune.trials import Setup, run_jobs
from raydistill.storage.store import Store
from support.ray_works import Nap, doze
from support.short_of_memory import EVERYTHING, ray_that_kills
from support.texts import essays, write_jsonl

CPU = {"CPU": 1.0}
LOST = r"its process was killed: node [\d.]+ ran out of memory, [\d.]+ GB in use of [\d.e-]+ that"


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """Where Ray's chatter goes, in a session that kills whatever works."""
    log = tmp_path_factory.mktemp("log") / "ray.log"
    with ray_that_kills(EVERYTHING) as address, pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ADDRESS", address)
        patch.setattr(memory, "PAUSES_S", (0.5, 0.5))
        with connected(log):
            yield log


def assert_three_tries(lines, name):
    """Two lines of warnings, of a task of this name, and nothing else on the screen."""
    assert lines.out == ""
    assert [line.split(":")[1].strip() for line in lines.err.splitlines()] == [name] * 2
    assert "it is tried again in 0.5 s" in lines.err


def test_a_task_has_three_attempts_and_one_line_each(log, capfd):
    with pytest.raises(SetupError, match=f"^sleep failed, {LOST}"):
        run_once(time.sleep, CPU, 20)
    assert_three_tries(capfd.readouterr(), "sleep")
    with pytest.raises(SetupError, match=f"^sleep failed, {LOST}") as refusal:
        run_each_once(time.sleep, CPU, [20, 20], reached=lambda number: (0,))
    assert refusal.value.exit_code == 4


@pytest.mark.soak
def test_a_shard_has_three_attempts_too(log, capfd, tmp_path, monkeypatch):
    monkeypatch.setattr(drafts, "SHARD_CHARACTERS", 4_000)
    write_jsonl(tmp_path / "a.jsonl", essays(20))
    request = CorpusRequest(text=str(tmp_path / "a.jsonl"), tokenizer=shipped_tokenizer())
    store = Store(tmp_path / "store")
    draft = begin_corpus(request, store)
    with pytest.raises(SetupError, match=f"^tokenising failed, {LOST}"):
        tokenise_shards(request, draft, store)
    assert_three_tries(capfd.readouterr(), "tokenising")


@pytest.mark.parametrize("devices", [1, pytest.param(2, marks=pytest.mark.soak)])
def test_a_trial_that_never_fits_fails_with_its_reason_and_ends_no_other(
    log, capfd, tmp_path, devices
):
    axes = [{"age": "320B", "location": name} for name in ("input", "output")]
    two = [Candidate(key=a["location"], axes=a, job=Nap(step_s=0.5)) for a in axes]
    setup = Setup(folder=tmp_path, device_counts=range(devices, devices + 1))
    outcome = run_jobs(
        two, InOrder(two), work=doze, setup=setup, on_progress=lambda key, metrics: None
    )
    assert sorted(outcome.failures) == ["input", "output"]
    for failure in outcome.failures.values():
        assert failure.attempts == 3
        assert failure.message.startswith("its process was killed: node ")
        assert failure.traceback == ""
    lines = capfd.readouterr()
    assert lines.out == ""
    assert len(lines.err.splitlines()) == 4
    assert "warning: 320B input: its process was killed: node" in lines.err
    assert [path.name for path in tmp_path.iterdir()] == ["tune.csv"]


def test_no_command_line_is_kept_in_the_log(log):
    text = log.read_text()
    assert "-m pytest" not in text
    assert text.count("COMMAND") == text.count("COMMAND ***")
